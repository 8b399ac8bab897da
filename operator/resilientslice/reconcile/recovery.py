"""After a restart: was a decision made and handed to the Envoys that was never written down?

A configuration is pushed before anything is stored, because callers wait for it. Should the operator end in between,
what the Envoys run tells what was decided: if the remembered state, with every Envoy as it was when that state was
stored, leads to exactly the configuration that they run now, then it has led there before.
"""

from collections.abc import Callable
from dataclasses import replace

from resilientslice.canary.state import Event
from resilientslice.reconcile.observed import Observed
from resilientslice.reconcile.plan import Plan

MOST_STEPS = 3
"""Decisions that can follow each other without anything being stored; more are taken again from the start."""


def recovered(observed: Observed, planned: Callable[[Observed], Plan]) -> tuple[Observed, tuple[Event, ...]]:
    """`observed` with the memory that the Envoys prove, and the transitions in between; unchanged if they prove none.

    `planned` makes the plan of an observation, with everything else as it is now.
    """
    running = set(observed.proxies.acked.values())
    memory = observed.memory
    if memory is None or len(running) != 1 or memory.config in running:
        return observed, ()
    events: tuple[Event, ...] = ()
    for _ in range(MOST_STEPS):
        as_then = dict.fromkeys(observed.proxies.acked, memory.config)
        made = planned(replace(observed, memory=memory, proxies=replace(observed.proxies, acked=as_then)))
        if made.memory is None or made.memory.config == memory.config:
            return observed, ()
        memory, events = made.memory, (*events, *made.events)
        if memory.config in running:
            return replace(observed, memory=memory), events
    return observed, ()
