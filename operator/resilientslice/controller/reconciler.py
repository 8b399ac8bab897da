"""One pass over one slice: gather → plan → push → apply → status.

The push comes first of all that is written, because callers wait for it: before it, nothing is rendered, compared or
asked that the Envoys don't need. What is decided once is kept in `Held` and made durable right after the push; should
the process end in between, `history.recovery` finds out.
"""

import logging
import time
from collections.abc import Callable
from math import inf

from resilientslice.agent.signing import UnusableKeyError
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.status import Status
from resilientslice.applying.difference import Change, Difference, difference_of
from resilientslice.applying.expected import Expected, complete
from resilientslice.applying.refusals import Collected
from resilientslice.applying.writer import ObjectWriter
from resilientslice.canary.state import Phase
from resilientslice.claims.claimant import Claims
from resilientslice.controller.deciding import RENDERERS, Deciding
from resilientslice.controller.held import Held
from resilientslice.controller.interning import Shared
from resilientslice.controller.pod_inquiry import PodInquiry
from resilientslice.controller.recent import Recent
from resilientslice.controller.rendered import configuration_id, expected_objects, object_to_apply
from resilientslice.controller.report import Report
from resilientslice.controller.standing import LeftAlone, Standing
from resilientslice.controller.timings import Timings
from resilientslice.controller.understood import understand
from resilientslice.controller.withheld import NothingStoredError
from resilientslice.envoys.key_rotation import ROTATE_ANNOTATION
from resilientslice.envoys.pods import envoys
from resilientslice.envoys.port import Agents
from resilientslice.history.recall import unreadable
from resilientslice.history.record import record_of
from resilientslice.history.store import Remembering
from resilientslice.kube.cache import Children
from resilientslice.kube.children import ChildId
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import KubeError, NotLeadingError
from resilientslice.kube.kinds import CONTROLLER_REVISION, DEPLOYMENT, STATEFUL_SET, Object, SliceKey
from resilientslice.kube.slices import Slices
from resilientslice.planning.memory import UnreadableMemoryError
from resilientslice.planning.plan import Desired, Plan
from resilientslice.planning.status import unfinished_status
from resilientslice.render.envoy import EnvoyRenderer
from resilientslice.render.images import DEFAULT_IMAGES, Images
from resilientslice.render.names import OPERATOR_NAMESPACE, proxy_name
from resilientslice.rollouts.scheduler import ProxyRollouts
from resilientslice.rollouts.slots import PROXY_ROLLOUTS
from resilientslice.stores.provision import ManagedStores, stores_to_wait
from resilientslice.workqueue.queue import Result, Wake

_log = logging.getLogger(__name__)

DRAIN_SECONDS = 0.5
"""While requests leave a canary: Envoy counts them and tells nobody."""
SYNC_SECONDS = 0.5
KEY_SECONDS = 30.0
"""Until a Secret whose key can't be used is read again."""
RETRY_SECONDS = 1.0
"""Until a configuration is handed again to an Envoy that did not answer."""


COUNTED = frozenset({DEPLOYMENT.kind, STATEFUL_SET.kind})
"""Kinds whose controllers count pods."""


class NotSyncedError(Exception):
    """Not everything was listed yet: nothing may be concluded from what is missing."""

    retry_after = SYNC_SECONDS


