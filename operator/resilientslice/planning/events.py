"""What is told: whether a new status is worth writing now, and which Events its transitions make."""

from resilientslice.api.status import NEVER, Condition, ConditionType, SloStatus, Status
from resilientslice.canary.state import Event, EventType

LIVE_SECONDS = 60.0
"""Between two writes that only bring newer figures."""

_GOOD_WHEN_TRUE = (ConditionType.READY, ConditionType.CONFIG_ACCEPTED)
_GOOD_WHEN_FALSE = (
    ConditionType.STALLED,
    ConditionType.NAME_CONFLICT,
    ConditionType.FIELD_CONFLICT,
    ConditionType.OPERATOR_CONFLICT,
    ConditionType.FIELDS_IGNORED,
)
_GOOD_NEWS = {
    ConditionType.READY: "Ready",
    ConditionType.CONFIG_ACCEPTED: "ConfigAccepted",
    ConditionType.STALLED: "Resumed",
    ConditionType.NAME_CONFLICT: "NameConflictOver",
    ConditionType.FIELD_CONFLICT: "FieldConflictOver",
    ConditionType.OPERATOR_CONFLICT: "OperatorConflictOver",
    ConditionType.FIELDS_IGNORED: "EveryFieldActs",
}


def write_at(before: Status, after: Status, *, written: float, now: float) -> float | None:
    """When the new status is to be written, in seconds since the epoch; None: nothing changed."""
    if before == after:
        return None
    if _without_figures(before) != _without_figures(after):
        return now
    return max(now, written + LIVE_SECONDS)


def transitions(before: Status, after: Status) -> tuple[Event, ...]:
    """One Event for each condition that has turned, the good news last. What turns two for one reason is one."""
    found = [_event(kind, before, after) for kind in (*_GOOD_WHEN_FALSE, *_GOOD_WHEN_TRUE)]
    told = {event.reason: event for event in found if event}
    return tuple(sorted(told.values(), key=lambda event: event.type is EventType.NORMAL))


def _without_figures(status: Status) -> Status:
    """Figures move all the time; states and what people decide by do not."""
    slo = SloStatus(objective=status.slo.objective, state=status.slo.state)
    return status.model_copy(update={"slo": slo})


def _event(kind: ConditionType, before: Status, after: Status) -> Event | None:
    """A condition that appears for the first time is news if it says that the slice is ready, or that it can't be."""
    good, bad = ("True", "False") if kind in _GOOD_WHEN_TRUE else ("False", "True")
    unseen = "" if kind in _GOOD_WHEN_TRUE else good
    old, new = _found(before, kind), _found(after, kind)
    was, is_ = (old.status if old else unseen), (new.status if new else unseen)
    if new is not None and is_ == bad and was not in (bad, ""):
        return Event(EventType.WARNING, new.reason, new.message)
    # a rollout that has ended is news, and one that has begun is not: the slice isn't the worse for it
    became_ready = kind is ConditionType.READY and was != good
    if is_ == good and (was == bad or became_ready):
        return Event(EventType.NORMAL, _GOOD_NEWS[kind], new.message if new and new.message else f"{kind}: {good}")
    return None


def _found(status: Status, kind: ConditionType) -> Condition | None:
    known = (found for found in status.conditions if found.last_transition_time != NEVER)
    return next((condition for condition in known if condition.type == kind.value), None)
