"""The file with the limits, looked at once a second: a mounted ConfigMap changes by a swap of symbolic links, which
notifies nobody reliably."""

from pathlib import Path

from slicekit.health import reason_of
from slicekit.limits.policy import Limits, LimitsError, parse_limits

LARGEST_FILE = 1024 * 1024
"""Bytes: what a ConfigMap can hold."""


class LimitsFile:
    """What was last read of it. `problem` says why it can't be used now, empty while it can."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""
        self._seen: tuple[int, ...] | None = None

    def load(self) -> Limits:
        """LimitsError, with the path, if it can't be used."""
        try:
            self._seen = self._identity()
            limits = parse_limits(self._read())
        except OSError as exc:
            raise self._unusable(exc.strerror or reason_of(exc)) from exc
        except LimitsError as exc:
            raise self._unusable(str(exc)) from exc
        self.problem = ""
        return limits

    def changed(self) -> bool:
        """Whether it is another file, or the same with other content, than when it was last read; also when it is gone
        or has come back."""
        try:
            return self._identity() != self._seen
        except OSError:
            gone, self._seen = self._seen is not None, None
            return gone

    def _read(self) -> bytes:
        with self.path.open("rb") as file:
            text = file.read(LARGEST_FILE + 1)
        if len(text) > LARGEST_FILE:
            raise LimitsError(f"is larger than {LARGEST_FILE} bytes")
        return text

    def _identity(self) -> tuple[int, ...]:
        found = self.path.stat()
        return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)

    def _unusable(self, reason: str) -> LimitsError:
        self.problem = f"{self.path}: {reason}"
        return LimitsError(self.problem)
