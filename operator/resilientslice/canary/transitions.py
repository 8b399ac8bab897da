"""Every way from one state to the next. Each makes one event; when to take which is the machine's business."""

from dataclasses import replace
from typing import Any

from resilientslice.api.reasons import EventReason
from resilientslice.canary.state import Abortion, CanaryReason, Event, Phase, State, Wanted

Transition = tuple[State, Event]

REMEMBERED_ABORTIONS = 10


def enter(state: State, now: float, phase: Phase, reason: CanaryReason, **changes: Any) -> State:
    """A phase, reason or step begins: its clocks start again."""
    since = state.since if phase is state.phase else now
    return replace(state, phase=phase, reason=reason, since=since, entered=now, acked_at=None, baseline=None, **changes)


def start(state: State, wanted: Wanted, now: float) -> Transition:
    after = enter(
        state,
        now,
        Phase.STARTING,
        CanaryReason.NONE,
        canary=wanted.revision,
        services=tuple(sorted(wanted.changed)),
    )
    why = "" if wanted.canary else f", because {', '.join(sorted(wanted.moved))} listens elsewhere than before"
    return after, Event(
        EventReason.CANARY_STARTED, f"{wanted.revision} starts beside {state.stable}: {', '.join(after.services)}{why}"
    )


def update(state: State, wanted: Wanted, now: float) -> Transition:
    """No canary: the stable Deployments are updated as they are."""
    after = enter(state, now, Phase.IDLE, CanaryReason.NONE, stable=wanted.revision, settled=False)
    return after, Event(EventReason.UPDATED, f"{state.stable} → {wanted.revision} by a rolling update")


def become_live(state: State, wanted: Wanted, now: float) -> Transition:
    after = enter(state, now, Phase.PROGRESSING, state.reason, live=True, exposed=True)
    reached = "; its header reaches it" if wanted.canary else ""
    return after, Event(EventReason.CANARY_READY, f"{state.canary} is ready{reached}")


def withdraw(state: State, now: float, pending: str) -> Transition:
    """A canary that lost all hosts of a service: its traffic goes back, and it starts again once it is ready."""
    phase = state.phase if state.phase is Phase.PROMOTING else Phase.STARTING
    after = enter(state, now, phase, state.reason, weight=0, live=False, step=0, observed=0)
    return after, Event(
        EventReason.CANARY_UNHEALTHY, f"{state.canary} has no ready host ({pending}): all traffic goes to stable"
    )


def take_back(state: State, now: float) -> Transition:
    """In a promotion, a canary that was withdrawn carries all requests again."""
    after = enter(state, now, Phase.PROMOTING, state.reason, weight=100, live=True)
    return after, Event(
        EventReason.CANARY_READY, f"{state.canary} is ready again and serves until {state.stable} is rolled out"
    )


def abort(state: State, cause: str, now: float) -> Transition:
    after = _ended(remember_abortion(state, state.canary, cause), CanaryReason.ABORTED, now)
    return after, Event(EventReason.CANARY_ABORTED, f"{state.canary} aborted: {cause}; {state.stable} serves")


def rest_aborted(state: State, revision: str, cause: str, now: float) -> Transition:
    """A revision that isn't even tried."""
    after = enter(remember_abortion(state, revision, cause), now, Phase.ABORTED, CanaryReason.ABORTED)
    return after, Event(EventReason.CANARY_ABORTED, f"{revision} is not tried: {cause}; {state.stable} serves")


def clear(state: State, now: float) -> Transition:
    after = enter(state, now, Phase.IDLE, CanaryReason.NONE)
    return after, Event(EventReason.CANARY_CLEARED, f"{state.stable} is wanted again")


def end(state: State, reason: CanaryReason, wanted: Wanted, now: float) -> Transition:
    why = (
        "the resource asks for the stable revision again"
        if reason is CanaryReason.REVERTED
        else f"{wanted.revision} replaces it"
    )
    return _ended(state, reason, now), Event(EventReason.CANARY_ENDED, f"{state.canary} ends: {why}")


def finalise(state: State, revision: str, reason: CanaryReason, now: float) -> Transition:
    """From here on it is final: `revision` is the stable one, and the canary serves until it is rolled out."""
    promoted = replace(state, stable=revision, settled=False)
    if not state.exposed:
        return _removed(promoted, now), Event(EventReason.UPDATED, f"{state.stable} → {revision} by a rolling update")
    after = enter(promoted, now, Phase.PROMOTING, reason)
    return after, Event(
        EventReason.PROMOTING, f"{state.stable} → {revision}: stable is updated, {state.canary} keeps serving"
    )


def move_back(state: State, now: float) -> Transition:
    after = enter(state, now, Phase.DRAINING, CanaryReason.PROMOTED, weight=0, live=False)
    return after, Event(EventReason.PROMOTED, f"{state.stable} is rolled out; traffic moves back to the stable track")


def remove(state: State, wanted: Wanted, now: float) -> Transition:
    return _removed(state, now, aborted=wanted.revision), Event(
        EventReason.CANARY_REMOVED, f"{state.canary} is drained and removed"
    )


def remember_abortion(state: State, revision: str, cause: str) -> State:
    if state.abortion(revision):
        return state
    return replace(state, aborted=(*state.aborted, Abortion(revision, cause))[-REMEMBERED_ABORTIONS:])


def _ended(state: State, reason: CanaryReason, now: float) -> State:
    if not state.exposed:
        return _removed(state, now, aborted=state.canary)
    return enter(state, now, Phase.DRAINING, reason, weight=0, live=False, step=0)


def _removed(state: State, now: float, aborted: str = "") -> State:
    """No canary any more. `aborted`: the revision to rest at, if it was aborted."""
    rests = state.abortion(aborted) is not None
    return enter(
        state,
        now,
        Phase.ABORTED if rests else Phase.IDLE,
        CanaryReason.ABORTED if rests else CanaryReason.NONE,
        canary="",
        services=(),
        weight=0,
        live=False,
        exposed=False,
        step=0,
        observed=0,
    )
