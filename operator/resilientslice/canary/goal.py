"""What decides over the canary's weight now: abort (elsewhere), promote, paused, weight, steps, in this order."""

from dataclasses import dataclass

from resilientslice.api.policies import Canary
from resilientslice.canary import pin, steps
from resilientslice.canary.state import CanaryReason, Phase, State, Wanted

_RESTING = frozenset({CanaryReason.PAUSED, CanaryReason.STALE_WEIGHT, CanaryReason.NO_STEPS, CanaryReason.WITHHELD})
_PROMOTING = frozenset({CanaryReason.PROMOTE, CanaryReason.RETURN, CanaryReason.STEPS_DONE, CanaryReason.PLAIN})


@dataclass(frozen=True, slots=True)
class Goal:
    reason: CanaryReason
    weight: int
    """Percent to reach."""
    step: int = 0

    @property
    def phase(self) -> Phase:
        return Phase.PAUSED if self.reason in _RESTING else Phase.PROGRESSING

    @property
    def promotes(self) -> bool:
        """Once every Envoy draws it, the revision becomes the stable one."""
        return self.reason in _PROMOTING or (self.reason is CanaryReason.PINNED and self.weight == 100)


def goal_of(state: State, wanted: Wanted) -> Goal:
    """A plain update that is carried out by a canary all the same goes straight through."""
    canary = wanted.canary
    if canary is None:
        return Goal(CanaryReason.PLAIN, 100)
    return _asked(state, canary) or _by_itself(state, wanted, canary)


def _asked(state: State, canary: Canary) -> Goal | None:
    """What a person asked for, of this very revision."""
    if canary.promote == state.canary:
        return Goal(CanaryReason.PROMOTE, 100, state.step)
    if canary.paused:
        return Goal(CanaryReason.PAUSED, state.weight, state.step)
    if state.pin is not None and pin.acts_on(state.pin, state.canary):
        return Goal(CanaryReason.PINNED, state.pin.weight)
    return None


def _by_itself(state: State, wanted: Wanted, canary: Canary) -> Goal:
    if wanted.withheld:
        return Goal(CanaryReason.WITHHELD, state.weight, state.step)
    if state.canary in wanted.former:
        return Goal(CanaryReason.RETURN, 100)
    if state.pin is not None:
        # none at all is what anyone may have meant for any revision
        return Goal(CanaryReason.STALE_WEIGHT, 0) if state.pin.weight else Goal(CanaryReason.PINNED, 0)
    if not canary.steps:
        # what was on its way up and nobody asks for any more is taken back
        return Goal(CanaryReason.NO_STEPS, min(state.weight, state.observed))
    return _steps_goal(state, canary)


def _steps_goal(state: State, canary: Canary) -> Goal:
    if state.reason is CanaryReason.STEPS_DONE and state.step >= len(canary.steps):
        return Goal(CanaryReason.STEPS_DONE, 100, state.step)
    step = steps.resume(canary.steps, state.step, state.observed)
    return Goal(CanaryReason.STEPS, steps.weight_of(canary.steps, step, state.observed), step)
