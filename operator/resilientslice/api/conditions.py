"""Every condition that the operator writes, once: what it says, which side is good, its reasons, and the Event when it
turns good.

Kept in this order in the status. docs/reference/conditions.md is made from here.
"""

from dataclasses import dataclass

from resilientslice.api.reasons import EventReason, Reason
from resilientslice.api.status import FALSE, TRUE, ConditionType, Truth


@dataclass(frozen=True, slots=True)
class ConditionKind:
    """`good` is the healthy side. `resolved`: reason of the Event when it turns to it; None where canary Events say so.

    `lasting` conditions are always there; others only while they apply. `reasons` are its own, in no order.
    """

    type: ConditionType
    good: Truth
    lasting: bool
    says: str
    resolved: EventReason | None
    reasons: tuple[Reason, ...]


_PODS = (
    Reason.IMAGE_PULL_FAILED,
    Reason.CRASH_LOOP,
    Reason.CONTAINER_CONFIG,
    Reason.POD_CREATION_FAILED,
    Reason.QUOTA_EXCEEDED,
    Reason.VOLUME_PENDING,
    Reason.UNSCHEDULABLE,
    Reason.PROXY_CONFIG_REJECTED,
)
"""Why pods don't come up."""
_REFUSALS = (
    Reason.FORBIDDEN,
    Reason.QUOTA_EXCEEDED,
    Reason.LIMIT_RANGE,
    Reason.POD_SECURITY,
    Reason.NAMESPACE_TERMINATING,
    Reason.REFUSED,
    Reason.IMMUTABLE,
    Reason.OBJECT_TOO_LARGE,
    Reason.KIND_NOT_INSTALLED,
)
"""Why the API server takes an object never as it is."""
_FAILURES = (
    Reason.WRITE_FAILED,
    Reason.WEBHOOK_FAILED,
    Reason.REQUEST_TIMED_OUT,
    Reason.TOO_MANY_REQUESTS,
    Reason.UNAUTHORIZED,
    Reason.CONFLICT,
)
"""Why it does not take it now."""


