"""After a restart: was a decision made and handed to the Envoys that was never written down?

A configuration is pushed before the state is stored, because callers wait for it. Should the operator end in between,
what the Envoys run tells what was decided: if the remembered state, with every Envoy as it was when that state was
stored, leads to exactly a configuration that one of them runs now, then it has led there before. One is proof enough:
nobody else hands out configurations. The others were not reached, and are handed it now.
"""

from collections.abc import Callable
from dataclasses import replace

from resilientslice.canary.state import Event
from resilientslice.planning.observed import Envoys, Observed
from resilientslice.planning.plan import Plan

MOST_STEPS = 3
"""Decisions that can follow each other without anything being stored; more are taken again from the start."""


def recovered(observed: Observed, planned: Callable[[Observed], Plan]) -> tuple[Observed, tuple[Event, ...]]:
    """`observed` with the last memory that an Envoy proves, and the transitions up to it; unchanged if none does.

    `planned` makes the plan of an observation, with everything else as it is now.
    """
    running = set(observed.envoys.proxies.acked.values())
    memory = observed.memory
    if memory is None or running <= {memory.config}:
        return observed, ()
    found: tuple[Observed, tuple[Event, ...]] = observed, ()
    events: tuple[Event, ...] = ()
    for _ in range(MOST_STEPS):
        made = planned(replace(observed, memory=memory, envoys=_all_running(observed.envoys, memory.config)))
        if made.memory is None or made.memory.config == memory.config:
            break
        memory, events = made.memory, (*events, *made.events)
        if memory.config in running:
            found = replace(observed, memory=memory), events
    return found


def _all_running(envoys: Envoys, config: str) -> Envoys:
    """Those that don't answer now did so then, or nothing more would have been decided."""
    proxies = envoys.proxies
    silent = (f"silent-{number}" for number in range(proxies.total - len(proxies.acked)))
    return replace(envoys, proxies=replace(proxies, acked=dict.fromkeys((*proxies.acked, *silent), config)))
