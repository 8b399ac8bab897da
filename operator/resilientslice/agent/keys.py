"""The slice's key from a mounted Secret, read again when it changes."""

from pathlib import Path

import structlog

from resilientslice.agent.signing import SigningKeys, UnusableKeyError

_log = structlog.get_logger("resilientslice.agent")
_Identity = tuple[tuple[int, int, int] | None, ...]


class KeyRing:
    """The files `current` and `previous` (which may be absent) of a folder."""

    def __init__(self, folder: Path) -> None:
        self._files = (folder / "current", folder / "previous")
        self._identity: _Identity | None = None
        self._keys: SigningKeys | None = None

    def keys(self) -> SigningKeys | None:
        """The keys now; None while there is none that can be used, which the log tells once."""
        identity = tuple(_identity(file) for file in self._files)
        if identity != self._identity:
            # kept even if reading fails: the log says so once, and the next change is read
            self._identity, self._keys = identity, self._read()
        return self._keys

    def _read(self) -> SigningKeys | None:
        current, previous = self._files
        try:
            keys = SigningKeys.of(current.read_bytes(), previous.read_bytes() if previous.exists() else None)
        except UnusableKeyError as error:
            _log.error("the slice's key can't be used", folder=str(current.parent), reason=str(error))
        except OSError as error:
            _log.error("the slice's key can't be read", path=str(error.filename), reason=error.strerror)
        else:
            _log.info("the slice's key is read", previous=keys.previous is not None)
            return keys
        return None


def _identity(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
