"""Log files: each process appends to its own, byte for byte, and the runtime to `runtime.log`. None grows for ever."""

import contextlib
import logging
import logging.handlers
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from resilientslice.local.errors import LocalError

MAX_BYTES = 8 * 1024**2
"""A log and its predecessor together are at most twice this, and what is written within one check."""
TAIL_BYTES = 16_384
_log = logging.getLogger(__name__)


def bound(paths: Iterable[Path], limit: int = MAX_BYTES) -> None:
    """Move what a log holds to `NAME.1` once it is larger than `limit` bytes. Its writer keeps it open in append mode
    and continues at the new end. Raises OSError when the disk is full."""
    for path in paths:
        try:
            if path.stat().st_size <= limit:
                continue
        except FileNotFoundError:
            continue
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)


def tail(path: Path, lines: int) -> list[str]:
    """The last lines that aren't empty, oldest first; [] when there is no such file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]


class _RuntimeLog(logging.handlers.RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        """A full disk is said where the state folder is written; a traceback of it would go to the terminal."""


@contextlib.contextmanager
def keep_log(path: Path) -> Iterator[None]:
    """Write what Python's loggers say into a file, and an error that nobody expected, with their tracebacks: those are
    not for a terminal."""
    handler = _RuntimeLog(
        path, maxBytes=MAX_BYTES, backupCount=1, encoding="utf-8", errors="backslashreplace", delay=True
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.WARNING)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    except LocalError:
        raise
    except Exception:
        _log.exception("the runtime failed")
        raise
    finally:
        root.removeHandler(handler)
        handler.close()
