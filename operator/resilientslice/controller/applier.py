"""Apply what was decided, but for the Envoys' configuration, which they have by now.

What may pass by itself is collected in a list of failures, and keeps nothing else from being applied.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from resilientslice.applying.difference import Change, Difference
from resilientslice.applying.expected import complete
from resilientslice.applying.refusals import Collected
from resilientslice.applying.writer import ObjectWriter
from resilientslice.controller.comparing import Comparing
from resilientslice.controller.deciding import Timings
from resilientslice.controller.pod_inquiry import PodInquiry
from resilientslice.controller.rendered import Rendering, expected_objects
from resilientslice.controller.slice_state import Pass, SliceState
from resilientslice.history.record import record_of
from resilientslice.history.store import MemoryStore
from resilientslice.kube.cache import Children
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import KubeError
from resilientslice.kube.kinds import DEPLOYMENT, STATEFUL_SET, Object, SliceKey
from resilientslice.planning.desired import Desired
from resilientslice.planning.observed import Envoys
from resilientslice.planning.plan import Plan
from resilientslice.rollouts.scheduler import ProxyRollouts
from resilientslice.stores.provision import ManagedStores

COUNTED = frozenset({DEPLOYMENT.kind, STATEFUL_SET.kind})
"""Kinds whose controllers count pods."""


@dataclass(slots=True)
class Outcome:
    """`failed`: what failed and may pass by itself. `rolled`: what was seen before this pass is not what is there now,
    because a workload was to be written, whose controller has not counted since. `waited`: the rollout of the proxies
    waited for a slot before it."""

    waited: bool = False
    failed: list[KubeError] = field(default_factory=list)
    rolled: bool = False
    defect: Exception | None = None
    """Not an error of the API: a mistake of this program."""

    @property
    def failure(self) -> Exception | None:
        """The first of all."""
        return self.defect or next(iter(self.failed), None)


class Applier:
    def __init__(
        self, client: KubeClient, children: Children, store: MemoryStore, rollouts: ProxyRollouts, timings: Timings
    ) -> None:
        self._client = client
        self._children = children
        self._store = store
        self._stores = ManagedStores(client)
        self._pods = PodInquiry(client, children)
        self._comparing = Comparing(children, rollouts)
        self.rollouts = rollouts
        self._timings = timings

    async def apply(self, at: Pass, planned: Plan, look: Callable[[], Envoys], outcome: Outcome) -> None:
        """Update `outcome`, also where it raises. `look` returns what is seen of the Envoys."""
        desired, memory, state = planned.desired, planned.memory, at.state
        if desired is None or memory is None:
            self.leave_line(at.key, state)
            return
        keeping, record, before = at.keeping(desired.slice_), record_of(desired.slice_, memory), state.obstacles()
        outcome.failed += await self._store.store_revisions(keeping, record)
        self._timings.mark("revisions")
        desired = await self._provision(at, planned, desired, outcome.failed)
        expected = expected_objects(desired, record, state.rendered)
        with Collected(outcome.failed):
            await self._store.reclaim_state(keeping, complete(desired, record.state))
        self._timings.mark("render")
        difference = self._comparing.compare(at, expected, desired, look())
        self._timings.mark("compare")
        await self._write(at, difference, Rendering(desired, record, state.epoch), outcome)
        self.rollouts.settle(at.key)
        if not outcome.failed:
            with Collected(outcome.failed):
                await self._store.forget_revisions(keeping, record, memory)
        with Collected(outcome.failed):
            found = await self._pods.ask(state.uid, state.pods, planned.status, desired.slice_, at.now)
            state.again = state.again or found
        state.again = state.again or state.obstacles() != before
        resized = before[-1] != state.stores.volumes
        outcome.rolled = resized or any(change.id[0] in COUNTED for change in difference.changes)

    def forget(self, key: SliceKey) -> None:
        self.rollouts.leave(key)

    def leave_line(self, key: SliceKey, state: SliceState) -> None:
        """As `Comparing.leave_line`."""
        self._comparing.leave_line(key, state)

    async def _provision(self, at: Pass, planned: Plan, desired: Desired, failed: list[KubeError]) -> Desired:
        """`desired` with the volumes that are in force."""
        state = at.state
        state.terminal = await self._stores.ensure(
            desired.slice_, state.stores, planned.stores, at.now, failed=failed, before=state.terminal
        )
        return state.stores.sized(desired)

    async def _write(self, at: Pass, difference: Difference, rendering: Rendering, outcome: Outcome) -> None:
        def finished(change: Change) -> Object:
            return rendering.object_to_apply(change.id)

        applied = at.state.applied
        writer = ObjectWriter(self._client, self._children, at.key, applied=applied, now=at.now, finished=finished)
        outcome.failed += await writer.carry_out(difference)
