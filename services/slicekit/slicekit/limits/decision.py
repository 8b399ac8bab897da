"""What became of one request, and by whose count."""

from enum import StrEnum
from typing import NamedTuple


class Mode(StrEnum):
    """By whose count a request was let through or not."""

    EXACT = "exact"
    """Redis', over all replicas; also by a lease or a denial that it gave."""
    LOCAL = "local"
    """This replica's own, by its share of the limit."""
    OPEN = "open"
    """Nobody's: all are let through."""
    CLOSED = "closed"
    """Nobody's: all are turned away."""


class Decision(NamedTuple):
    """`remaining` requests may follow at once, None where nobody knows; `wait` is in microseconds, until the next may
    come."""

    allowed: bool
    mode: Mode
    per_second: int
    remaining: int | None
    wait: float
