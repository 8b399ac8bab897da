"""Which services exist right now, on which tracks, and who may call whom.

While a canary lives, that is neither the wanted slice nor the stable revision alone: removed services stay, added ones
exist as canary only, and an edge is allowed if either revision has it. Whatever asks "which services?" asks here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from resilientslice.api.services import DEFAULT_REPLICAS, Service, StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.render.names import Track
from resilientslice.render.revision import Revision, ServiceRevision
from resilientslice.render.tracks import CanaryTrack
from resilientslice.render.transit import Stage


@dataclass(frozen=True, slots=True)
class Presence:
    """One service that exists. `policy` holds what is in no revision: replicas, exposure, routes, egress."""

    policy: Service
    tracks: Mapping[Track, ServiceRevision]
    """At least one."""

    @property
    def name(self) -> str:
        return self.policy.name

    @property
    def ports(self) -> tuple[int, ...]:
        """Ports its pods listen on: one, none, or several while a revision moves it, those of today first."""
        today = [revision.port for revision in self.tracks.values()]
        found = [*today, *(spec.port for spec in self._specs)]
        return tuple(dict.fromkeys(port for port in found if port is not None))

    @property
    def internal_port(self) -> int | None:
        """Its listener on the proxies, the same for both tracks."""
        former = (old.internal_port for revision in self.tracks.values() for old in revision.transit.former)
        found = (*(revision.internal_port for revision in self.tracks.values()), *former)
        return next((port for port in found if port is not None), None)

    @property
    def _specs(self) -> tuple[Service, ...]:
        """All that pods which may run were made from."""
        return tuple(spec for revision in self.tracks.values() for spec in revision.specs)

    def runs(self, track: Track) -> ServiceRevision | None:
        """What the pods of a track are to be; None if it is to have none. Of a removed service those that are called
        stay for their callers."""
        revision = self.tracks.get(track)
        if revision is not None and revision.transit.removed:
            return revision if revision.called and revision.transit.stage is not Stage.GONE else None
        return revision

    def port_of(self, track: Track) -> int | None:
        """The track's port; the other one's where this track does not exist, so that both can always be named."""
        own = self.tracks.get(track)
        return own.port if own and own.port is not None else next(iter(self.ports), None)

    @property
    def callees(self) -> frozenset[str]:
        return frozenset(name for spec in self._specs for name in spec.depends_on)

    @property
    def stores(self) -> frozenset[StoreName]:
        return frozenset(store for spec in self._specs for store in spec.stores)

    @property
    def least_replicas(self) -> int:
        """Fewest pods its stable track has by itself."""
        if self.policy.autoscaling:
            return self.policy.autoscaling.min_replicas
        return DEFAULT_REPLICAS if self.policy.replicas is None else self.policy.replicas


def present_services(slice_: ResilientSlice, stable: Revision, canary: CanaryTrack | None) -> tuple[Presence, ...]:
    """Every service that has pods, by name. `stable` as rendered: `render.leaving.in_transit`."""
    tracks: dict[str, dict[Track, ServiceRevision]] = {
        name: {Track.STABLE: revision} for name, revision in stable.services.items()
    }
    if canary:
        for name in sorted(canary.services & canary.revision.services.keys()):
            tracks.setdefault(name, {})[Track.CANARY] = canary.revision.services[name]
    return tuple(
        Presence(policy=slice_.service(name) or next(iter(found.values())).spec, tracks=found)
        for name, found in sorted(tracks.items())
    )


def callers_of(present: tuple[Presence, ...], service: str) -> tuple[str, ...]:
    """Services that declared, in either revision, that they call this one."""
    return tuple(sorted(caller.name for caller in present if service in caller.callees))
