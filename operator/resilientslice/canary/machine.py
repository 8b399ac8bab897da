"""The canary's state machine: one pure step from what is, what is wanted and what is seen to what is next.

A step goes as far as it can with what it was given, so a second one with the same input changes nothing. It takes each
transition once at most (the end of each of the canary's steps counts as one), so it ends whatever it is given.
"""

from dataclasses import replace

from resilientslice.canary import automatic, transitions
from resilientslice.canary.describe import describe
from resilientslice.canary.goal import follow_pin, goal_of
from resilientslice.canary.pursue import pursue
from resilientslice.canary.state import CanaryReason, Decision, Event, Phase, Signals, State, Wanted
from resilientslice.canary.transitions import Transition

ABORT_ASKED = "asked for by spec.canary.abort"
SETTLE_SECONDS = 1.0
"""Requests that were routed just before the acknowledgement have started by then, and are counted."""
UNCOUNTED_SECONDS = 5.0
"""Where nobody counts requests under way: longer than any usual time-out."""
LIMIT_SECONDS = 30.0
"""Streams without an end are cut by the pods' own graceful shutdown after this."""


def step(state: State, wanted: Wanted, signals: Signals, now: float) -> Decision:
    """`now` in seconds since the epoch; it must not go backwards."""
    events: list[Event] = []
    taken: set[tuple[str, int]] = set()
    signals = _consistent(signals)
    state = _notice(state, wanted, signals, now)
    while (moved := _transition(state, wanted, signals, now)) is not None:
        after, event = moved
        if (event.reason, after.step) in taken:
            break
        taken.add((event.reason, after.step))
        events.append(event)
        state = _notice(after, wanted, signals, now)
    return Decision(
        state=state,
        message=describe(state, wanted, signals),
        events=tuple(events),
        next_deadline=_deadline(state, wanted, signals, now),
    )


def _consistent(signals: Signals) -> Signals:
    """A canary that has no ready replica is not ready, whatever is said."""
    return signals if signals.canary_ready == signals.canary_healthy else replace(signals, canary_ready="")


def _notice(state: State, wanted: Wanted, signals: Signals, now: float) -> State:
    """What changes without being a transition: the pin, what is acknowledged, what it will do once it is ready."""
    weight = wanted.canary.weight if wanted.canary else None
    state = replace(
        state,
        pin=follow_pin(state.pin, weight, wanted=wanted.revision, stable=state.stable),
        settled=state.settled or signals.settled == state.stable,
    )
    if not state.canary:
        return state
    return _notice_acknowledged(_notice_intention(state, wanted, now), signals, now)


def _notice_intention(state: State, wanted: Wanted, now: float) -> State:
    if state.phase is not Phase.STARTING:
        return state
    reason = goal_of(state, wanted).reason
    return state if reason is state.reason else replace(state, reason=reason, entered=now)


def _notice_acknowledged(state: State, signals: Signals, now: float) -> State:
    if signals.acked == state.traffic:
        acked_at = now if state.acked_at is None else state.acked_at
        state = replace(state, observed=state.traffic.weight, acked_at=acked_at)
    elif state.phase is Phase.DRAINING:
        state = replace(state, acked_at=None)  # an Envoy that came since may still route to the canary
    if state.acked_at is None or signals.attempts is None:
        return state
    if state.baseline is None or signals.attempts.went_down(state.baseline):
        return replace(state, baseline=signals.attempts)
    return state


def _transition(state: State, wanted: Wanted, signals: Signals, now: float) -> Transition | None:
    if not state.canary:
        return _without_canary(state, wanted, now)
    if state.phase is Phase.DRAINING:
        return transitions.remove(state, wanted, now) if _drained(state, signals, now) else None
    if state.phase is Phase.PROMOTING:
        return _promoting(state, wanted, signals, now)
    if wanted.revision != state.canary or not _goes_on(state, wanted):
        return _superseded(state, wanted, now)
    return _serving(state, wanted, signals, now)


def _without_canary(state: State, wanted: Wanted, now: float) -> Transition | None:
    if wanted.revision == state.stable:
        return None if state.phase is Phase.IDLE else transitions.clear(state, now)
    cause = _abort_cause(state, wanted)
    if cause:
        resting = state.phase is Phase.ABORTED and state.abortion(wanted.revision) is not None
        return None if resting else transitions.rest_aborted(state, wanted.revision, cause, now)
    by_canary = _protects(state, wanted) and (wanted.canary is not None or bool(wanted.moved))
    if not by_canary or not wanted.changed:
        return transitions.update(state, wanted, now)
    return transitions.start(state, wanted, now)


