"""Conflicts with others, in words: who, what, and what to do."""

from collections.abc import Iterable

from resilientslice.api.reasons import Reason
from resilientslice.applying.retakes import Contest
from resilientslice.kube.children import ChildId
from resilientslice.planning.observed import Trouble, TroubleKind


def name_conflicts(strangers: Iterable[ChildId]) -> tuple[Trouble, ...]:
    return tuple(
        Trouble(
            TroubleKind.NAME_CONFLICT,
            Reason.OBJECT_NOT_OWNED,
            f"{kind} {name} exists and is not controlled by this slice; it is left alone. Delete or rename it, or "
            "rename the slice or its service.",
        )
        for kind, name in strangers
    )


def field_conflicts(contests: Iterable[Contest]) -> tuple[Trouble, ...]:
    return tuple(
        Trouble(
            TroubleKind.FIELD_CONFLICT,
            Reason.FIELD_MANAGER_CONFLICT,
            f"{' '.join(contest.object)}: {contest.manager or 'someone'} keeps setting {contest.field}, which the "
            "slice sets too; it is left as it is for now. Change the slice instead, or stop the other.",
        )
        for contest in contests
    )
