"""When a slice is reconciled again though nothing happens."""

from math import inf

from resilientslice.canary.state import Phase
from resilientslice.controller.slice_state import SliceState
from resilientslice.planning.plan import Plan

DRAIN_SECONDS = 0.5
"""While requests leave a canary: Envoy counts them and sends no event."""
RETRY_SECONDS = 1.0
"""Until a configuration is pushed again to an Envoy that did not answer."""


def next_pass(state: SliceState, planned: Plan, *, pushed: bool, later: float, now: float) -> float | None:
    """Return seconds since the epoch; None for never.

    `pushed`: not every Envoy has taken the configuration. `later`: when a status that is held back is due, infinity
    for never.
    """
    times = [later, *state.deadlines(now)]
    times += [] if planned.next_deadline is None else [planned.next_deadline]
    if state.again:
        state.again = False
        times.append(now)
    if pushed:
        times.append(now + RETRY_SECONDS)
    if planned.memory is not None and planned.memory.state.phase is Phase.DRAINING:
        times.append(now + DRAIN_SECONDS)
    found = min(times)
    return None if found == inf else found
