"""Lets many wait for the next time that something happens."""

import asyncio


class Pulse:
    """Each `beat` wakes all that `wait` at that moment."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def beat(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self) -> None:
        await self._next.wait()
