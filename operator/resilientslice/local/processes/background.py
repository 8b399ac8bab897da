"""Work beside other work: kept going, waited for together, woken by what happens."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable

from resilientslice.local.processes.report import Journal

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
                journal.warning("InternalError", f"{name} failed and is started again, what runs continues: {said}")
        await asyncio.sleep(RETRY_SECONDS)


async def cancelled(task: "asyncio.Future[None]") -> None:
    """End a background task; an error it ended with was said."""
    task.cancel()
    await asyncio.wait([task])
    with contextlib.suppress(asyncio.CancelledError):
        task.exception()


async def all_of(works: Iterable[Awaitable[None]]) -> None:
    """Wait until every one is done, then raise the first error, if there was one."""
    for outcome in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


class Pulse:
    """Each `beat` wakes all that `wait` at that moment."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def beat(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self) -> None:
        await self._next.wait()
