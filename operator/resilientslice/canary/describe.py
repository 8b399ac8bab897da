"""Says what a canary waits for, or why it stopped, and what to do about it.

No text holds a number that changes by itself: status is written when something happens, not while time passes.
"""

from resilientslice.api.policies import Canary
from resilientslice.canary import automatic
from resilientslice.canary.analysis import Verdict
from resilientslice.canary.goal import Goal, goal_of
from resilientslice.canary.pursue import may_rise
from resilientslice.canary.state import CanaryReason, Phase, Signals, State, Wanted


def describe(state: State, wanted: Wanted, signals: Signals) -> str:
    if state.phase is Phase.ABORTED:
        return _aborted(state, wanted)
    if state.phase is Phase.PROMOTING:
        return _promoting(state, wanted, signals)
    if state.phase is Phase.DRAINING:
        return _draining(state, wanted)
    if state.phase is Phase.IDLE:
        return _idle(state)
    goal = goal_of(state, wanted)
    if state.phase is Phase.STARTING:
        return _starting(state, goal, wanted, signals)
    steps = wanted.canary if goal.reason is CanaryReason.STEPS else None
    serving = _step(state, goal, steps, signals) if steps else _serving(state, goal, wanted)
    return f"{serving} {_held_up(state, goal, signals)}".rstrip()


def _idle(state: State) -> str:
    if state.pin is None:
        return ""
    if state.pin.weight == 0:
        return "No canary: weight 0 has no effect. The next revision starts at 0 as well."
    return (
        f"Weight {state.pin.weight} is noted; there is nothing to shift. "
        "It does not act on the next revision unless it changes together with it."
    )


def _aborted(state: State, wanted: Wanted) -> str:
    abortion = state.abortion(wanted.revision)
    cause = abortion.cause if abortion else "unknown"
    return (
        f"{wanted.revision} was aborted: {cause}. {state.stable} serves. "
        "Change a service, or spec.restartedAt, to try again."
    )


def _promoting(state: State, wanted: Wanted, signals: Signals) -> str:
    text = f"Stable is updated to {state.stable} while {state.canary} keeps serving; waits for " + _pods(
        signals.stable_pending, "its pods"
    )
    if wanted.revision == state.stable:
        return text
    return f"{text} {wanted.revision} starts after that."


def _draining(state: State, wanted: Wanted) -> str:
    cause = {
        CanaryReason.REVERTED: f"{state.stable} is wanted again",
        CanaryReason.REPLACED: f"{wanted.revision} is wanted instead",
        CanaryReason.ABORTED: "it was aborted",
    }.get(state.reason, f"{state.stable} is rolled out")
    waits = (
        "waits until every Envoy has taken its traffic away"
        if state.acked_at is None
        else "waits for its last requests to end"
    )
    return f"{state.canary} ends because {cause}; {waits}."


def _starting(state: State, goal: Goal, wanted: Wanted, signals: Signals) -> str:
    text = f"{state.canary} starts; waits for "
    if signals.canary_unfound and not signals.canary_pending:
        text += f"every Envoy to find its pods: {', '.join(signals.canary_unfound)}."
    else:
        text += _pods(signals.canary_pending, "its pods")
    if goal.reason is CanaryReason.STEPS and wanted.canary is not None:
        return f"{text} Aborts if it is not ready within {wanted.canary.analysis.deadline}."
    if goal.reason is CanaryReason.PLAIN:
        return f"{text} {_moves(wanted)}"
    if goal.reason is CanaryReason.STALE_WEIGHT:
        return f"{text} {_stale(state)}"
    return text


def _moves(wanted: Wanted) -> str:
    names = ", ".join(sorted(wanted.moved))
    return f"Both revisions run for a while because the port or protocol of {names} changes."


def _serving(state: State, goal: Goal, wanted: Wanted) -> str:
    promote = f"set spec.canary.promote: {state.canary}"
    if goal.reason is CanaryReason.PLAIN:
        return f"{state.canary} takes over from {state.stable} once every Envoy draws 100."
    if goal.promotes:
        return f"{state.canary} is promoted once every Envoy draws 100; until then that can be revoked."
    stays = f"Stays at {state.weight}"
    texts = {
        CanaryReason.STALE_WEIGHT: _stale(state),
        CanaryReason.PAUSED: f"Paused at {state.weight} by spec.canary.paused; set it to false to resume.",
        CanaryReason.WITHHELD: f"{stays}: {wanted.withheld}, its successor, can't be stored; see Stalled.",
        CanaryReason.NO_STEPS: f"{stays}: spec.canary has neither weight nor steps. Set one, or {promote}.",
    }
    pinned = f"Pinned at {goal.weight} by spec.canary.weight; change it, remove it to run the steps, or {promote}."
    return texts.get(goal.reason, pinned)


def _stale(state: State) -> str:
    weight = state.pin.weight if state.pin else 0
    return (
        f"StaleWeight: spec.canary.weight {weight} was set before {state.canary} and does not act on it. Change the "
        f"value to arm it again, or set spec.canary.promote: {state.canary}."
    )


def _step(state: State, goal: Goal, canary: Canary, signals: Signals) -> str:
    place = f"Step {goal.step} of {len(canary.steps)}, weight {goal.weight}"
    judged = automatic.judgement(state, goal, canary, signals)
    if judged.verdict is Verdict.WAIT:
        return f"{place}: {judged.why}; aborts after {canary.analysis.deadline} without a verdict."
    if signals.budget is False:
        return f"{place}: waits because the error budget is spent. Pin a weight or set promote to continue by hand."
    return f"{place}: holds for {canary.steps[goal.step - 1].hold}."


def _held_up(state: State, goal: Goal, signals: Signals) -> str:
    if state.weight >= goal.weight or may_rise(state, signals):
        return ""
    if signals.canary_pending:
        return f"Stays at {state.weight}: waits for " + _pods(signals.canary_pending, "its pods")
    return f"Stays at {state.weight}: waits for every Envoy to acknowledge its configuration."


def _pods(pending: tuple[str, ...], otherwise: str) -> str:
    return (", ".join(pending) or otherwise) + " to be ready."
