"""The arithmetic of the limit: GCRA, a token bucket whose whole state is one moment.

That moment, the *theoretical arrival time* (TAT), is when the bucket would be full again. `gcra.lua` does the same
in Redis, operation for operation, so that both give the same answers to the last bit; a property test holds them to it.
Source: ATM Forum, Traffic Management 4.0, section 4.4.3 (the virtual scheduling algorithm).
"""

from dataclasses import dataclass
from math import ceil, floor
from typing import NamedTuple, Self

SECOND = 1_000_000.0
"""Times here are in microseconds, on any clock that doesn't matter to the result."""
SLACK = 1.0
"""Microseconds that a bucket is deeper than its burst. Sums of intervals such as 1/7 s are rounded; without it the last
token of a burst would go missing now and then."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`interval` until the next token; `depth` is what a full bucket holds, both in microseconds."""

    interval: float
    depth: float
    per_second: int
    burst: int
    words: str
    """Both as Redis gets them, to the last bit."""

    @classmethod
    def of(cls, per_second: int, burst: int, *, shares: int = 1) -> Self:
        """One of `shares` equal parts of a limit: the tokens come so much slower, and so fewer fit in the same depth.
        At least one fits."""
        interval = SECOND / per_second
        depth = max(burst * interval, shares * interval) + SLACK
        return cls(interval * shares, depth, per_second, burst, f"{interval * shares!r} {depth!r}")


class Grant(NamedTuple):
    """`granted` tokens of those wanted, `remaining` after them, `wait` microseconds until there is one (0: now)."""

    granted: int
    remaining: int
    wait: int


def take(tat: float | None, now: float, rate: Rate, *, owed: int = 0, want: int = 1) -> tuple[float, Grant]:
    """Charges `owed` tokens whatever there is (negative: gives them back), then grants up to `want`.

    `tat` is None for a tenant that is not known. One further in the future than the bucket is deep is from a limit that
    was lower, or from a clock that was set back: it counts as an empty bucket, never as more.
    """
    start = now if tat is None else max(tat, now)
    start = min(max(start + owed * rate.interval, now), now + rate.depth)
    available = max(0, floor((now + rate.depth - start) / rate.interval))
    granted = min(want, available)
    after = start + granted * rate.interval
    remaining = available - granted
    wait = 0 if remaining > 0 else max(1, ceil(after + rate.interval - rate.depth - now))
    return after, Grant(granted, remaining, wait)