class Reconciler:
    """Owns what is held of each slice. `reconcile` is called for one key at a time, and never twice for the same."""

    def __init__(
        self,
        client: KubeClient,
        slices: Slices,
        children: Children,
        agents: Agents,
        *,
        images: Images = DEFAULT_IMAGES,
        operator_namespace: str = OPERATOR_NAMESPACE,
        sleep_action: bool = True,
        instance: str = "resilientslice",
        installation: str = "",
        clock: Callable[[], float] = time.time,
        proxy_rollouts: int = PROXY_ROLLOUTS,
        wake: Wake[SliceKey] = lambda key, *, after=0.0: None,  # noqa: ARG005
    ) -> None:
        """`sleep_action` as in `revision_of`, `installation` as in `Claims`. `clock` gives seconds since the epoch.
        `proxy_rollouts`: slices whose proxies are replaced at a time when nobody has edited them; `wake` has a slice
        looked at."""
        self._client = client
        self._slices = slices
        self._children = children
        self._agents = agents
        self._sleep_action = sleep_action
        self._clock = clock
        self._remembering = Remembering(client, children)
        self._stores = ManagedStores(client)
        self._pods = PodInquiry(client, children)
        self._report = Report(client, slices, instance)
        self.claims = Claims(client, children, installation)
        self._standing = Standing(self.claims, self._report)
        self._wake = wake
        self.rollouts = ProxyRollouts(slices, children, places=proxy_rollouts, wake=wake, clock=clock)
        self._held: dict[SliceKey, Held] = {}
        self._renderers = Recent[SliceKey, EnvoyRenderer](RENDERERS, EnvoyRenderer)
        self.shared = Shared()
        self.timings = Timings()
        self._deciding = Deciding(
            children,
            agents,
            self._remembering,
            self.timings,
            images,
            operator_namespace,
            sleep_action,
            self._renderers,
        )

    async def reconcile(self, key: SliceKey) -> Result:
        """One pass. Raises KubeError for what is worth another try, NotSyncedError before everything was listed."""
        self.timings.begin()
        raw = self._slices.get(key)
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            self._forget(key)
            self.claims.forget(key)
            return Result()
        if not self._children.synced():
            raise NotSyncedError(f"{key}: waits until everything was listed: {', '.join(self._children.missing())}")
        held = self._held_of(key, raw)
        understood = understand(raw, held)
        try:
            left = await self._standing.of(key, raw, held, understood, self._clock())
            if left is not None:
                return self._leave_alone(key, held, left)
            if understood.slice_ is None:
                return await self._stall(key, raw, held, understood.status, understood.problems)
            await self._load(held, understood.slice_)
            if not understood.slice_.spec.suspend:
                await self._agents.follow(key, envoys(key, held.uid, self._children), understood.slice_, _rotation(raw))
        except UnreadableMemoryError as error:
            said = unreadable(key, error)
            return await self._stall(key, raw, held, understood.status, said, reason="MemoryUnreadable")
        except UnusableKeyError as error:
            # nobody tells when it is mended: Secrets are not watched
            until = self._clock() + KEY_SECONDS
            return await self._stall(key, raw, held, understood.status, str(error), reason="UnusableKey", until=until)
        except NotLeadingError:
            raise
        except KubeError as error:
            await self._report.unread(key, raw, held, before=understood.status, error=error, now=self._clock())
            raise
        return await self._pass(key, raw, held, understood.slice_)

    async def _pass(self, key: SliceKey, raw: Object, held: Held, slice_: ResilientSlice) -> Result:
        now = self._clock()
        self.timings.mark("read")
        try:
            planned, pushed = await self._deciding.decide(key, held, slice_, now)
        except NothingStoredError as error:
            refused, until = error.refusal.trouble, error.refusal.until
            return await self._stall(key, raw, held, slice_.status, refused.message, reason=refused.reason, until=until)
        except NotLeadingError:
            raise
        except KubeError as error:
            await self._report.unread(key, raw, held, before=slice_.status, error=error, now=self._clock())
            raise
        held.failed, defect = [], None
        waited, said = held.queued is not None, not held.unsaid
        held.unsaid = rolled = False
        if planned.desired is not None and planned.memory is not None:
            try:
                with Collected(held.failed):
                    rolled = await self._carry_out(key, held, planned, planned.desired, now)
                    await self._tend_key(key, raw, held, slice_, now)
            except Exception as error:
                defect = error
        else:
            self._leave_line(key, held)
        over = bool(held.failing.of) and not held.failed
        held.failing = held.failing.after(held.failed, key.namespace, now)
        failed = bool(held.failed or defect)
        self.timings.mark("apply")
        if not failed and said and (rolled or over or waited != (held.queued is not None)):
            # what was seen before this pass is not what is there now: the next one, at once, has it in its status
            held.unsaid = True
            return Result(now)
        after = unfinished_status(planned.status, slice_.status) if failed else planned.status
        later: float | None = None
        with Collected(held.failed):
            later = await self._report.write(key, raw, held, before=slice_.status, after=after, now=self._clock())
        self.timings.mark("status")
        if planned.awaits_envoys:
            self._agents.look_again(key)
        held.settle(self.shared)
        return self._ended(key, self._next(held, planned, pushed, later, now), defect or next(iter(held.failed), None))

    def _ended(self, key: SliceKey, deadline: float | None, failure: Exception | None) -> Result:
        """What failed is tried again with growing pauses; what else is due doesn't wait for that."""
        if failure is None:
            return Result(deadline)
        if deadline is not None:
            self._wake(key, after=max(deadline - self._clock(), 0.0))
        raise failure

    async def _tend_key(self, key: SliceKey, raw: Object, held: Held, slice_: ResilientSlice, now: float) -> None:
        news = await self._agents.tend_key(key, slice_, _rotation(raw), now)
        held.events, held.key_due = (*held.events, *news.events), news.deadline

    async def _carry_out(self, key: SliceKey, held: Held, planned: Plan, desired: Desired, now: float) -> bool:
        """Everything but the Envoys' configuration, which they have by now. True if what was seen before this pass is
        not what is there now: a workload was to be written, whose controller has not counted since. What may pass by
        itself ends up in `held.failed`."""
        memory = planned.memory
        if memory is None:
            return False
        record = record_of(desired.slice_, memory)
        before = held.obstacles()
        held.failed += await self._remembering.store_revisions(desired.slice_, held, record, now)
        self.timings.mark("revisions")
        held.terminal = await self._stores.ensure(desired.slice_, held, planned.stores, now)
        desired = held.sized(desired)
        expected = expected_objects(desired, record, held)
        with Collected(held.failed):
            await self._remembering.reclaim_state(key, held, complete(desired, record.state), now)
        self.timings.mark("render")
        difference = self._difference(key, held, expected, desired, now)

        def finished(change: Change) -> Object:
            return object_to_apply(change.id, desired, record, held.epoch)

        writer = ObjectWriter(self._client, self._children, key, held=held, now=now, finished=finished)
        self.timings.mark("compare")
        failed = await writer.carry_out(difference)
        held.failed += failed
        self.rollouts.settle(key)
        if not failed:
            with Collected(held.failed):
                await self._remembering.forget_revisions(key, held, record, memory)
        with Collected(held.failed):
            await self._pods.ask(key, held, planned.status, desired.slice_, now)
        held.again = held.again or held.obstacles() != before
        return before[-1] != held.volumes or any(change.id[0] in COUNTED for change in difference.changes)

    def _difference(
        self, key: SliceKey, held: Held, expected: dict[ChildId, Expected], desired: Desired, now: float
    ) -> Difference:
        withheld = self._withheld(key, held, desired)
        held.contests = held.contests.of_children(expected)
        digests = {child: entry.digest for child, entry in expected.items()}
        for child, refusal in held.refusals.items():
            if refusal.until > now and digests.get(child) == refusal.digest:
                withheld.add(child)
        held.strangers = {child: until for child, until in held.strangers.items() if child in expected}
        withheld |= {child for child, until in held.strangers.items() if until > now}
        withheld |= self._waiting(key, held, expected, withheld)
        children = self._children.of(key)
        applied = held.applied(children, now)
        found = difference_of(expected, children, held.uid, as_applied=applied, held=withheld)
        held.overwritten(found.changes, now)
        held.foreign = found.strangers
        revisions = {child for child in held.refusals if child[0] == CONTROLLER_REVISION.kind}
        held.keep_refusals(revisions | ({*withheld, *(change.id for change in found.changes)} & expected.keys()))
        return found

    def _withheld(self, key: SliceKey, held: Held, desired: Desired) -> set[ChildId]:
        """A configuration that Envoys refuse and none runs is not stored for the next one to start from; and a store
        without its credentials is not started. The proxies themselves are never withheld: another version of them may
        be what ends the refusal."""
        slice_, found = desired.slice_, set[ChildId]()
        proxies, digest = self._deciding.seen(key, held).proxies, desired.envoy.digest
        if proxies.refusing(digest) and not proxies.running(digest):
            found.add(configuration_id(slice_.name))
        return found | {(STATEFUL_SET.kind, name) for name in stores_to_wait(slice_, held)}

    def _waiting(
        self, key: SliceKey, held: Held, expected: dict[ChildId, Expected], withheld: set[ChildId]
    ) -> set[ChildId]:
        """The proxies, while a new operator's version of them has to wait for those of other slices."""
        proxies = (DEPLOYMENT.kind, proxy_name(key.name))
        if proxies in withheld or proxies not in expected:
            self._leave_line(key, held)
            return set()
        found = self.rollouts.look(key, expected[proxies])
        held.again, held.queued = held.again or found != held.queued, found
        return {proxies} if found else set()

    def _leave_line(self, key: SliceKey, held: Held) -> None:
        held.queued = None
        self.rollouts.leave(key)

    def _next(self, held: Held, planned: Plan, pushed: bool, later: float | None, now: float) -> float | None:
        times = [at for at in (planned.next_deadline, later, *held.deadlines(now)) if at is not None]
        if held.again:
            held.again = False
            times.append(now)
        if pushed:
            times.append(now + RETRY_SECONDS)
        state = planned.memory.state if planned.memory else None
        if state is not None and state.phase is Phase.DRAINING:
            times.append(now + DRAIN_SECONDS)
        return min(times, default=None)

    async def _stall(
        self, key: SliceKey, raw: Object, held: Held, before: Status, said: str, *, reason: str = "", until: float = inf
    ) -> Result:
        """Nothing is touched; the last good configuration serves. Without `reason` the resource is to be corrected.
        `until`: when to try again by itself, in seconds since the epoch."""
        self._leave_line(key, held)
        held.unsaid = False
        now = self._clock()
        later = await self._report.stalled(key, raw, held, before=before, problems=said, reason=reason, now=now)
        at = min(later or inf, until)
        return Result(None if at == inf else at)

    def _leave_alone(self, key: SliceKey, held: Held, left: LeftAlone) -> Result:
        """Nothing is written or pushed: another operator does that."""
        self._leave_line(key, held)
        if left.forget:
            self._forget(key)
        return Result(left.until)

    async def _load(self, held: Held, slice_: ResilientSlice) -> None:
        if not held.loaded:
            found = await self._remembering.load(slice_, held, self._clock(), sleep_action=self._sleep_action)
            held.memory, held.adopted, held.lost, held.loaded = found.memory, found.adopted, found.why, True

    def _held_of(self, key: SliceKey, raw: Object) -> Held:
        uid = raw["metadata"]["uid"]
        held = self._held.get(key)
        if held is None or held.uid != uid:
            held = self._held[key] = Held(uid)
        return held

    def _forget(self, key: SliceKey) -> None:
        self.rollouts.leave(key)
        if self._held.pop(key, None) is not None:
            self._agents.forget(key)
        self._renderers.forget(key)


def _rotation(raw: Object) -> str:
    """What asks for another key of the agents."""
    return str((raw["metadata"].get("annotations") or {}).get(ROTATE_ANNOTATION, ""))
