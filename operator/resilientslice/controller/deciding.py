"""Gather → plan → push: decides what is to be, until there is nothing new that the Envoys would have to know.

What a decision begins with is stored before it is pushed; all else is written after. Nothing else is written here.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from resilientslice.api.slice import ResilientSlice
from resilientslice.canary.state import Event
from resilientslice.controller.gather import Obstacles, gather
from resilientslice.controller.interning import Recent
from resilientslice.controller.slice_state import SliceState
from resilientslice.controller.wanted import NothingStoredError, asked, withhold
from resilientslice.envoys.port import Agents
from resilientslice.history.regained import regained
from resilientslice.history.remembered import Withheld
from resilientslice.history.store import Keeping, MemoryStore
from resilientslice.kube.cache import Children
from resilientslice.kube.kinds import CONTROLLER_REVISION, SliceKey
from resilientslice.planning.desired import Desired
from resilientslice.planning.memory import Memory
from resilientslice.planning.observed import Envoys, Observed
from resilientslice.planning.plan import Plan, plan
from resilientslice.render.envoy import EnvoyRenderer
from resilientslice.render.images import DEFAULT_IMAGES, Images
from resilientslice.render.names import OPERATOR_NAMESPACE
from resilientslice.render.proxy import cluster_topology

MOST_TURNS = 4
"""Decisions that follow each other within one pass: acknowledged, so the next one, so pushed …"""
RENDERERS = 8
"""Slices whose Envoys' configuration is kept for the next edit, the latest: some 300 KB of a slice of four services."""


@dataclass(slots=True)
class Timings:
    """CPU and wall seconds of the last pass by stage, for benchmarks."""

    stages: dict[str, tuple[float, float]] = field(default_factory=dict)
    _last: tuple[float, float] = (0.0, 0.0)

    def begin(self) -> None:
        self.stages, self._last = {}, (time.process_time(), time.perf_counter())

    def mark(self, stage: str) -> None:
        now = (time.process_time(), time.perf_counter())
        before = self.stages.get(stage, (0.0, 0.0))
        self.stages[stage] = (before[0] + now[0] - self._last[0], before[1] + now[1] - self._last[1])
        self._last = now


@dataclass(frozen=True, slots=True)
class Settings:
    """What every slice is rendered with. `sleep_action` as in `revision_of`."""

    images: Images = DEFAULT_IMAGES
    operator_namespace: str = OPERATOR_NAMESPACE
    sleep_action: bool = True


@dataclass(frozen=True, slots=True)
class Made:
    """A plan, and what it was made of. `memory` and `events` are those before it."""

    plan: Plan
    seen: Envoys
    memory: Memory | None
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Deciding:
    children: Children
    agents: Agents
    store: MemoryStore
    settings: Settings
    timings: Timings
    renderers: Recent[SliceKey, EnvoyRenderer] = field(default_factory=lambda: Recent(RENDERERS, EnvoyRenderer))

    async def decide(self, key: SliceKey, state: SliceState, slice_: ResilientSlice, now: float) -> tuple[Plan, bool]:
        """Plan, and push what the Envoys are to run, until there is nothing new to push or they don't answer. True if
        not every Envoy has taken what was pushed last. Raises NothingStoredError for a slice that can't begin."""
        made = await self._storable(key, state, slice_, now)
        for _ in range(MOST_TURNS):
            if made.plan.desired is None or not _to_push(made.plan.desired, made.seen):
                return made.plan, False
            state.epoch = await self.agents.push(key, made.plan.desired.envoy)
            self.timings.mark("push")
            digest = made.plan.desired.envoy.digest
            made = await self._storable(key, state, slice_, now)
            if made.seen.proxies.owe(digest):
                return made.plan, True
        return made.plan, True

    def seen(self, key: SliceKey, state: SliceState) -> Envoys:
        memory = state.remembered.memory
        return self.agents.seen(key, memory.state.services if memory and memory.canary else ())

    async def _storable(self, key: SliceKey, state: SliceState, slice_: ResilientSlice, now: float) -> Made:
        """The plan, after the revisions that it begins with were stored: what is pushed must be known after a restart.
        Without the wanted revision if that can't be stored: everything else still acts."""
        remembered = state.remembered
        remembered.unstored = None
        made = self._plan(key, state, slice_, now)
        if made.plan.desired is None or made.plan.memory is None:
            return made
        keeping = Keeping(made.plan.desired.slice_, remembered, state.applied, now)
        failed = await self.store.begin(keeping, made.memory, made.plan.memory)
        if failed is None:
            remembered.withheld = None
            return made
        remembered.memory, state.reported.events = made.memory, made.events
        withheld = withhold(remembered, state.applied, slice_, failed)
        if made.memory is None:
            refusals = state.applied.refusals
            raise failed.error or NothingStoredError(refusals[CONTROLLER_REVISION.kind, failed.revision])
        remembered.unstored = failed.error
        return self._plan(key, state, slice_, now, withheld=withheld)

    def _plan(
        self,
        key: SliceKey,
        state: SliceState,
        slice_: ResilientSlice,
        now: float,
        *,
        withheld: Withheld | None = None,
    ) -> Made:
        seen, remembered, events = self.seen(key, state), state.remembered, state.reported.events
        observed = self._gather(key, state, seen, now)
        self.timings.mark("gather")
        make = self._planner(key, state, slice_, now, withheld=withheld)
        if not remembered.regained:
            observed, found = regained(remembered, slice_, observed, make, self.renderers.of(key))
            events = (*events, *found)
        planned = make(observed)
        self.timings.mark("plan")
        remembered.memory, state.reported.events = planned.memory, (*events, *planned.events)
        return Made(planned, seen, observed.memory, events)

    def _planner(
        self, key: SliceKey, state: SliceState, slice_: ResilientSlice, now: float, *, withheld: Withheld | None
    ) -> Callable[[Observed], Plan]:
        settings = self.settings

        def make(seen: Observed) -> Plan:
            asks, wanted = asked(state.remembered, slice_, seen.memory, withheld, sleep_action=settings.sleep_action)
            return plan(
                asks,
                seen,
                now,
                place=cluster_topology,
                render=self.renderers.of(key),
                images=settings.images,
                operator_namespace=settings.operator_namespace,
                sleep_action=settings.sleep_action,
                wanted=wanted,
                withheld=withheld.revision if withheld else "",
            )

        return make

    def _gather(self, key: SliceKey, state: SliceState, seen: Envoys, now: float) -> Observed:
        applied, known = state.applied, self.children.of(key)
        applied.contests = applied.contests.current(now)
        names = tuple({*applied.foreign, *applied.strangers})
        obstacles = Obstacles(
            names, applied.contests, state.troubles(now), state.pods.found, state.queued, state.still_remade(known)
        )
        volumes, memory = state.stores.seen_volumes(), state.remembered.memory
        return gather(memory, known.values(), state.uid, seen, obstacles, now=now, volumes=volumes)


def _to_push(desired: Desired, seen: Envoys) -> bool:
    """A configuration is not offered again to an Envoy that refused it."""
    return seen.proxies.owe(desired.envoy.digest) > 0
