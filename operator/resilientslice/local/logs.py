"""Log files of processes: each appends to its own, and none grows without bound."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

MAX_BYTES = 8 * 1024**2
"""A log and its predecessor together are at most twice this, and what is written within one check."""
TAIL_BYTES = 16_384


def bound(paths: Iterable[Path], limit: int = MAX_BYTES) -> None:
    """Move what a log holds to `NAME.1` once it is larger than `limit` bytes. Its writer keeps it open in append mode
    and goes on at the new end. Raises OSError when the disk is full."""
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
