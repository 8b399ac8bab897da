"""The services that get traffic, each with all that routing must know of it, from the slice and both revisions.

What a service *is* (port, protocol, calls) is its revision's; how calls to it survive is the slice's and acts at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from resilientslice.api.policies import Resilience
from resilientslice.api.services import Protocol, Service
from resilientslice.api.slice import ResilientSlice
from resilientslice.render.names import Track
from resilientslice.render.revision import Revision
from resilientslice.render.tracks import CanaryTrack


@dataclass(frozen=True, slots=True)
class Target:
    """What one track of a service listens on."""

    port: int
    protocol: Protocol


@dataclass(frozen=True, slots=True)
class RoutedService:
    """`spec` is the one whose policy holds; `calls_others` says that its failures may be those of what it calls.

    `in_stable` and `in_canary` say which tracks have hosts that may be sent to.
    """

    name: str
    spec: Service
    policy: Resilience
    targets: Mapping[Track, Target]
    calls_others: bool
    in_stable: bool
    in_canary: bool

    @property
    def grpc(self) -> bool:
        return any(target.protocol is Protocol.GRPC for target in self.targets.values())

    def cluster(self, track: Track) -> str:
        return f"{self.name}-{track}"

    @property
    def failover_cluster(self) -> str:
        return f"{self.name}-failover"


def routed_services(slice_: ResilientSlice, stable: Revision, canary: CanaryTrack | None) -> tuple[RoutedService, ...]:
    """The services with a port in either revision, by name."""
    old = {name: service.spec for name, service in stable.services.items() if service.port is not None}
    revised = canary.revision.services if canary else {}
    new = {name: revised[name].spec for name in (canary.services if canary else ()) if name in revised}
    new = {name: spec for name, spec in new.items() if spec.port is not None}
    live = canary is not None and canary.live
    return tuple(_routed(slice_, old.get(name), new.get(name), live=live) for name in sorted(old.keys() | new.keys()))


def _routed(slice_: ResilientSlice, old: Service | None, new: Service | None, *, live: bool) -> RoutedService:
    known = [spec for spec in (old, new) if spec is not None]
    wanted = slice_.service(known[0].name)
    spec = wanted if wanted is not None and wanted.port is not None else known[0]
    return RoutedService(
        name=spec.name,
        spec=spec,
        policy=slice_.resilience_of(spec),
        targets={Track.STABLE: _target(known[0]), Track.CANARY: _target(known[-1])},
        calls_others=any(service.depends_on for service in known),
        in_stable=old is not None,
        in_canary=new is not None and live,
    )


def _target(spec: Service) -> Target:
    if spec.port is None:
        raise ValueError(f"service {spec.name}: only a service with a port is routed")
    return Target(port=spec.port, protocol=spec.protocol)
