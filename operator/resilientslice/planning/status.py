"""What the resource says of itself, computed from what was seen. Nothing here decides anything."""

from collections.abc import Sequence

from resilientslice.api.conditions import WRITTEN
from resilientslice.api.reasons import Reason
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.status import (
    FALSE,
    NEVER,
    TRUE,
    UNKNOWN,
    CanaryStatus,
    ConditionType,
    ConfigStatus,
    Ejection,
    Phase,
    Pin,
    RevisionStatus,
    ServiceStatus,
    Status,
    StoreStatus,
)
from resilientslice.canary.state import State
from resilientslice.planning.conditions import findings_of
from resilientslice.planning.finding import MESSAGE_LENGTH, Finding, with_times
from resilientslice.planning.observed import EjectedHost, Observed, Trouble, TroubleKind
from resilientslice.planning.timestamps import rfc3339
from resilientslice.planning.view import StoreView, View
from resilientslice.render.names import Track
from resilientslice.render.presence import Presence, present_services

MOST_EJECTIONS = 256


def status_of(view: View, now: float) -> Status:
    """`slice_.status` is the previous one: what has not changed keeps its time, what is not ours is kept."""
    findings = findings_of(view)
    slice_ = view.slice_
    generation = slice_.metadata.generation
    others = (condition for condition in slice_.status.conditions if condition.type not in WRITTEN)
    return slice_.status.model_copy(
        update={
            "observed_generation": generation,
            "phase": _phase(view, findings),
            "conditions": (*with_times(findings, slice_.status.conditions, generation=generation, now=now), *others),
            "revision": RevisionStatus(stable=view.memory.stable.name, canary=view.state.canary),
            "canary": _canary(view),
            "config": _config(view),
            "ejections": _ejections(view.observed),
            "ejected": len(view.observed.envoys.ejections),
            "services": _services(view),
            "stores": _stores(view),
        }
    )


def suspended_status(slice_: ResilientSlice, now: float) -> Status:
    """Everything is left as it was last seen; only Reconciling changes."""
    why = "spec.suspend is set: nothing is changed, what runs continues."
    finding = Finding(ConditionType.RECONCILING, FALSE, Reason.SUSPENDED, why)
    return _without_a_pass(
        slice_.status,
        [finding],
        Phase.SUSPENDED,
        Reason.SUSPENDED,
        generation=slice_.metadata.generation,
        now=now,
    )


def unfinished_status(planned: Status, previous: Status) -> Status:
    """While what the newest generation asks for could not all be written: it doesn't count as observed."""
    return planned.model_copy(update={"observed_generation": previous.observed_generation})


def invalid_status(previous: Status, generation: int, problems: str, now: float) -> Status:
    """Of a resource that can't be understood."""
    return stalled_status(previous, generation, Reason.INVALID_SPEC, f"Correct the resource: {problems}", now)


def stalled_status(previous: Status, generation: int, reason: Reason, advice: str, now: float) -> Status:
    """Of a slice that nothing can be done about. What was observed before stays: the last good configuration serves."""
    findings = (
        Finding(ConditionType.RECONCILING, FALSE, reason, "Waiting for an edit; see Stalled."),
        Finding(ConditionType.STALLED, TRUE, reason, f"Nothing was changed, what ran before continues. {advice}"),
    )
    return _without_a_pass(previous, findings, Phase.STALLED, reason, generation=generation, now=now)


def _without_a_pass(
    previous: Status, findings: Sequence[Finding], phase: Phase, reason: Reason, *, generation: int, now: float
) -> Status:
    """Nothing was looked at. A slice that never was is not taken for one that is as it is to be."""
    seen = [condition for condition in previous.conditions if condition.last_transition_time != NEVER]
    found = list(findings)
    if not any(condition.type == ConditionType.READY for condition in seen):
        found.insert(0, Finding(ConditionType.READY, UNKNOWN, reason, "The operator has made nothing of it yet."))
    types = {finding.type.value for finding in found}
    kept = (condition for condition in seen if condition.type not in types)
    conditions = (*with_times(found, seen, generation=generation, now=now), *kept)
    return previous.model_copy(update={"observed_generation": generation, "phase": phase, "conditions": conditions})


