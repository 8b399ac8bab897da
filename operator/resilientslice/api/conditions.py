"""Every condition that the operator writes, once: what it says, which side is good, and the Event when it turns good.

Kept in this order in the status. docs/reference/conditions.md is made from here.
"""

from dataclasses import dataclass

from resilientslice.api.reasons import EventReason
from resilientslice.api.status import FALSE, TRUE, ConditionType, Truth


@dataclass(frozen=True, slots=True)
class ConditionKind:
    """`good` is the healthy side. `resolved`: reason of the Event when it turns to it; None where canary Events say so.

    `lasting` conditions are always there; others only while they apply.
    """

    type: ConditionType
    good: Truth
    lasting: bool
    says: str
    resolved: EventReason | None = None


CONDITIONS: tuple[ConditionKind, ...] = (
    ConditionKind(
        ConditionType.READY,
        TRUE,
        True,
        "Callers are served by what the spec asks for. Unknown while a rollout is under way: callers are served then.",
        EventReason.READY,
    ),
    ConditionKind(
        ConditionType.RECONCILING, FALSE, True, "Something is under way by itself. Never True together with Stalled."
    ),
    ConditionKind(
        ConditionType.STALLED,
        FALSE,
        True,
        "Something can't be made true until a person changes it; what ran before keeps serving.",
        EventReason.RESUMED,
    ),
    ConditionKind(
        ConditionType.CONFIG_ACCEPTED,
        TRUE,
        True,
        "Every Envoy runs the wanted configuration; False when one rejects it, Unknown until all have answered.",
        EventReason.CONFIG_ACCEPTED,
    ),
    ConditionKind(
        ConditionType.CANARY_HEALTHY,
        TRUE,
        False,
        "The canary can take traffic. Present while there is a canary, or the wanted revision rests as aborted.",
    ),
    ConditionKind(
        ConditionType.NAME_CONFLICT,
        FALSE,
        False,
        "An object of another owner has a name that the slice needs.",
        EventReason.NAME_CONFLICT_RESOLVED,
    ),
    ConditionKind(
        ConditionType.FIELD_CONFLICT,
        FALSE,
        False,
        "Another field manager keeps setting a field that the slice sets.",
        EventReason.FIELD_CONFLICT_RESOLVED,
    ),
    ConditionKind(
        ConditionType.OPERATOR_CONFLICT,
        FALSE,
        False,
        "Two installations of the operator watch the namespace.",
        EventReason.OPERATOR_CONFLICT_RESOLVED,
    ),
    ConditionKind(
        ConditionType.FIELDS_IGNORED,
        FALSE,
        False,
        "The slice sets a field that has no effect yet.",
        EventReason.FIELDS_TAKE_EFFECT,
    ),
)
WRITTEN = frozenset(kind.type for kind in CONDITIONS)
"""Types that the operator writes. Conditions of other types are written by others, and kept."""
