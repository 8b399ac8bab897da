"""The steps that run by themselves: where to continue, and what a step draws."""

from collections.abc import Sequence

from resilientslice.api.policies import CanaryStep


def resume(steps: Sequence[CanaryStep], step: int, observed: int) -> int:
    """The step to be in, from 1: the one under way, else the first above the observed weight, else the last."""
    if 1 <= step <= len(steps):
        return step
    above = (number for number, candidate in enumerate(steps, start=1) if candidate.weight > observed)
    return next(above, len(steps))


def weight_of(steps: Sequence[CanaryStep], step: int, observed: int) -> int:
    """Percent that a step draws. The last one takes nothing back from a weight that was pinned above it."""
    weight = steps[step - 1].weight
    return max(weight, observed) if step == len(steps) else weight