CONDITIONS: tuple[ConditionKind, ...] = (
    ConditionKind(
        ConditionType.READY,
        TRUE,
        True,
        "Callers are served by what the spec asks for. Unknown while a rollout is under way: callers are served then.",
        EventReason.READY,
        (
            Reason.PENDING,
            Reason.SERVING,
            Reason.CONFIG_REJECTED,
            Reason.PROXIES_NOT_READY,
            Reason.STORE_NOT_READY,
            Reason.PODS_NOT_READY,
            *_PODS,
            Reason.ENDPOINTS_NOT_DISCOVERED,
            Reason.CONFIG_PENDING,
            Reason.PROGRESS_DEADLINE_EXCEEDED,
            Reason.ROLLING_OUT,
        ),
    ),
    ConditionKind(
        ConditionType.RECONCILING,
        FALSE,
        True,
        "Something is under way by itself. Never True together with Stalled.",
        None,
        (
            Reason.UP_TO_DATE,
            Reason.STALE_WEIGHT,
            Reason.CANARY_STARTING,
            Reason.CANARY_PROGRESSING,
            Reason.CANARY_PAUSED,
            Reason.CANARY_PROMOTING,
            Reason.CANARY_DRAINING,
            Reason.ROLLING_OUT,
            Reason.PROXY_UPDATE_QUEUED,
            Reason.CONFIG_PENDING,
            Reason.ENDPOINTS_NOT_DISCOVERED,
            Reason.VOLUME_EXPANDING,
            Reason.SUSPENDED,
            *_FAILURES,
        ),
    ),
    ConditionKind(
        ConditionType.STALLED,
        FALSE,
        True,
        "Something can't be made true until a person changes it; what ran before keeps serving.",
        EventReason.RESUMED,
        (
            Reason.NOT_STALLED,
            Reason.INVALID_SPEC,
            Reason.CONFIG_REJECTED,
            Reason.PROGRESS_DEADLINE_EXCEEDED,
            Reason.OBJECT_NOT_OWNED,
            *_REFUSALS,
            Reason.MEMORY_UNREADABLE,
            Reason.AGENT_KEY_INVALID,
            Reason.CREDENTIALS_MISSING,
            Reason.CREDENTIALS_INVALID,
            Reason.STORAGE_CLASS_IMMUTABLE,
            Reason.VOLUME_EXPANSION_FAILED,
            Reason.VOLUME_SHRINK_FORBIDDEN,
        ),
    ),
    ConditionKind(
        ConditionType.CONFIG_ACCEPTED,
        TRUE,
        True,
        "Every Envoy runs the wanted configuration; False when one rejects it, Unknown until all have answered.",
        EventReason.CONFIG_ACCEPTED,
        (Reason.ACKNOWLEDGED, Reason.CONFIG_PENDING, Reason.CONFIG_REJECTED, Reason.INVALID_AGENT_RESPONSE),
    ),
    ConditionKind(
        ConditionType.CANARY_HEALTHY,
        TRUE,
        False,
        "The canary can take traffic. Present while there is a canary, or the wanted revision rests as aborted.",
        None,
        (
            Reason.STARTING,
            Reason.NO_READY_HOSTS,
            Reason.PROGRESS_DEADLINE_EXCEEDED,
            Reason.ABORTED,
            Reason.STEPS,
            Reason.STEPS_DONE,
            Reason.NO_STEPS,
            Reason.PINNED,
            Reason.STALE_WEIGHT,
            Reason.PAUSED_BY_USER,
            Reason.REVISION_NOT_STORED,
            Reason.PROMOTE,
            Reason.RETURN_TO_FORMERLY_STABLE,
            Reason.PLAIN_UPDATE,
            Reason.REVERTED,
            Reason.REPLACED,
            Reason.PROMOTED,
            Reason.IDLE,
            Reason.PROGRESSING,
            Reason.PAUSED,
            Reason.PROMOTING,
            Reason.DRAINING,
        ),
    ),
    ConditionKind(
        ConditionType.NAME_CONFLICT,
        FALSE,
        False,
        "An object of another owner has a name that the slice needs.",
        EventReason.NAME_CONFLICT_RESOLVED,
        (Reason.OBJECT_NOT_OWNED,),
    ),
    ConditionKind(
        ConditionType.FIELD_CONFLICT,
        FALSE,
        False,
        "Another field manager keeps setting a field that the slice sets.",
        EventReason.FIELD_CONFLICT_RESOLVED,
        (Reason.FIELD_MANAGER_CONFLICT,),
    ),
    ConditionKind(
        ConditionType.OPERATOR_CONFLICT,
        FALSE,
        False,
        "Two installations of the operator watch the namespace.",
        EventReason.OPERATOR_CONFLICT_RESOLVED,
        (Reason.MULTIPLE_INSTALLATIONS,),
    ),
    ConditionKind(
        ConditionType.FIELDS_IGNORED,
        FALSE,
        False,
        "The slice sets a field that has no effect yet.",
        EventReason.FIELDS_TAKE_EFFECT,
        (Reason.NOT_IMPLEMENTED,),
    ),
)
WRITTEN = frozenset(kind.type for kind in CONDITIONS)
"""Types that the operator writes. Conditions of other types are written by others, and kept."""


def may_give(kind: ConditionKind, reason: Reason) -> bool:
    """Whether a condition may have a reason: Reconciling also has what the slice is stalled by, and Ready, until the
    slice is planned for the first time, what keeps it from that."""
    stalled = next(found.reasons for found in CONDITIONS if found.type is ConditionType.STALLED)
    shared = {ConditionType.RECONCILING: stalled, ConditionType.READY: (*stalled, Reason.SUSPENDED)}
    return reason in (*kind.reasons, *shared.get(kind.type, ()))
