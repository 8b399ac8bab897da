"""Work that goes on beside everything else for as long as a runtime lives."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from resilientslice.local.report import Journal

RETRY_SECONDS = 1.0
_log = logging.getLogger(__name__)


async def kept_going(name: str, work: Callable[[], Awaitable[None]], journal: Journal) -> None:
    """Do `work`, and again after an error of it, which is said once as long as it stays the same."""
    said = ""
    while True:
        try:
            return await work()
        except Exception as error:
            _log.exception("%s failed", name)
            if said != repr(error):
                said = repr(error)
                journal.warning("InternalError", f"{name} failed and is started again, what runs goes on: {said}")
        await asyncio.sleep(RETRY_SECONDS)


async def cancelled(task: "asyncio.Future[None]") -> None:
    """End a background task; an error it ended with was said."""
    task.cancel()
    await asyncio.wait([task])
    with contextlib.suppress(asyncio.CancelledError):
        task.exception()
