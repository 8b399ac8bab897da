"""What the plan is told of this machine, from the fleets and from the agent's snapshot."""

from collections.abc import Iterable, Mapping

from resilientslice.local.replicas import Fleet
from resilientslice.reconcile.observed import Workload
from resilientslice.render.names import Track
from resilientslice.render.tracks import Address

TrackKey = tuple[str, Track]


def observe_workloads(fleets: Iterable[Fleet]) -> dict[TrackKey, Workload]:
    """Replicas by service and track. A fleet takes a new template up at once: its counts are of the newest."""
    return {
        (fleet.workload.service, fleet.workload.track): Workload(
            desired=fleet.desired,
            ready=sum(replica.ready for replica in fleet.replicas),
            updated=len(fleet.current),
            digest=fleet.workload.digest,
            outdated=len(fleet.outdated),
        )
        for fleet in fleets
        if not fleet.removed
    }


def ready_hosts(fleets: Iterable[Fleet]) -> dict[TrackKey, tuple[Address, ...]]:
    """The addresses that Envoy may send to: replicas that are ready and don't drain."""
    hosts: dict[TrackKey, tuple[Address, ...]] = {}
    for fleet in fleets:
        if fleet.workload.port is not None:
            addresses = sorted((r.address for r in fleet.replicas if r.ready), key=lambda a: a.port)
            hosts[fleet.workload.service, fleet.workload.track] = tuple(addresses)
    return hosts


def owners(fleets: Iterable[Fleet]) -> Mapping[str, str]:
    """`127.0.0.1:PORT` → name of the replica that listens there."""
    return {f"{r.address.host}:{r.address.port}": r.name for fleet in fleets for r in fleet.replicas}
