"""Whether a new status is worth writing now, and which Events its transitions make."""

from resilientslice.api.conditions import CONDITIONS, ConditionKind
from resilientslice.api.reasons import EventType, Reason
from resilientslice.api.status import FALSE, NEVER, TRUE, Condition, ConditionType, SloStatus, Status
from resilientslice.canary.state import Event

LIVE_SECONDS = 60.0
"""Between two writes that only bring newer figures."""

_TOLD = tuple(sorted((kind for kind in CONDITIONS if kind.resolved), key=lambda kind: kind.good))
"""Those whose turning is an Event, the ones that are bad when True first."""


def write_at(before: Status, after: Status, *, written: float, now: float) -> float | None:
    """When the new status is to be written, in seconds since the epoch; None: nothing changed."""
    if before == after:
        return None
    if _without_figures(before) != _without_figures(after):
        return now
    return max(now, written + LIVE_SECONDS)


def transitions(before: Status, after: Status) -> tuple[Event, ...]:
    """One Event for each condition that has turned, the good news last. What turns two for one reason is one."""
    found = [_event(kind, before, after) for kind in _TOLD]
    told = {event.reason: event for event in found if event}
    return tuple(sorted(told.values(), key=lambda event: event.type is EventType.NORMAL))


def _without_figures(status: Status) -> Status:
    """Figures move all the time; states and what people decide by do not."""
    slo = SloStatus(objective=status.slo.objective, state=status.slo.state)
    return status.model_copy(update={"slo": slo})


def _event(kind: ConditionKind, before: Status, after: Status) -> Event | None:
    """A condition that appears for the first time is news if it says that the slice is ready, or that it can't be."""
    good, bad = kind.good, TRUE if kind.good == FALSE else FALSE
    unseen = "" if kind.good == TRUE else good
    old, new = _found(before, kind.type), _found(after, kind.type)
    was, is_ = (old.status if old else unseen), (new.status if new else unseen)
    if new is not None and is_ == bad and was not in (bad, ""):
        return Event(Reason.of(new.reason), new.message)
    # a rollout that has ended is news, and one that has begun is not: the slice isn't the worse for it
    became_ready = kind.type is ConditionType.READY and was != good
    if kind.resolved and is_ == good and (was == bad or became_ready):
        said = new.message if new and new.message else f"{kind.type}: {good}"
        return Event(kind.resolved, said)
    return None


def _found(status: Status, kind: ConditionType) -> Condition | None:
    known = (found for found in status.conditions if found.last_transition_time != NEVER)
    return next((condition for condition in known if condition.type == kind.value), None)
