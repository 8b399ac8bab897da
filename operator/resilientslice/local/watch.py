"""Follows edits of a few files, also by editors that write another file and rename it over the old one."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from watchfiles import Change, awatch

DEBOUNCE_MILLISECONDS = 50
STEP_MILLISECONDS = 20
"""Watched is the folder, because a renamed file is another file."""


async def edits(paths: Iterable[Path], stop: asyncio.Event) -> AsyncIterator[None]:
    """One None for each burst of changes of any of the files, until `stop` is set. A file may not exist yet."""
    wanted = {place for path in paths for place in (path.absolute(), path.resolve())}
    folders = {path.parent for path in wanted if path.parent.is_dir()}

    def concerns(change: Change, path: str) -> bool:  # noqa: ARG001 - the signature that awatch wants
        return Path(path) in wanted

    async for _ in awatch(
        *folders,
        watch_filter=concerns,
        debounce=DEBOUNCE_MILLISECONDS,
        step=STEP_MILLISECONDS,
        stop_event=stop,
        recursive=False,
    ):
        yield
