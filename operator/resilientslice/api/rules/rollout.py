"""Rules of the canary."""

from collections.abc import Iterator

from resilientslice.api.problems import Problem, missing, problem
from resilientslice.api.rules.draft import Draft

STEPS_NOT_ASCENDING = "the weights of the steps must ascend"
NEITHER_STEPS_NOR_WEIGHT = "a canary needs steps or a weight"
PROMOTED_AND_ABORTED = "promote and abort must not name the same revision"
OF_ANOTHER_SLICE = "promote and abort must name a revision of this slice: its name, a hyphen and a digest"


def steps(draft: Draft) -> Iterator[Problem]:
    if draft.canary is None:
        return
    weights = [step.weight for step in draft.canary.steps]
    for index in range(1, len(weights)):
        if weights[index] <= weights[index - 1]:
            path = ("spec", "canary", "steps", index, "weight")
            fix = f"the step before has {weights[index - 1]}: raise this one, or order them"
            yield problem(path, weights[index], STEPS_NOT_ASCENDING, fix)
    if not weights and draft.canary.weight is None:
        fix = "without them nothing would ever move; weight: 0 keeps the canary reachable by its header only"
        yield missing(("spec", "canary"), NEITHER_STEPS_NOR_WEIGHT, fix)


def orders(draft: Draft) -> Iterator[Problem]:
    """`promote` and `abort` name revisions."""
    if draft.canary is None:
        return
    promote, abort = draft.canary.promote, draft.canary.abort
    if promote and promote == abort:
        yield problem(("spec", "canary", "abort"), abort, PROMOTED_AND_ABORTED, "remove one of the two")
    for name, revision in (("promote", promote), ("abort", abort)):
        if revision and draft.name and not revision.startswith(f"{draft.name}-"):
            fix = f"such as {draft.name}-0123456789, as status.revision.canary has it"
            yield problem(("spec", "canary", name), revision, OF_ANOTHER_SLICE, fix)


RULES = (steps, orders)
