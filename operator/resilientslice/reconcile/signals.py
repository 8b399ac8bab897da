"""What the canary's state machine is told, made from what was observed of the last plan."""

from collections.abc import Iterable, Mapping

from resilientslice.canary.state import Signals
from resilientslice.reconcile.memory import Memory
from resilientslice.reconcile.observed import Observed, Workload
from resilientslice.render.names import Track
from resilientslice.render.revision import Revision

Workloads = Mapping[tuple[str, Track], Workload]


def signals_of(memory: Memory, observed: Observed) -> Signals:
    state, workloads = memory.state, observed.workloads
    moved = [name for name in state.services if name in memory.stable.services]
    stable_pending = pending(workloads, memory.stable, Track.STABLE, moved)
    unsettled = pending(workloads, memory.stable, Track.STABLE, memory.stable.services)
    canary_pending: tuple[str, ...] = ()
    canary_unfound: tuple[str, ...] = ()
    ready = healthy = ""
    if memory.canary is not None:
        canary_pending = pending(workloads, memory.canary, Track.CANARY, state.services)
        ready = "" if canary_pending else memory.canary.name
        canary_unfound = unfound(observed, Track.CANARY, state.services)
        healthy = memory.canary.name if _all_healthy(workloads, memory.canary, state.services) else ""
    return Signals(
        canary_ready=ready,
        canary_healthy=healthy,
        canary_pending=canary_pending,
        canary_unfound=canary_unfound,
        stable_ready="" if stable_pending else memory.stable.name,
        stable_pending=stable_pending,
        settled="" if unsettled else memory.stable.name,
        acked=state.traffic if observed.proxies.all_run(memory.config) else None,
        active=observed.active,
        attempts=observed.attempts,
        budget=observed.budget,
    )


def pending(workloads: Workloads, revision: Revision, track: Track, services: Iterable[str]) -> tuple[str, ...]:
    """Services whose replicas don't all run the revision and are ready: `payments 1/3`."""
    return tuple(
        text
        for name in sorted(services)
        if (text := _pending(workloads.get((name, track)), name, revision.services[name].digest))
    )


def unfound(observed: Observed, track: Track, services: Iterable[str]) -> tuple[str, ...]:
    """Those that have ready replicas of which not every Envoy knows one: it looks names up now and then."""
    return tuple(
        name
        for name in sorted(services)
        if f"{name}-{track}" in observed.hostless
        and (workload := observed.workloads.get((name, track))) is not None
        and workload.ready > 0
    )


def _pending(workload: Workload | None, name: str, digest: str) -> str:
    if workload is None:
        return f"{name} (not there yet)"
    if workload.digest != digest:
        return f"{name} (not updated yet)"
    ready = _ready(workload)
    if ready < workload.desired:
        return f"{name} {ready}/{workload.desired}"
    return f"{name} ({workload.outdated} old replicas left)" if workload.outdated else ""


def _all_healthy(workloads: Workloads, revision: Revision, services: Iterable[str]) -> bool:
    return all(_healthy(workloads.get((name, Track.CANARY)), revision.services[name].digest) for name in services)


def _healthy(workload: Workload | None, digest: str) -> bool:
    if workload is None or workload.digest != digest:
        return False
    return workload.desired == 0 or _ready(workload) > 0


def _ready(workload: Workload) -> int:
    """Replicas of the newest template that are ready for sure: of those that are, any old one may be counted."""
    return max(0, min(workload.updated, workload.ready - workload.outdated))
