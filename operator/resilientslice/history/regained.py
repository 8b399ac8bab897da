"""The memory that a process begins with: as it was stored or adopted, and with what only the Envoys know of it."""

from collections.abc import Callable
from dataclasses import replace

from resilientslice.api.slice import ResilientSlice
from resilientslice.canary.state import Event
from resilientslice.history.adoption import memory_lost, proved
from resilientslice.history.recovery import recovered
from resilientslice.history.remembered import Remembered
from resilientslice.planning.desired import tracks_of
from resilientslice.planning.memory import Memory
from resilientslice.planning.observed import Observed
from resilientslice.planning.offers import Render
from resilientslice.planning.plan import Plan
from resilientslice.planning.policy import governed
from resilientslice.render.proxy import cluster_topology


def regained(
    remembered: Remembered,
    slice_: ResilientSlice,
    observed: Observed,
    planned: Callable[[Observed], Plan],
    render: Render,
) -> tuple[Observed, tuple[Event, ...]]:
    """Return `observed` with that memory, and Events of what happened on the way."""
    events: tuple[Event, ...] = ()
    if remembered.adopted is None:
        observed, events = recovered(observed, planned)
    else:
        memory = proved(remembered.adopted, observed, lambda memory: configuration_digests(slice_, memory, render))
        observed = replace(observed, memory=memory)
    if remembered.lost and observed.memory is not None:
        events = (memory_lost(observed.memory, remembered.lost), *events)
    remembered.adopted, remembered.lost, remembered.regained = None, "", True
    remembered.memory = observed.memory
    return observed, events


def configuration_digests(slice_: ResilientSlice, memory: Memory, render: Render) -> set[str]:
    """On the policy of the spec, and on the one that the Envoys accepted last."""
    asks = [slice_, *([governed(slice_, memory.accepted)] if memory.accepted else [])]
    # no time has begun to run for what was adopted
    tracks = tracks_of(memory, slice_, now=0.0)
    return {render(one, *tracks, cluster_topology(one, *tracks)).digest for one in asks}