def _protects(state: State, wanted: Wanted) -> bool:
    """There is something to lose: the stable revision, or one before it, was ready as a whole."""
    return state.settled or bool(wanted.former)


def _goes_on(state: State, wanted: Wanted) -> bool:
    """The canary that is there is the way to the wanted revision. Where a port moves it is, also without the section:
    for a while there must be pods that listen on either."""
    if not state.exposed and not _protects(state, wanted):
        return False
    return wanted.canary is not None or bool(wanted.moved)


def _superseded(state: State, wanted: Wanted, now: float) -> Transition:
    """The canary isn't wanted any more, or not as a canary."""
    if wanted.canary is not None and wanted.canary.abort == state.canary:
        return transitions.abort(state, ABORT_ASKED, now)
    if wanted.revision == state.stable:
        return transitions.end(state, CanaryReason.REVERTED, wanted, now)
    if wanted.revision != state.canary:
        return transitions.end(state, CanaryReason.REPLACED, wanted, now)
    return transitions.finalise(state, state.canary, CanaryReason.PLAIN, now)


def _serving(state: State, wanted: Wanted, signals: Signals, now: float) -> Transition | None:
    if wanted.canary is not None and wanted.canary.abort == state.canary:
        return transitions.abort(state, ABORT_ASKED, now)
    if state.live and signals.canary_healthy != state.canary:
        return transitions.withdraw(state, now, ", ".join(signals.canary_pending))
    if state.phase is Phase.STARTING and signals.canary_ready == state.canary and not signals.canary_unfound:
        return transitions.become_live(state, wanted, now)
    return pursue(state, wanted, signals, now)


def _promoting(state: State, wanted: Wanted, signals: Signals, now: float) -> Transition | None:
    if _may_retarget(state, wanted):
        reason = CanaryReason.PLAIN if wanted.canary is None else CanaryReason.RETURN
        return transitions.finalise(state, wanted.revision, reason, now)
    if signals.stable_ready == state.stable:
        return transitions.move_back(state, now)
    if state.live and signals.canary_healthy != state.canary:
        return transitions.withdraw(state, now, ", ".join(signals.canary_pending))
    return transitions.take_back(state, now) if _is_back(state, signals) else None


def _is_back(state: State, signals: Signals) -> bool:
    """A canary that lost its hosts in its promotion has all of them again. Stable is half of either revision, so that
    is where requests are served best."""
    known = signals.acked == state.traffic and not signals.canary_unfound
    return state.exposed and not state.live and known and signals.canary_ready == state.canary


def _may_retarget(state: State, wanted: Wanted) -> bool:
    """A promotion is final, but a known-good revision, or a plain update, need not wait for its end; unless a port
    would move under the stable track while requests go there."""
    if wanted.revision == state.stable or _abort_cause(state, wanted):
        return False
    carries_all = state.weight == 100 and wanted.moved <= set(state.services)
    if wanted.moved and state.live and not carries_all:
        return False
    return wanted.canary is None or wanted.revision in wanted.former


def _abort_cause(state: State, wanted: Wanted) -> str:
    """Why the wanted revision is not to be tried; empty if nothing speaks against it."""
    known = state.abortion(wanted.revision)
    if known:
        return known.cause
    asked = wanted.canary is not None and wanted.canary.abort == wanted.revision
    return ABORT_ASKED if asked else ""


def _deadline(state: State, wanted: Wanted, signals: Signals, now: float) -> float | None:
    """When time alone can change something, in seconds since the epoch; None if it can't."""
    at = _drain_deadline(state, signals) if state.phase is Phase.DRAINING else _step_deadline(state, wanted, signals)
    return at if at is not None and at > now else None


def _step_deadline(state: State, wanted: Wanted, signals: Signals) -> float | None:
    if not state.canary or state.reason is not CanaryReason.STEPS or wanted.canary is None:
        return None
    goal = goal_of(state, wanted)
    return automatic.deadline(state, goal, wanted.canary, signals) if goal.reason is CanaryReason.STEPS else None


def _drained(state: State, signals: Signals, now: float) -> bool:
    at = _drain_deadline(state, signals)
    return at is not None and now >= at


def _drain_deadline(state: State, signals: Signals) -> float | None:
    """When it counts as drained if nothing changes, in seconds since the epoch; None before the acknowledgement."""
    if state.acked_at is None:
        return None
    if signals.active is None:
        return state.acked_at + UNCOUNTED_SECONDS
    return state.acked_at + (LIMIT_SECONDS if signals.active else SETTLE_SECONDS)
