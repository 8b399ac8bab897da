"""The conditions, each by one function of what was seen; kstatus and GitOps tools read Ready, Reconciling, Stalled."""

from resilientslice.api.not_yet import without_effect
from resilientslice.api.reasons import Reason
from resilientslice.api.status import FALSE, TRUE, UNKNOWN, ConditionType
from resilientslice.canary.state import CanaryReason, Phase
from resilientslice.planning.finding import Finding
from resilientslice.planning.observed import Queued, Trouble, TroubleKind
from resilientslice.planning.readiness import broken, missing, ready, stuck_canary_message, stuck_message, with_pods
from resilientslice.planning.view import View


def findings_of(view: View) -> tuple[Finding, ...]:
    stalled = _stalled(view)
    found = (
        ready(view),
        _reconciling(view, stalled),
        stalled,
        _config_accepted(view),
        _canary_healthy(view),
        _conflict(ConditionType.NAME_CONFLICT, view.troubles(TroubleKind.NAME_CONFLICT)),
        _conflict(ConditionType.FIELD_CONFLICT, view.troubles(TroubleKind.FIELD_CONFLICT)),
        _conflict(ConditionType.OPERATOR_CONFLICT, view.troubles(TroubleKind.OPERATOR_CONFLICT)),
        _fields_ignored(view),
    )
    return tuple(finding for finding in found if finding is not None)


def _reconciling(view: View, stalled: Finding) -> Finding:
    """Never True beside Stalled: tools act on the first of both that is True."""
    failing = _failing(view)
    if stalled.status == TRUE:
        said = ("Waiting for an edit; see Stalled.", view.waits, failing[1] if failing else "")
        return Finding(ConditionType.RECONCILING, FALSE, stalled.reason, " ".join(part for part in said if part))
    under_way = failing or _under_way(view)
    if under_way:
        return Finding(ConditionType.RECONCILING, TRUE, *under_way)
    if view.state.reason is CanaryReason.STALE_WEIGHT:
        return Finding(ConditionType.RECONCILING, FALSE, Reason.STALE_WEIGHT, view.waits)
    return Finding(ConditionType.RECONCILING, FALSE, Reason.UP_TO_DATE, view.waits)


def _failing(view: View) -> tuple[Reason, str] | None:
    """CanaryReason and message."""
    failing = view.troubles(TroubleKind.FAILING)
    said = " ".join(("Waiting for the API server.", *(trouble.message for trouble in failing)))
    return (failing[0].reason, said) if failing else None


def _under_way(view: View) -> tuple[Reason, str] | None:
    """CanaryReason and message."""
    if view.canary_moves:
        return Reason.of(f"Canary{view.state.phase}"), with_pods(view, view.waits)
    if view.rolling:
        return Reason.ROLLING_OUT, with_pods(view, f"Waiting for {', '.join(view.rolling)}.")
    if view.observed.queued is not None:
        return Reason.PROXY_UPDATE_QUEUED, _in_line(view.observed.queued)
    return _awaited(view)


def _awaited(view: View) -> tuple[Reason, str] | None:
    """The same of what Envoys and volumes are yet to tell."""
    if not view.accepted:
        return (
            Reason.CONFIG_PENDING,
            f"Waits until every Envoy has acknowledged its configuration.{missing(view)}",
        )
    if view.unfound:
        return (
            Reason.ENDPOINTS_NOT_DISCOVERED,
            f"Waits until every Envoy has found the pods of {', '.join(view.unfound)}.",
        )
    if view.growing:
        return Reason.VOLUME_EXPANDING, " ".join(view.growing)
    return None


def _in_line(queued: Queued) -> str:
    before = f"at most {queued.before} go before this one" if queued.before else "this one is next"
    said = (
        "The operator's new version changes the proxies; the old ones serve until it is their turn. Those of "
        f"{queued.places} slices are replaced at a time, and {before}."
    )
    if not queued.stuck:
        return said
    more = f" and {queued.unnamed} more" if queued.unnamed else ""
    named = f"{said} Stalled rollouts: {', '.join(queued.stuck)}{more}."
    return f"{named} No other starts here until they get on: mend them, or go back." if queued.stopped else named


