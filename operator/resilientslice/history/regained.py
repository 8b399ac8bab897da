"""The memory that a process begins with: as it was stored or adopted, and with what only the Envoys know of it."""

from collections.abc import Callable
from dataclasses import replace

from resilientslice.api.slice import ResilientSlice
from resilientslice.canary.state import Event
from resilientslice.controller.held import Held
from resilientslice.history.adoption import memory_lost, proved
from resilientslice.history.recovery import recovered
from resilientslice.planning.memory import Memory
from resilientslice.planning.observed import Observed
from resilientslice.planning.plan import Plan, Render, tracks_of
from resilientslice.planning.policy import governed
from resilientslice.render.proxy import cluster_topology


def regained(
    held: Held, slice_: ResilientSlice, observed: Observed, planned: Callable[[Observed], Plan], render: Render
) -> Observed:
    """`observed` with that memory; what happened on the way is to be told."""
    events: tuple[Event, ...] = ()
    if held.adopted is None:
        observed, events = recovered(observed, planned)
    else:
        memory = proved(held.adopted, observed, lambda memory: configuration_digests(slice_, memory, render))
        observed = replace(observed, memory=memory)
    if held.lost and observed.memory is not None:
        events = (memory_lost(observed.memory, held.lost), *events)
    held.adopted, held.lost, held.planned = None, "", True
    held.memory, held.events = observed.memory, (*held.events, *events)
    return observed


def configuration_digests(slice_: ResilientSlice, memory: Memory, render: Render) -> set[str]:
    """On the policy of the spec, and on the one that the Envoys accepted last."""
    asks = [slice_, *([governed(slice_, memory.accepted)] if memory.accepted else [])]
    # no time has begun to run for what was adopted
    tracks = tracks_of(memory, slice_, now=0.0)
    return {render(one, *tracks, cluster_topology(one, *tracks)).digest for one in asks}
