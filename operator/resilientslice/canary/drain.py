"""When the last request has left the canary, so that its pods may go."""

from resilientslice.canary.state import Signals, State

SETTLE_SECONDS = 1.0
"""Requests that were routed just before the acknowledgement have started by then, and are counted."""
UNCOUNTED_SECONDS = 5.0
"""Where nobody counts requests under way: longer than any usual time-out."""
LIMIT_SECONDS = 30.0
"""Streams without an end are cut by the pods' own graceful shutdown after this."""


def drained(state: State, signals: Signals, now: float) -> bool:
    at = drain_deadline(state, signals)
    return at is not None and now >= at


def drain_deadline(state: State, signals: Signals) -> float | None:
    """When it counts as drained if nothing changes, in seconds since the epoch; None before the acknowledgement."""
    if state.acked_at is None:
        return None
    if signals.active is None:
        return state.acked_at + UNCOUNTED_SECONDS
    return state.acked_at + (LIMIT_SECONDS if signals.active else SETTLE_SECONDS)
