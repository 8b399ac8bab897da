"""The conditions, each by one function of what was seen; kstatus and GitOps tools read Ready, Reconciling, Stalled."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from resilientslice.api.status import Condition, ConditionType
from resilientslice.canary.state import Phase, Reason
from resilientslice.reconcile.observed import Trouble, TroubleKind
from resilientslice.reconcile.rollouts import Queued
from resilientslice.reconcile.times import rfc3339
from resilientslice.reconcile.view import View

Truth = Literal["True", "False", "Unknown"]
TRUE: Truth = "True"
FALSE: Truth = "False"
UNKNOWN: Truth = "Unknown"
MESSAGE_LENGTH = 4096

OURS = frozenset(
    {
        ConditionType.READY,
        ConditionType.RECONCILING,
        ConditionType.STALLED,
        ConditionType.CONFIG_ACCEPTED,
        ConditionType.CANARY_HEALTHY,
        ConditionType.NAME_CONFLICT,
        ConditionType.FIELD_CONFLICT,
        ConditionType.OPERATOR_CONFLICT,
    }
)
"""Others are written by others, and kept."""

EVERYONE_TRUSTED = "spec.front.trustedProxies is not set: everyone is trusted with the tenant header."


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition before it has a time."""

    type: ConditionType
    status: Truth
    reason: str
    message: str = ""


def findings_of(view: View) -> tuple[Finding, ...]:
    found = (
        _ready(view),
        _reconciling(view),
        _stalled(view),
        _config_accepted(view),
        _canary_healthy(view),
        _conflict(ConditionType.NAME_CONFLICT, view.troubles(TroubleKind.NAME_CONFLICT)),
        _conflict(ConditionType.FIELD_CONFLICT, view.troubles(TroubleKind.FIELD_CONFLICT)),
        _conflict(ConditionType.OPERATOR_CONFLICT, view.troubles(TroubleKind.OPERATOR_CONFLICT)),
    )
    return tuple(finding for finding in found if finding is not None)


def with_times(
    findings: Iterable[Finding], previous: Iterable[Condition], *, generation: int, now: float
) -> tuple[Condition, ...]:
    """`lastTransitionTime` stays while a condition's status does."""
    before = {condition.type: condition for condition in previous}
    return tuple(_with_time(finding, before.get(finding.type.value), generation, now) for finding in findings)


def _with_time(finding: Finding, before: Condition | None, generation: int, now: float) -> Condition:
    same = before is not None and before.status == finding.status
    return Condition(
        type=finding.type.value,
        status=finding.status,
        reason=finding.reason,
        message=finding.message[:MESSAGE_LENGTH],
        observed_generation=generation,
        last_transition_time=before.last_transition_time if before is not None and same else rfc3339(now),
    )


def _ready(view: View) -> Finding:
    if view.rejected:
        return _not_ready("ConfigRejected", "An Envoy refused the configuration; the last good one serves.")
    if not view.proxies.total or view.proxies.ready == 0:
        said = f"No Envoy {'is ready' if view.proxies.total else 'runs'} yet."
        return _not_ready(_pods_reason(view, "NoProxies"), _with_pods(view, said))
    if view.missing:
        said = _with_pods(view, f"Not ready: {', '.join(view.missing)}.")
        return _not_ready(_pods_reason(view, "PodsNotReady"), said)
    if view.unfound:
        return _not_ready("PodsNotFound", f"Not every Envoy has found the pods of {', '.join(view.unfound)} yet.")
    if not view.serves:
        return _not_ready("ConfigPending", "Not every Envoy has acknowledged its configuration yet.")
    trust = EVERYONE_TRUSTED if _trusts_everyone(view) else ""
    parts = (f"{view.memory.stable.name} serves.", view.waits, trust)
    return Finding(ConditionType.READY, TRUE, "Serving", " ".join(part for part in parts if part))


def _pods_reason(view: View, otherwise: str) -> str:
    troubles = view.troubles(TroubleKind.PODS)
    return troubles[0].reason if troubles else otherwise


def _with_pods(view: View, message: str) -> str:
    """With why pods don't come up, where that is known."""
    return " ".join((message, *(trouble.message for trouble in view.troubles(TroubleKind.PODS)))).strip()


