"""Moves a canary towards what decides over it: a weight, a step, a pause, or its promotion.

Traffic is taken away from a canary at once. It is given more only when every Envoy runs what it was told last and
all of the canary's replicas are ready.
"""

from resilientslice.api.reasons import EventReason
from resilientslice.canary import automatic, transitions
from resilientslice.canary.goal import Goal, goal_of
from resilientslice.canary.state import CanaryReason, Event, Phase, Signals, State, Wanted
from resilientslice.canary.transitions import Transition, enter


def pursue(state: State, wanted: Wanted, signals: Signals, now: float) -> Transition | None:
    goal = goal_of(state, wanted)
    rises = may_rise(state, signals)
    if state.phase is not Phase.STARTING:
        if goal.promotes and state.weight == 100 and rises:
            return transitions.finalise(state, state.canary, goal.reason, now)
        moved = _towards(state, goal, rises=rises, now=now)
        if moved is not None:
            return moved
    if goal.reason is not CanaryReason.STEPS or wanted.canary is None:
        return None
    return automatic.advance(state, goal, wanted.canary, signals, may_rise=rises, now=now)


def may_rise(state: State, signals: Signals) -> bool:
    return state.live and signals.acked == state.traffic and signals.canary_ready == state.canary


def _towards(state: State, goal: Goal, *, rises: bool, now: float) -> Transition | None:
    weight = goal.weight if goal.weight < state.weight or rises else state.weight
    arrived = (goal.phase, goal.reason, goal.step) == (state.phase, state.reason, state.step)
    waits = goal.reason is state.reason and weight != goal.weight
    if weight == state.weight and (arrived or waits):
        return None
    after = enter(state, now, goal.phase, goal.reason, step=goal.step, weight=weight)
    return after, _moved(state, after)


def _moved(before: State, after: State) -> Event:
    if before.weight != after.weight:
        return Event(
            EventReason.CANARY_WEIGHT, f"{after.canary}: weight {before.weight} → {after.weight} ({after.reason})"
        )
    if after.reason is CanaryReason.STALE_WEIGHT:
        return Event(EventReason.STALE_WEIGHT, f"{after.canary} waits at 0: the pinned weight was set before it")
    if after.phase is Phase.PAUSED:
        return Event(EventReason.CANARY_PAUSED, f"{after.canary} stays at {after.weight} ({after.reason})")
    return Event(EventReason.CANARY_RESUMED, f"{after.canary} continues from {after.weight} ({after.reason})")
