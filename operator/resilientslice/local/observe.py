"""Observations of this machine for the plan, from the fleets and from the agent's snapshot."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from resilientslice.api.reasons import Reason
from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.local.processes.supervisor import Supervised
from resilientslice.local.workloads.replicas import Fleet
from resilientslice.planning.memory import Memory
from resilientslice.planning.observed import Envoys, Observed, Store, Trouble, TroubleKind, Workload
from resilientslice.render.names import Track, store_name
from resilientslice.render.store_settings import managed_stores
from resilientslice.render.tracks import Address

TrackKey = tuple[str, Track]


def observe(
    slice_: ResilientSlice,
    memory: Memory | None,
    fleets: Collection[Fleet],
    servers: Sequence[Supervised],
    envoys: Envoys,
) -> Observed:
    """`servers` are those of the managed stores."""
    return Observed(
        memory=memory,
        workloads=observe_workloads(fleets),
        envoys=envoys,
        stores=observe_stores(slice_, servers),
        troubles=store_troubles(slice_, servers),
    )


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


def observe_stores(slice_: ResilientSlice, servers: Iterable[Supervised]) -> dict[StoreName, Store]:
    """The managed stores as servers here. CloudNativePG runs elsewhere, if at all."""
    running = {server.name: server for server in servers}
    found = {
        store: Store(int(server.ready))
        for store in managed_stores(slice_)
        if (server := running.get(store_name(slice_.name, store))) is not None
    }
    postgres = slice_.spec.stores.postgres
    return found | ({StoreName.POSTGRES: Store(None)} if postgres and postgres.cnpg else {})


def store_troubles(slice_: ResilientSlice, servers: Iterable[Supervised]) -> tuple[Trouble, ...]:
    """Why stores are not ready, in their servers' words."""
    names = {store_name(slice_.name, store) for store in managed_stores(slice_)}
    return tuple(
        Trouble(
            TroubleKind.PODS,
            Reason.CRASH_LOOP if server.crash_loop else Reason.STORE_NOT_READY,
            _said(server),
        )
        for server in sorted(servers, key=lambda server: server.name)
        if server.name in names and not server.ready and server.message
    )


def _said(server: Supervised) -> str:
    return f"{server.name}: {server.message}."


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
