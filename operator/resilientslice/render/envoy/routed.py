"""The services that get traffic, each with all that routing must know of it, from the slice and both revisions.

What a service *is* (port, protocol, calls) is its revision's; how calls to it survive is the slice's and acts at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from resilientslice.api.policies import Resilience
from resilientslice.api.services import Protocol, Service
from resilientslice.api.slice import ResilientSlice
from resilientslice.render.names import Track
from resilientslice.render.revision import Revision, ServiceRevision
from resilientslice.render.tracks import CanaryTrack
from resilientslice.render.transit import AT_REST, Stage, Target, target_of


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
    leaves: Stage | None = None
    """How far its end is, of a service that the stable revision doesn't have, or that nobody is to call any more."""

    @property
    def grpc(self) -> bool:
        return any(target.protocol is Protocol.GRPC for target in self.targets.values())

    def cluster(self, track: Track) -> str:
        return f"{self.name}-{track}"

    @property
    def failover_cluster(self) -> str:
        return f"{self.name}-failover"

    @property
    def claim(self) -> int:
        """Which of two services gets a path that both expose, one before and one after an edit: the lowest. The former
        keeps it until the latter's pods are there."""
        if self.leaves is not None:
            return 1 if self.leaves is Stage.ROLLING else 4
        if self.in_stable:
            return 0 if self.in_canary else 2
        return 3


def routed_services(slice_: ResilientSlice, stable: Revision, canary: CanaryTrack | None) -> tuple[RoutedService, ...]:
    """The services with a port in either revision, by name."""
    old = {name: service for name, service in stable.services.items() if service.called is not None}
    revised = canary.revision.services if canary else {}
    new = {name: revised[name].spec for name in (canary.services if canary else ()) if name in revised}
    new = {name: spec for name, spec in new.items() if spec.port is not None}
    live = canary is not None and canary.live
    return tuple(_routed(slice_, old.get(name), new.get(name), live=live) for name in sorted(old.keys() | new.keys()))


def _routed(
    slice_: ResilientSlice, stable: ServiceRevision | None, new: Service | None, *, live: bool
) -> RoutedService:
    old, transit = (stable.called, stable.transit) if stable else (None, AT_REST)
    known = [spec for spec in (old, new) if spec is not None]
    wanted = slice_.service(known[0].name)
    spec = wanted if wanted is not None and wanted.port is not None else known[0]
    return RoutedService(
        name=spec.name,
        spec=spec,
        policy=slice_.resilience_of(spec),
        targets={Track.STABLE: transit.aim or _target(known[0]), Track.CANARY: _target(known[-1])},
        calls_others=any(service.depends_on for service in known),
        in_stable=old is not None,
        in_canary=new is not None and live,
        leaves=transit.stage if stable and (transit.removed or stable.port is None) else None,
    )


def _target(spec: Service) -> Target:
    target = target_of(spec)
    if target is None:
        raise ValueError(f"service {spec.name}: only a service with a port is routed")
    return target
