"""Apply what was decided, but for the Envoys' configuration, which they have by now.

What may pass by itself is collected in a list of failures, and keeps nothing else from being applied.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from resilientslice.applying.difference import Change, Difference, difference_of
from resilientslice.applying.expected import Expected, complete
from resilientslice.applying.refusals import Collected
from resilientslice.applying.writer import ObjectWriter
from resilientslice.controller.deciding import Timings
from resilientslice.controller.pod_inquiry import PodInquiry
from resilientslice.controller.rendered import Rendering, configuration_id, expected_objects
from resilientslice.controller.slice_state import Pass, SliceState
from resilientslice.envoys.port import Seen
from resilientslice.history.record import record_of
from resilientslice.history.store import MemoryStore
from resilientslice.kube.cache import Children
from resilientslice.kube.children import ChildId
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import KubeError
from resilientslice.kube.kinds import CONTROLLER_REVISION, DEPLOYMENT, STATEFUL_SET, Object, SliceKey
from resilientslice.planning.observed import Proxies
from resilientslice.planning.plan import Desired, Plan
from resilientslice.render.names import proxy_name
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
        self.rollouts = rollouts
        self._timings = timings

    async def apply(self, at: Pass, planned: Plan, look: Callable[[], Seen], outcome: Outcome) -> None:
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
        difference = self._difference(at, expected, desired, look().proxies)
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
        """Give up the place of the slice's proxies among those that wait to be rolled out."""
        state.queued = None
        self.rollouts.leave(key)

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

    def _difference(
        self, at: Pass, expected: dict[ChildId, Expected], desired: Desired, proxies: Proxies
    ) -> Difference:
        key, state, now = at.key, at.state, at.now
        applied, children = state.applied, self._children.of(key)
        applied.contests = applied.contests.of_children(expected)
        withheld = _withheld(state, desired, proxies)
        withheld |= applied.withheld({child: entry.digest for child, entry in expected.items()}, now)
        withheld |= self._waiting(key, state, expected, withheld)
        shapes = applied.expected_shapes(children, now)
        found = difference_of(expected, children, state.uid, as_applied=shapes, held=withheld)
        if applied.overwritten(found.changes):
            state.rivalry.note(now)
        applied.foreign = found.strangers
        revisions = {child for child in applied.refusals if child[0] == CONTROLLER_REVISION.kind}
        tried = {*withheld, *(change.id for change in found.changes)}
        applied.keep_refusals(revisions | (tried & expected.keys()))
        return found

    def _waiting(
        self, key: SliceKey, state: SliceState, expected: dict[ChildId, Expected], withheld: set[ChildId]
    ) -> set[ChildId]:
        """The proxies, while a new operator's version of them waits for a slot."""
        proxies = (DEPLOYMENT.kind, proxy_name(key.name))
        if proxies in withheld or proxies not in expected:
            self.leave_line(key, state)
            return set()
        found = self.rollouts.look(key, expected[proxies])
        state.again, state.queued = state.again or found != state.queued, found
        return {proxies} if found else set()


def _withheld(state: SliceState, desired: Desired, proxies: Proxies) -> set[ChildId]:
    """A configuration that Envoys reject and none runs is not stored for the next one to start from; and a store
    without its credentials is not started. The proxies themselves are never withheld: another version of them may
    accept it."""
    found, digest = set[ChildId](), desired.envoy.digest
    if proxies.refusing(digest) and not proxies.running(digest):
        found.add(configuration_id(desired.slice_.name))
    return found | {(STATEFUL_SET.kind, name) for name in state.stores.unready(desired.slice_)}
