"""Ends many things at once: one that can't be ended keeps none of the others from it."""

import asyncio
from collections.abc import Awaitable, Iterable


async def all_of(works: Iterable[Awaitable[None]]) -> None:
    """Wait until every one is done, then raise the first error, if there was one."""
    for outcome in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
