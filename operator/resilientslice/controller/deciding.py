"""Gather → plan → push: decides what is to be, until there is nothing new that the Envoys would have to know.

What a decision begins with is stored before it is pushed; all else is written after. Nothing else is written here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from resilientslice.api.slice import ResilientSlice
from resilientslice.controller.gather import Obstacles, gather
from resilientslice.controller.held import Held, Withheld
from resilientslice.controller.recent import Recent
from resilientslice.controller.timings import Timings
from resilientslice.controller.wanted import asked
from resilientslice.controller.withheld import NothingStoredError, withhold
from resilientslice.envoys.port import Agents, Seen
from resilientslice.history.regained import regained
from resilientslice.history.store import Remembering
from resilientslice.kube.cache import Children
from resilientslice.kube.kinds import CONTROLLER_REVISION, SliceKey
from resilientslice.planning.observed import Observed
from resilientslice.planning.plan import Desired, Plan, plan
from resilientslice.render.envoy import EnvoyRenderer
from resilientslice.render.images import Images
from resilientslice.render.proxy import cluster_topology

MOST_TURNS = 4
"""Decisions that follow each other within one pass: acknowledged, so the next one, so pushed …"""
RENDERERS = 8
"""Slices whose Envoys' configuration is kept for the next edit, the latest: some 300 KB of a slice of four services."""


@dataclass(frozen=True, slots=True)
class Deciding:
    """`sleep_action` as in `revision_of`."""

    children: Children
    agents: Agents
    remembering: Remembering
    timings: Timings
    images: Images
    operator_namespace: str
    sleep_action: bool
    renderers: Recent[SliceKey, EnvoyRenderer]

    async def decide(self, key: SliceKey, held: Held, slice_: ResilientSlice, now: float) -> tuple[Plan, bool]:
        """Plans, and pushes what the Envoys are to run, until there is nothing new to push or they don't answer.
        True if not every Envoy has taken what was pushed last. NothingStoredError for a slice that can't begin."""
        planned, seen = await self._storable(key, held, slice_, now)
        for _ in range(MOST_TURNS):
            if planned.desired is None or not _to_push(planned.desired, seen):
                return planned, False
            held.epoch = await self.agents.push(key, planned.desired.envoy)
            self.timings.mark("push")
            digest = planned.desired.envoy.digest
            planned, seen = await self._storable(key, held, slice_, now)
            if seen.proxies.owe(digest):
                return planned, True
        return planned, True

    def seen(self, key: SliceKey, held: Held) -> Seen:
        canary = held.memory.state.services if held.memory and held.memory.canary else ()
        return self.agents.seen(key, canary)

    async def _storable(self, key: SliceKey, held: Held, slice_: ResilientSlice, now: float) -> tuple[Plan, Seen]:
        """The plan, after the revisions that it begins with were stored: what is pushed must be known after a restart.
        Without the wanted revision if that can't be stored: everything else still acts."""
        held.unstored = None
        planned, seen = self._plan(key, held, slice_, now)
        if planned.desired is None or planned.memory is None:
            return planned, seen
        before, events = held.before
        failed = await self.remembering.begin(planned.desired.slice_, held, before, planned.memory, now)
        if failed is None:
            held.withheld = None
            return planned, seen
        held.memory, held.events = before, events
        withheld = withhold(held, slice_, failed)
        if before is None:
            raise failed.error or NothingStoredError(held.refusals[CONTROLLER_REVISION.kind, failed.revision])
        held.unstored = failed.error
        return self._plan(key, held, slice_, now, withheld=withheld)

    def _plan(
        self, key: SliceKey, held: Held, slice_: ResilientSlice, now: float, *, withheld: Withheld | None = None
    ) -> tuple[Plan, Seen]:
        seen = self.seen(key, held)
        observed = self._gather(key, held, seen, now)
        self.timings.mark("gather")
        make = self._planner(key, held, slice_, now, withheld=withheld)
        if not held.planned:
            observed = regained(held, slice_, observed, make, self.renderers.of(key))
        held.before = observed.memory, held.events
        planned = make(observed)
        self.timings.mark("plan")
        held.memory = planned.memory
        held.events = (*held.events, *planned.events)
        return planned, seen

    def _planner(
        self, key: SliceKey, held: Held, slice_: ResilientSlice, now: float, *, withheld: Withheld | None
    ) -> Callable[[Observed], Plan]:
        def make(seen: Observed) -> Plan:
            asks, wanted = asked(held, slice_, seen.memory, withheld, sleep_action=self.sleep_action)
            return plan(
                asks,
                seen,
                now,
                place=cluster_topology,
                render=self.renderers.of(key),
                images=self.images,
                operator_namespace=self.operator_namespace,
                sleep_action=self.sleep_action,
                wanted=wanted,
                withheld=withheld.revision if withheld else "",
            )

        return make

    def _gather(self, key: SliceKey, held: Held, seen: Seen, now: float) -> Observed:
        held.contests = held.contests.current(now)
        strangers = {*held.foreign, *held.strangers}
        known = self.children.of(key)
        remade = held.still_remade(known)
        obstacles = Obstacles(tuple(strangers), held.contests, held.troubles(now), held.pods, held.queued, remade)
        volumes = held.seen_volumes()
        return gather(held.memory, known.values(), held.uid, seen, obstacles, now=now, volumes=volumes)


def _to_push(desired: Desired, seen: Seen) -> bool:
    """A configuration is not offered again to an Envoy that refused it."""
    return seen.proxies.owe(desired.envoy.digest) > 0
