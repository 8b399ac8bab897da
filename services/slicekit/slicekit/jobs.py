"""Work that a service does by the clock, beside its requests."""

import asyncio
from collections.abc import Awaitable, Callable

from slicekit.kit import Kit


async def repeat(kit: Kit, work: Callable[[], Awaitable[None]], *, pause: float) -> None:
    """Calls `work` every `pause` seconds until the service stops. What it raises ends the job, which starts anew."""
    while not kit.stopping.is_set():
        await work()
        await rest(kit, pause)


async def rest(kit: Kit, seconds: float) -> None:
    """Sleeps, unless the service stops meanwhile."""
    try:
        await asyncio.wait_for(kit.stopping.wait(), seconds)
    except TimeoutError:
        return