def _stalled(view: View) -> Finding:
    refused = view.troubles(TroubleKind.REFUSED, TroubleKind.NAME_CONFLICT)
    if view.rejected:
        others = (*refused, *view.troubles(TroubleKind.FAILING))
        said = " ".join((f"Envoy says: {view.rejected}", *(trouble.message for trouble in others)))
        return Finding(ConditionType.STALLED, TRUE, Reason.CONFIG_REJECTED, said)
    if refused:
        return Finding(ConditionType.STALLED, TRUE, refused[0].reason, " ".join(trouble.message for trouble in refused))
    if view.stuck:
        return Finding(ConditionType.STALLED, TRUE, Reason.PROGRESS_DEADLINE_EXCEEDED, stuck_message(view))
    if view.stuck_canary:
        return Finding(ConditionType.STALLED, TRUE, Reason.PROGRESS_DEADLINE_EXCEEDED, stuck_canary_message(view))
    return Finding(ConditionType.STALLED, FALSE, Reason.NOT_STALLED)


def _conflict(kind: ConditionType, troubles: tuple[Trouble, ...]) -> Finding | None:
    """Only while there is one."""
    if not troubles:
        return None
    return Finding(kind, TRUE, troubles[0].reason, " ".join(trouble.message for trouble in troubles))


def _fields_ignored(view: View) -> Finding | None:
    """Only while the slice sets a field that has no effect yet."""
    found = without_effect(view.slice_.spec)
    if not found:
        return None
    said = " ".join(f"{entry.message}." for entry in found)
    return Finding(ConditionType.FIELDS_IGNORED, TRUE, Reason.NOT_IMPLEMENTED, said)


def _config_accepted(view: View) -> Finding:
    senseless = broken(view.proxies)
    if view.rejected:
        said = f"Envoy says: {view.rejected} {senseless}".rstrip()
        return Finding(ConditionType.CONFIG_ACCEPTED, FALSE, Reason.CONFIG_REJECTED, said)
    if senseless:
        return Finding(ConditionType.CONFIG_ACCEPTED, UNKNOWN, Reason.INVALID_AGENT_RESPONSE, senseless)
    if view.accepted:
        return Finding(ConditionType.CONFIG_ACCEPTED, TRUE, Reason.ACKNOWLEDGED)
    said = f"Not every Envoy has answered yet.{missing(view)}"
    return Finding(ConditionType.CONFIG_ACCEPTED, UNKNOWN, Reason.CONFIG_PENDING, said)


def _canary_healthy(view: View) -> Finding | None:
    """Only while there is a canary, or the wanted revision rests as aborted."""
    state = view.state
    if state.phase is Phase.ABORTED:
        return Finding(ConditionType.CANARY_HEALTHY, FALSE, Reason.ABORTED, view.waits)
    if not state.canary:
        return None
    if state.phase is Phase.DRAINING:
        return Finding(ConditionType.CANARY_HEALTHY, UNKNOWN, Reason.of(state.reason.value), view.waits)
    if view.stuck_canary:
        return Finding(
            ConditionType.CANARY_HEALTHY, FALSE, Reason.PROGRESS_DEADLINE_EXCEEDED, stuck_canary_message(view)
        )
    if not state.live:
        lost = state.exposed
        return Finding(
            ConditionType.CANARY_HEALTHY,
            FALSE if lost else UNKNOWN,
            Reason.NO_READY_HOSTS if lost else Reason.STARTING,
            view.waits,
        )
    return Finding(ConditionType.CANARY_HEALTHY, TRUE, Reason.of(state.reason.value or state.phase.value), view.waits)
