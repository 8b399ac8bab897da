"""The state folder: everything that a runtime keeps is in it, and one runtime at a time owns it."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from resilientslice.local.errors import LocalError
from resilientslice.local.processes.descent import is_running
from resilientslice.text import visible

MIN_FREE_BYTES = 128 * 1024**2
"""A fresh PostgreSQL takes 40 MB and its write-ahead log as much again; logs are bounded."""
MAX_SOCKET_PATH = 100
"""Unix socket paths hold 107 bytes on Linux and 103 on macOS."""
LOCK = "lock"
TEMPORARIES = "temporaries"
TEMPORARY_PREFIX = "rslice-"
GUARD_WAIT_SECONDS = 30.0
POLL_SECONDS = 0.01
T = TypeVar("T")


class StateFolder:
    """An opened, locked folder. `close()` gives the lock back; the lock also ends with the process."""

    def __init__(self, path: Path) -> None:
        """Create and lock the folder. LocalError when it can't be written, is full, or belongs to another runtime."""
        self.path = path
        self._lock: int | None = None
        with explained(path):
            path.mkdir(parents=True, exist_ok=True)
            self._refuse_foreign()
            self._take_lock()
            for name in ("logs", "run", "credentials", "volumes"):
                (path / name).mkdir(exist_ok=True, mode=0o700)
            (path / ".gitignore").write_text("*\n")
            free = shutil.disk_usage(path).free
        if free < MIN_FREE_BYTES:
            self.close()
            raise LocalError(
                f"state folder {path}: only {free // 1024**2} MiB free on its disk, {MIN_FREE_BYTES // 1024**2} MiB are"
                " needed; free some space or choose another folder with --state"
            )

    @classmethod
    def inherit(cls, path: Path, owner: int) -> "StateFolder | None":
        """Lock the folder of a runtime that is dead, once it lets go; its PID stays in the lock. None when another
        runtime has it."""
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
        while not try_lock(lock) and lock_owner(lock) == owner:
            time.sleep(POLL_SECONDS)
        if lock_owner(lock) != owner:
            os.close(lock)
            return None
        folder = cls.__new__(cls)
        folder.path, folder._lock = path, lock
        return folder

    def _refuse_foreign(self) -> None:
        """Someone's own folder is no place to keep state in, nor to clean up."""
        if not (self.path / LOCK).exists() and any(self.path.iterdir()):
            raise LocalError(
                f"state folder {self.path}: holds files that are not a slice's state; name an empty or new folder with"
                " --state"
            )

    def _take_lock(self) -> None:
        """A folder whose owner is dead belongs to its guard, which is cleaning up: it is waited for."""
        lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + GUARD_WAIT_SECONDS
        while not try_lock(lock):
            owner = lock_owner(lock)
            if owner is None or is_running(owner) or time.monotonic() > deadline:
                os.close(lock)
                raise LocalError(
                    f"state folder {self.path}: another runtime uses it (PID {owner or 'unknown'}); stop that one or"
                    " choose another folder with --state"
                )
            time.sleep(POLL_SECONDS)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def volumes(self) -> Path:
        """What replicas mount: `configMap/NAME`, `secret/NAME`, `persistentVolumeClaim/NAME`."""
        return self.path / "volumes"

    @property
    def credentials(self) -> Path:
        return self.path / "credentials"

    def read_json(self, name: str) -> Any:
        """What `write_json` saved, or None. LocalError when someone else's hand damaged it."""
        return self.read_as(name, lambda data: data)

    def read_as(self, name: str, parse: Callable[[Any], T]) -> T | None:
        """What `write_json` saved, as `parse` understands it; None when there is no file. LocalError when it isn't
        JSON, or not what `parse` expects."""
        try:
            text = (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._damaged(name, f"not JSON ({error})") from error
        try:
            return parse(data)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise self._damaged(name, f"not what was written there ({error!r})") from error

    def _damaged(self, name: str, what: str) -> LocalError:
        return LocalError(
            f"state file {self.path / name}: {visible(what, 200)}; put back what was there, or remove it to start"
            " without what it held"
        )

    def write_json(self, name: str, value: Any) -> None:
        """Replace the file in one step, so that a reader and a crash see the old or the new one. Raises OSError."""
        write_atomically(self.path / name, json.dumps(value, indent=1, sort_keys=True) + "\n")

    def socket_folder(self) -> Path:
        """Where unix sockets go: `run/`, or a short folder elsewhere when its path is too long for a socket."""
        inside = self.path / "run"
        if len(os.fsencode(inside / "admin.sock")) <= MAX_SOCKET_PATH:
            return inside
        elsewhere = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX))
        self.note_temporary(elsewhere)
        return elsewhere

    def note_temporary(self, path: Path) -> None:
        """A folder outside this one that must go with the runtime, or at the next start."""
        with (self.path / TEMPORARIES).open("a") as file:
            file.write(f"{path}\n")

    def remove_temporaries(self) -> None:
        """Remove what this runtime or a killed one left: sockets, temporary files, folders outside this one."""
        for leftover in (self.path / "run").glob("*.sock"):
            leftover.unlink(missing_ok=True)
        shutil.rmtree(self.path / "tmp", ignore_errors=True)
        noted = self.path / TEMPORARIES
        for line in noted.read_text(errors="surrogateescape").splitlines() if noted.exists() else ():
            if line.isprintable() and Path(line).name.startswith(TEMPORARY_PREFIX) and not Path(line).is_symlink():
                shutil.rmtree(line, ignore_errors=True)
        noted.unlink(missing_ok=True)


def try_lock(lock: int) -> bool:
    """Whether the opened lock file is ours now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_owner(lock: int) -> int | None:
    """PID of the runtime that had, or has, the lock; None while nobody has written one."""
    text = os.pread(lock, 32, 0).strip()
    return int(text) if text.isdigit() else None


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Raises OSError; a half-written temporary file does not stay."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns the usual reasons why a folder can't be used into a sentence."""
    try:
        yield
    except OSError as error:
        raise LocalError(f"state folder {path}: {reason(error)}; choose another folder with --state") from error


def reason(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "not writable"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no space left on its disk"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "something on its path is a file"
    return os.strerror(error.errno) if error.errno else str(error)
