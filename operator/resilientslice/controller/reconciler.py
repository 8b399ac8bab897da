"""One pass over one slice: gather → plan → push → apply → status.

The push comes first of all that is written, because callers wait for it: before it, nothing is rendered, compared or
asked that the Envoys don't need. What is decided once is kept in `SliceState` and made durable right after the push;
should the process end in between, `history.recovery` finds out.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from resilientslice.api.slice import ResilientSlice
from resilientslice.api.status import Status
from resilientslice.applying.refusals import Collected
from resilientslice.controller.agent_access import AgentAccess
from resilientslice.controller.applier import Applier, Outcome
from resilientslice.controller.deciding import Deciding
from resilientslice.controller.interning import Shared
from resilientslice.controller.pass_deadline import next_pass
from resilientslice.controller.report import Report
from resilientslice.controller.slice_state import Pass, SliceState
from resilientslice.controller.standing import LeftAlone, Standing
from resilientslice.controller.stops import STOPPING, InvalidResourceError, Stop, stop_of
from resilientslice.controller.understood import Understood, understand
from resilientslice.kube.cache import Children
from resilientslice.kube.errors import KubeError, NotLeadingError
from resilientslice.kube.kinds import Object, SliceKey
from resilientslice.kube.slices import Slices
from resilientslice.planning.plan import Plan
from resilientslice.planning.status import unfinished_status
from resilientslice.workqueue.queue import Result, Wake

SYNC_SECONDS = 0.5


class NotSyncedError(Exception):
    """Not everything was listed yet: nothing may be concluded from what is missing."""

    retry_after = SYNC_SECONDS


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Owns the state of each slice. `reconcile` is called for one key at a time, and never twice for the same.

    `clock` gives seconds since the epoch; `wake` has a slice processed again."""

    slices: Slices
    children: Children
    standing: Standing
    agents: AgentAccess
    deciding: Deciding
    applier: Applier
    report: Report
    wake: Wake[SliceKey]
    clock: Callable[[], float] = time.time
    shared: Shared = field(default_factory=Shared)
    states: dict[SliceKey, SliceState] = field(default_factory=dict)

    async def reconcile(self, key: SliceKey) -> Result:
        """One pass. Raises KubeError for what is worth another try, NotSyncedError before everything was listed."""
        self.deciding.timings.begin()
        raw = self.slices.get(key)
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            self._forget(key)
            self.standing.claims.forget(key)
            return Result()
        if not self.children.synced():
            raise NotSyncedError(f"{key}: waits until everything was listed: {', '.join(self.children.missing())}")
        state = self._state_of(key, raw)
        understood = understand(raw, state)
        try:
            left = await self.standing.of(key, raw, state, understood, self.clock())
            if left is not None:
                return self._leave_alone(key, state, left)
            slice_ = await self._load(key, raw, state, understood)
            now = self.clock()
            self.deciding.timings.mark("read")
            planned, pushed = await self.deciding.decide(key, state, slice_, now)
        except STOPPING as error:
            return await self._stall(key, raw, state, understood.status, stop_of(key, error, self.clock()))
        except NotLeadingError:
            raise
        except KubeError as error:
            before, now = understood.status, self.clock()
            await self.report.unread(key, raw, state.reported, before=before, error=error, now=now)
            raise
        at = Pass(key, raw, state, slice_, now)
        outcome = await self._apply(at, planned)
        later = await self._write_status(at, planned, outcome)
        if later is None:
            return Result(now)
        if planned.awaits_envoys:
            self.agents.look_again(key)
        state.intern(self.shared)
        deadline = next_pass(state, planned, pushed=pushed, later=later, now=now)
        return self._ended(key, deadline, outcome.failure)

    async def _load(self, key: SliceKey, raw: Object, state: SliceState, understood: Understood) -> ResilientSlice:
        if understood.slice_ is None:
            raise InvalidResourceError(understood.problems)
        sleep_action = self.deciding.settings.sleep_action
        store = self.deciding.store
        await store.load(understood.slice_, state.remembered, self.clock(), sleep_action=sleep_action)
        await self.agents.follow(key, raw, state, understood.slice_)
        return understood.slice_

    async def _apply(self, at: Pass, planned: Plan) -> Outcome:
        """A defect is part of the outcome: the status is written in spite of it."""
        outcome = Outcome(waited=at.state.queued is not None)
        try:
            with Collected(outcome.failed):
                await self.applier.apply(at, planned, lambda: self.deciding.seen(at.key, at.state), outcome)
                if planned.desired is not None:
                    await self.agents.rotate_key_if_due(at)
        except Exception as error:
            outcome.defect = error
        self.deciding.timings.mark("apply")
        return outcome

    async def _write_status(self, at: Pass, planned: Plan, outcome: Outcome) -> float | None:
        """When to look again because of a status that is held back: never is infinity. None: the status is left to the
        next pass, at once, which has seen what this one has changed."""
        reported = at.state.reported
        over = bool(reported.failing.of) and not outcome.failed
        reported.failing = reported.failing.after(outcome.failed, at.key.namespace, at.now)
        changed = outcome.rolled or over or outcome.waited != (at.state.queued is not None)
        reported.deferred = changed and not reported.deferred and outcome.failure is None
        if reported.deferred:
            return None
        before, after, later = at.slice_.status, planned.status, None
        if outcome.failure is not None:
            after = unfinished_status(planned.status, before)
        with Collected(outcome.failed):
            later = await self.report.write(at.key, at.raw, reported, before=before, after=after, now=self.clock())
        self.deciding.timings.mark("status")
        return inf if later is None else later

    def _ended(self, key: SliceKey, deadline: float | None, failure: Exception | None) -> Result:
        """What failed is tried again with growing pauses; what else is due doesn't wait for that."""
        if failure is None:
            return Result(deadline)
        if deadline is not None:
            self.wake(key, after=max(deadline - self.clock(), 0.0))
        raise failure

    async def _stall(self, key: SliceKey, raw: Object, state: SliceState, before: Status, stop: Stop) -> Result:
        self.applier.leave_line(key, state)
        state.reported.deferred = False
        later = await self.report.stalled(
            key, raw, state.reported, before=before, problems=stop.message, reason=stop.reason, now=self.clock()
        )
        at = min(later or inf, stop.until)
        return Result(None if at == inf else at)

    def _leave_alone(self, key: SliceKey, state: SliceState, left: LeftAlone) -> Result:
        """Nothing is written or pushed: another operator does that."""
        self.applier.leave_line(key, state)
        if left.forget:
            self._forget(key)
        return Result(left.until)

    def _state_of(self, key: SliceKey, raw: Object) -> SliceState:
        uid = raw["metadata"]["uid"]
        state = self.states.get(key)
        if state is None or state.uid != uid:
            state = self.states[key] = SliceState.of(uid)
        return state

    def _forget(self, key: SliceKey) -> None:
        state = self.states.pop(key, None)
        self.applier.forget(key)
        if state is not None:
            self.agents.forget(key)
        self.deciding.renderers.forget(key)
