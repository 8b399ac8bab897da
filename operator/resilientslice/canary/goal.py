"""What decides over the canary's weight now: abort (elsewhere), promote, paused, weight, steps, in this order.

A weight set by hand is pinned to the revision that it acts on, so that one left behind never ships the next image.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from resilientslice.api.policies import Canary, CanaryStep
from resilientslice.canary.state import CanaryReason, Phase, Pin, State, Wanted

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
    if state.pin is not None and _acts_on(state.pin, state.canary):
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
    step = _resume(canary.steps, state.step, state.observed)
    return Goal(CanaryReason.STEPS, _weight_of(canary.steps, step, state.observed), step)


def _resume(steps: Sequence[CanaryStep], step: int, observed: int) -> int:
    """The step to be in, from 1: the one under way, else the first above the observed weight, else the last."""
    if 1 <= step <= len(steps):
        return step
    above = (number for number, candidate in enumerate(steps, start=1) if candidate.weight > observed)
    return next(above, len(steps))


def _weight_of(steps: Sequence[CanaryStep], step: int, observed: int) -> int:
    """Percent that a step draws. The last one takes nothing back from a weight that was pinned above it."""
    weight = steps[step - 1].weight
    return max(weight, observed) if step == len(steps) else weight


def follow_pin(pin: Pin | None, weight: int | None, *, wanted: str, stable: str) -> Pin | None:
    """The pin after a look at the resource.

    A value that is new, or has changed, belongs to the revision that is wanted at that moment; if that is the stable
    one, there is nothing to shift and the value is only noted. A pin whose revision has become stable has had its day.
    """
    if weight is None:
        return None
    if pin is None or pin.weight != weight:
        return Pin(weight, wanted, armed=wanted != stable)
    return replace(pin, armed=pin.armed and pin.revision != stable)


def _acts_on(pin: Pin, revision: str) -> bool:
    return pin.armed and pin.revision == revision