def contended_status(previous: Status, generation: int, trouble: Trouble, now: float) -> Status:
    """Of a slice that is left to another operator for a while; everything else is that one's to say."""
    finding = Finding(ConditionType.OPERATOR_CONFLICT, TRUE, trouble.reason, trouble.message)
    kept = (condition for condition in previous.conditions if condition.type != finding.type.value)
    conditions = (*kept, *with_times([finding], previous.conditions, generation=generation, now=now))
    return previous.model_copy(update={"conditions": conditions})


def unread_status(previous: Status, generation: int, trouble: Trouble, now: float) -> Status:
    """Of a slice that nothing can be planned for, because something of it can't be read or made."""
    if trouble.kind is TroubleKind.REFUSED:
        return unfinished_status(stalled_status(previous, generation, trouble.reason, trouble.message, now), previous)
    finding = Finding(ConditionType.RECONCILING, TRUE, trouble.reason, f"Waiting for the API server. {trouble.message}")
    kept = (condition for condition in previous.conditions if condition.type != finding.type.value)
    conditions = (*with_times([finding], previous.conditions, generation=generation, now=now), *kept)
    return previous.model_copy(update={"phase": Phase.PROGRESSING, "conditions": conditions})


def _phase(view: View, findings: tuple[Finding, ...]) -> Phase:
    statuses = {finding.type: finding.status for finding in findings}
    if statuses[ConditionType.STALLED] == TRUE:
        return Phase.STALLED
    if statuses[ConditionType.READY] == FALSE:
        return Phase.DEGRADED if view.memory.served else Phase.PENDING
    moves = statuses[ConditionType.READY] == UNKNOWN or statuses[ConditionType.RECONCILING] == TRUE
    return Phase.PROGRESSING if moves else Phase.READY


def _canary(view: View) -> CanaryStatus:
    state = view.state
    canary = view.slice_.spec.canary
    return CanaryStatus(
        phase=state.phase.value,
        weight=state.observed,
        step=min(state.step, len(canary.steps)) if canary else 0,
        pin=_pin(state),
        message=view.waits[:MESSAGE_LENGTH],
        since=rfc3339(state.since),
    )


def _pin(state: State) -> Pin | None:
    return Pin(weight=state.pin.weight, revision=state.pin.revision) if state.pin else None


def _config(view: View) -> ConfigStatus:
    digest = view.memory.config
    return ConfigStatus(
        digest=digest,
        acked=view.proxies.running(digest),
        total=view.proxies.total,
        rejected=view.rejected[:MESSAGE_LENGTH],
    )


def _ejections(observed: Observed) -> tuple[Ejection, ...]:
    ordered = sorted(observed.envoys.ejections, key=lambda host: (host.service, host.host))
    return tuple(_ejection(host, observed.envoys.proxies.total) for host in ordered[:MOST_EJECTIONS])


def _ejection(host: EjectedHost, envoys: int) -> Ejection:
    return Ejection(
        service=host.service,
        host=host.host,
        pod=host.pod,
        since=None if host.since is None else rfc3339(host.since),
        envoys=f"{host.envoys}/{envoys}",
    )


def _services(view: View) -> tuple[ServiceStatus, ...]:
    return tuple(_service(view, present) for present in present_services(view.slice_, view.memory.stable, view.track))


def _service(view: View, present: Presence) -> ServiceStatus:
    """A service that is only being added has no stable replicas yet, and is to have none."""
    stable, canary = view.workload(present.name, Track.STABLE), view.workload(present.name, Track.CANARY)
    wanted = present.least_replicas if Track.STABLE in present.tracks else 0
    return ServiceStatus(
        name=present.name,
        ready=stable.ready if stable else 0,
        desired=stable.desired if stable else wanted,
        canary_ready=canary.ready if canary and Track.CANARY in present.tracks else 0,
    )


def _stores(view: View) -> tuple[StoreStatus, ...]:
    return tuple(_store(view, store) for store in view.stores.values())


def _store(view: View, store: StoreView) -> StoreStatus:
    """What the volume really has stands beside what was asked for: growing takes time, and may be impossible."""
    volume = view.observed.volumes.get(store.name)
    return StoreStatus(
        name=store.name.value,
        ready=store.ready,
        desired=store.desired,
        storage=volume.capacity if volume else "",
        requested_storage=volume.requested if volume else "",
    )
