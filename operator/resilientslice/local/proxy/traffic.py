"""What the view shows of the traffic: answers by class and rate of each track, and tenants over their limit."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from resilientslice.render.names import Track

TrackKey = tuple[str, Track]
MAX_LOG_BYTES = 32 * 1024**2
MAX_READ_BYTES = 1024**2
"""Read of the access log at once; what was written beyond that is skipped, for the view is no accounting."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers of a track's hosts since Envoy started, tries counted one by one."""

    ok: int = 0
    client_error: int = 0
    server_error: int = 0

    @property
    def total(self) -> int:
        return self.ok + self.client_error + self.server_error


@dataclass(slots=True)
class Rates:
    """Requests a second between the last two looks."""

    _before: Mapping[TrackKey, Answers] = field(default_factory=dict)
    _at: float = 0.0
    by_track: dict[TrackKey, float] = field(default_factory=dict)

    def update(self, answers: Mapping[TrackKey, Answers], at: float) -> None:
        """`at` in seconds. Counters that went down belong to a new Envoy and count from zero."""
        passed = at - self._at
        if self._before and passed > 0:
            self.by_track = {
                key: _delta(now.total, self._before.get(key, Answers()).total) / passed for key, now in answers.items()
            }
        self._before, self._at = answers, at


def _delta(now: int, before: int) -> int:
    return now - before if now >= before else now


class AccessLog:
    """Follows Envoy's access log for answers 429, and keeps the file bounded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.limited: Counter[str] = Counter()
        """Requests refused by tenant, since the runtime started."""
        self._offset = path.stat().st_size if path.exists() else 0

    def read(self) -> None:
        """Take in what was written since, and start the file afresh when it is too large. Raises OSError."""
        if not self.path.exists():
            return
        size = self.path.stat().st_size
        start = max(self._offset if self._offset <= size else 0, size - MAX_READ_BYTES)
        with self.path.open("rb") as file:
            file.seek(start)
            data = file.read(MAX_READ_BYTES)
        whole = data.rfind(b"\n") + 1
        self._offset = start + whole
        self._count(data[:whole])
        if size > MAX_LOG_BYTES:
            shutil.copyfile(self.path, self.path.with_name(f"{self.path.name}.1"))
            os.truncate(self.path, 0)
            self._offset = 0

    def _count(self, data: bytes) -> None:
        for line in data.splitlines():
            if b"429" not in line:
                continue
            try:
                entry = json.loads(line)
            except ValueError:  # the first line after a skip is cut in two
                continue
            if isinstance(entry, dict) and entry.get("code") == 429:
                self.limited[str(entry.get("tenant") or "anonymous")] += 1
