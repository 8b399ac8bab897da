"""Steps that run by themselves: held, judged by analysis and held back by the error budget, or aborted."""

from resilientslice.api.policies import Canary
from resilientslice.api.reasons import EventReason
from resilientslice.api.scalars import duration_seconds
from resilientslice.canary import analysis, transitions
from resilientslice.canary.analysis import Judgement, Verdict
from resilientslice.canary.goal import Goal
from resilientslice.canary.state import CanaryReason, Event, Phase, Signals, State
from resilientslice.canary.transitions import Transition, enter


def judgement(state: State, goal: Goal, canary: Canary, signals: Signals) -> Judgement:
    """Of the step under way, once every Envoy draws its weight."""
    if state.acked_at is None or state.weight != goal.weight:
        return Judgement(Verdict.WAIT, "waits until every Envoy draws the weight")
    if signals.attempts is None or state.baseline is None:
        return analysis.judge(canary.analysis, None)
    return analysis.judge(canary.analysis, signals.attempts.since(state.baseline))


def advance(
    state: State, goal: Goal, canary: Canary, signals: Signals, *, may_rise: bool, now: float
) -> Transition | None:
    judged = judgement(state, goal, canary, signals)
    if judged.verdict is Verdict.FAIL:
        return transitions.abort(state, f"at weight {state.weight}, {judged.why}", now)
    if now < _due(state, goal, canary, judged):
        return None
    if judged.verdict is Verdict.WAIT:
        cause = f"no verdict within {canary.analysis.deadline} ({judged.why})"
        return transitions.abort(state, cause, now)
    return None if signals.budget is False or not may_rise else _next_step(state, canary, now)


def deadline(state: State, goal: Goal, canary: Canary, signals: Signals) -> float:
    return _due(state, goal, canary, judgement(state, goal, canary, signals))


def _due(state: State, goal: Goal, canary: Canary, judged: Judgement) -> float:
    """When the hold, or the patience, ends: seconds since the epoch."""
    if judged.verdict is Verdict.WAIT or state.acked_at is None:
        return state.entered + duration_seconds(canary.analysis.deadline)
    return state.acked_at + duration_seconds(canary.steps[goal.step - 1].hold)


def _next_step(state: State, canary: Canary, now: float) -> Transition:
    if state.step < len(canary.steps):
        weight = canary.steps[state.step].weight
        after = enter(state, now, Phase.PROGRESSING, CanaryReason.STEPS, step=state.step + 1, weight=weight)
    else:
        after = enter(state, now, Phase.PROGRESSING, CanaryReason.STEPS_DONE, weight=100)
    return after, Event(
        EventReason.CANARY_STEP,
        f"{state.canary}: step {state.step} of {len(canary.steps)} held, weight {state.weight} → {after.weight}",
    )