def _not_ready(reason: str, message: str) -> Finding:
    return Finding(ConditionType.READY, FALSE, reason, message)


def _trusts_everyone(view: View) -> bool:
    return view.slice_.spec.rate_limit is not None and not view.slice_.spec.front.trusted_proxies


def _reconciling(view: View) -> Finding:
    if view.rejected:
        return Finding(ConditionType.RECONCILING, FALSE, "ConfigRejected", "Waits for an edit; see Stalled.")
    under_way = _failing(view) or _under_way(view)
    if under_way:
        return Finding(ConditionType.RECONCILING, TRUE, *under_way)
    if view.state.reason is Reason.STALE_WEIGHT:
        return Finding(ConditionType.RECONCILING, FALSE, "StaleWeight", view.waits)
    return Finding(ConditionType.RECONCILING, FALSE, "AtRest", view.waits)


def _failing(view: View) -> tuple[str, str] | None:
    """Reason and message."""
    failing = view.troubles(TroubleKind.FAILING)
    said = " ".join(("Waiting for the API server.", *(trouble.message for trouble in failing)))
    return (failing[0].reason, said) if failing else None


def _under_way(view: View) -> tuple[str, str] | None:
    """Reason and message."""
    if view.canary_moves:
        return f"Canary{view.state.phase}", _with_pods(view, view.waits)
    if view.rolling:
        return "RollingOut", _with_pods(view, f"Waits for {', '.join(view.rolling)}.")
    if view.observed.queued is not None:
        return "ProxyUpdateQueued", _in_line(view.observed.queued)
    if not view.accepted:
        return "ConfigPending", "Waits until every Envoy has acknowledged its configuration."
    if view.unfound:
        return "PodsNotFound", f"Waits until every Envoy has found the pods of {', '.join(view.unfound)}."
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
    return f"{said} These don't get on, and keep their places: {', '.join(queued.stuck)}{more}."


def _stalled(view: View) -> Finding:
    refused = view.troubles(TroubleKind.REFUSED, TroubleKind.NAME_CONFLICT)
    if view.rejected:
        others = (*refused, *view.troubles(TroubleKind.FAILING))
        said = " ".join((f"Envoy says: {view.rejected}", *(trouble.message for trouble in others)))
        return Finding(ConditionType.STALLED, TRUE, "ConfigRejected", said)
    if refused:
        return Finding(ConditionType.STALLED, TRUE, refused[0].reason, " ".join(trouble.message for trouble in refused))
    return Finding(ConditionType.STALLED, FALSE, "NotStalled")


def _conflict(kind: ConditionType, troubles: tuple[Trouble, ...]) -> Finding | None:
    """Only while there is one."""
    if not troubles:
        return None
    return Finding(kind, TRUE, troubles[0].reason, " ".join(trouble.message for trouble in troubles))


def _config_accepted(view: View) -> Finding:
    if view.rejected:
        return Finding(ConditionType.CONFIG_ACCEPTED, FALSE, "Rejected", f"Envoy says: {view.rejected}")
    if view.accepted:
        return Finding(ConditionType.CONFIG_ACCEPTED, TRUE, "Acknowledged")
    return Finding(ConditionType.CONFIG_ACCEPTED, UNKNOWN, "Pending", "Not every Envoy has answered yet.")


def _canary_healthy(view: View) -> Finding | None:
    """Only while there is a canary, or the wanted revision rests as aborted."""
    state = view.state
    if state.phase is Phase.ABORTED:
        return Finding(ConditionType.CANARY_HEALTHY, FALSE, "Aborted", view.waits)
    if not state.canary:
        return None
    if state.phase is Phase.DRAINING:
        return Finding(ConditionType.CANARY_HEALTHY, UNKNOWN, state.reason.value, view.waits)
    if not state.live:
        lost = state.exposed
        return Finding(
            ConditionType.CANARY_HEALTHY, FALSE if lost else UNKNOWN, "HostsLost" if lost else "Starting", view.waits
        )
    return Finding(ConditionType.CANARY_HEALTHY, TRUE, state.reason.value or state.phase.value, view.waits)
