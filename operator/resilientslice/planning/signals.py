"""Input of the canary's state machine, made from what was observed of the last plan.

More traffic, and the end of a promotion, need certainty that pods are ready; taking traffic away needs certainty that
none is. Between the two, while counts are not known to be of the newest template, everything stays as it is.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from resilientslice.api.services import DEFAULT_REPLICAS, Service
from resilientslice.api.slice import ResilientSlice
from resilientslice.canary.state import Signals
from resilientslice.planning.memory import Memory
from resilientslice.planning.observed import Observed, Workload
from resilientslice.render.names import Track
from resilientslice.render.revision import Revision

Workloads = Mapping[tuple[str, Track], Workload]
Asked = Mapping[str, Service]
"""Services as the resource has them now, by name."""
NOTHING: Mapping[str, int] = MappingProxyType({})
NOBODY: Asked = MappingProxyType({})


def asked_of(slice_: ResilientSlice) -> Asked:
    return {service.name: service for service in slice_.spec.services}


def signals_of(memory: Memory, observed: Observed, asked: Asked = NOBODY) -> Signals:
    """`asked` where replicas were edited since a revision was made: they are part of none."""
    state, stable, canary = memory.state, memory.stable, memory.canary
    moved = [name for name in state.services if name in stable.services]
    stable_pending = _stable_pending(memory, observed, moved, asked)
    unsettled = pending(observed.workloads, stable, Track.STABLE, stable.services, asked=asked)
    canary_pending: tuple[str, ...] = ()
    canary_unfound: tuple[str, ...] = ()
    ready = healthy = ""
    if canary is not None:
        canary_pending = pending(
            observed.workloads, canary, Track.CANARY, state.services, asked=asked, floors=memory.sizes
        )
        ready = "" if canary_pending else canary.name
        canary_unfound = unfound(observed, Track.CANARY, state.services)
        healthy = "" if _any_lost(observed.workloads, canary, state.services) else canary.name
    return Signals(
        canary_ready=ready,
        canary_healthy=healthy,
        canary_pending=canary_pending,
        canary_unfound=canary_unfound,
        stable_ready="" if stable_pending else stable.name,
        stable_pending=stable_pending,
        settled="" if unsettled else stable.name,
        acked=state.traffic if observed.envoys.proxies.all_run(memory.config) else None,
        active=observed.envoys.active,
        attempts=observed.envoys.attempts,
        budget=observed.budget,
    )


def pending(
    workloads: Workloads,
    revision: Revision,
    track: Track,
    services: Iterable[str],
    *,
    asked: Asked = NOBODY,
    floors: Mapping[str, int] = NOTHING,
) -> tuple[str, ...]:
    """Services whose replicas don't all run the revision and are ready: `payments 1/3`. `floors` of autoscalers."""
    found = []
    for name in sorted(services):
        service = revision.services[name]
        wanted = least_ready(asked.get(name, service.spec), track, floors.get(name, 0))
        found.append(_pending(workloads.get((name, track)), name, service.digest, wanted))
    return tuple(text for text in found if text)


def least_ready(service: Service, track: Track, floor: int = 0) -> int:
    """Ready replicas that make a track whole.

    That is what was asked for, not what the workload is set to at the moment: someone may have set that to nothing,
    and an autoscaler changes it again before the last change has come true.
    """
    if service.autoscaling:
        return min(max(service.autoscaling.min_replicas, floor), service.autoscaling.max_replicas)
    replicas = DEFAULT_REPLICAS if service.replicas is None else service.replicas
    return max(1, replicas) if track is Track.CANARY else replicas


def unfound(observed: Observed, track: Track, services: Iterable[str]) -> tuple[str, ...]:
    """Those that have ready replicas of which not every Envoy knows one: it looks names up now and then."""
    return tuple(
        name
        for name in sorted(services)
        if f"{name}-{track}" in observed.envoys.hostless
        and (workload := observed.workloads.get((name, track))) is not None
        and workload.ready > 0
    )


def uncounted(workloads: Workloads, services: Iterable[str], asked: Asked) -> tuple[str, ...]:
    """Services of which something was changed since their replicas were counted; an autoscaler does so all the time."""
    return tuple(
        f"{name} (not updated yet)"
        for name in sorted(services)
        if (workload := workloads.get((name, Track.STABLE))) is not None
        and not workload.current
        and not (name in asked and asked[name].autoscaling)
    )


def mostly_rolled_out(workloads: Workloads, revision: Revision, service: str) -> bool:
    """For sure, as many stable pods of the revision are ready as there are of others, which are on their way out."""
    workload = workloads.get((service, Track.STABLE))
    if workload is None or workload.digest != revision.services[service].digest or not workload.counted:
        return False
    return workload.outdated <= workload.surely_ready


def _stable_pending(memory: Memory, observed: Observed, moved: Iterable[str], asked: Asked) -> tuple[str, ...]:
    """What traffic waits for before it moves back from the canary."""
    workloads, stable, services = observed.workloads, memory.stable, tuple(moved)
    pods = pending(workloads, stable, Track.STABLE, services, asked=asked, floors=memory.sizes)
    if pods:
        return pods
    unaware = {*memory.aims, *unfound(observed, Track.STABLE, services)}
    return tuple(f"{name} (not every Envoy knows its pods)" for name in sorted(services) if name in unaware)


def _pending(workload: Workload | None, name: str, digest: str, wanted: int) -> str:
    if workload is None:
        return f"{name} (not there yet)"
    if workload.digest != digest or not workload.counted:
        return f"{name} (not updated yet)"
    if workload.surely_ready < wanted:
        return f"{name} {workload.surely_ready}/{wanted}"
    return f"{name} ({workload.outdated} old replicas left)" if workload.outdated else ""


def _any_lost(workloads: Workloads, canary: Revision, services: Iterable[str]) -> bool:
    return any(_lost(workloads.get((name, Track.CANARY)), canary.services[name].digest) for name in services)


def _lost(workload: Workload | None, digest: str) -> bool:
    """For sure: no pod of this template is ready."""
    return workload is None or workload.digest != digest or workload.maybe_ready == 0
