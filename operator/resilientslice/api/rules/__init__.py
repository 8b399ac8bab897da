"""Rules across fields, which no schema can hold: every one of them, and the one call that runs them all.

Where CEL can say the same, api/crd_rules.py does, with the text that is written here.
"""

from collections.abc import Callable, Iterator

from resilientslice.api.problems import Problem
from resilientslice.api.rules import calls, containers, policies, rollout, services, surroundings
from resilientslice.api.rules.draft import Draft

Rule = Callable[[Draft], Iterator[Problem]]

RULES: tuple[Rule, ...] = (
    *services.RULES,
    *calls.RULES,
    *containers.RULES,
    *policies.RULES,
    *rollout.RULES,
    *surroundings.RULES,
)


def broken_rules(draft: Draft) -> Iterator[Problem]:
    """Every problem of every rule, in the order of the rules."""
    for rule in RULES:
        yield from rule(draft)
