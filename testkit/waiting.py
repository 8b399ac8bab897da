"""Waits for a condition and gives up with the last words of what was waited for: never a sleep in its place."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

START_SECONDS: Final = 60.0


class StartError(Exception):
    """Something didn't start or come true in time. The message has its last words."""


async def until(
    holds: Callable[[], object],
    what: str,
    said: Callable[[], str] = str,
    *,
    seconds: float = START_SECONDS,
    every: float = 0.02,
) -> None:
    """Return as soon as it holds. StartError with what `said` returns when it takes too long."""
    try:
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110 - what it asks about is not ours to be told by
                await asyncio.sleep(every)
    except TimeoutError:
        raise StartError(f"not within {seconds:g} s: {what}\n{said()}") from None


async def eventually(
    probe: Callable[[], Awaitable[bool]], what: str, *, seconds: float = START_SECONDS, every: float = 0.1
) -> None:
    """The same for a question that has to be asked."""
    try:
        async with asyncio.timeout(seconds):
            while not await probe():  # noqa: ASYNC110
                await asyncio.sleep(every)
    except TimeoutError:
        raise StartError(f"not within {seconds:g} s: {what}") from None
