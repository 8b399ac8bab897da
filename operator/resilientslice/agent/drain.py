"""Lets Envoy's clients leave before it ends: no request that is under way, or comes meanwhile, is lost.

Everybody who sends requests must first hear that this proxy leaves, which takes seconds and can't be seen from here. So
draining lasts a while in any case; then until the last connection is gone, or until a deadline before Kubernetes kills.
"""

import asyncio
from typing import Protocol

import structlog

from resilientslice.agent.admin import AdminUnreachableError
from resilientslice.agent.settings import DrainTimes

POLL_SECONDS = 0.25
_log = structlog.get_logger("resilientslice.agent")


class Drained(Protocol):
    async def drain(self) -> None: ...

    async def connections(self) -> int: ...


async def drain(envoy: Drained, times: DrainTimes) -> bool:
    """True once the last connection has gone; False at the deadline, or when there is no Envoy to drain."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    left: int | None = None
    try:
        async with asyncio.timeout_at(begun + times.most):
            await envoy.drain()
            _log.info("Envoy drains", least=times.least, most=times.most)
            await asyncio.sleep(times.least)
            while (left := await envoy.connections()) > 0:  # noqa: ASYNC110 - Envoy tells of it only when it is asked
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        _log.warning("the deadline for draining is over", connections=left, seconds=times.most)
        return False
    except AdminUnreachableError as error:
        _log.warning("Envoy can't be drained", reason=str(error))
        return False
    _log.info("Envoy is drained", seconds=round(loop.time() - begun, 1))
    return True
