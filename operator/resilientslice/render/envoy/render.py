"""All resources of a slice's Envoys, put together; and again, with what has not changed since the last time.

A step of a canary changes routes, and of those only the ones that lead to it. Everything else is made from `Basis`
alone, which has no weight in it: while that is the same, so is what was made from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from resilientslice.api.policies import Canary
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.status import Status
from resilientslice.render.envoy.clusters import render_clusters, render_endpoints
from resilientslice.render.envoy.config import EnvoyConfig, Resource, Resources
from resilientslice.render.envoy.front import render_front_routes
from resilientslice.render.envoy.listeners import render_front_listener, render_internal_listener
from resilientslice.render.envoy.routed import RoutedService, routed_services
from resilientslice.render.envoy.routes import render_internal_routes
from resilientslice.render.limits import enforced_by
from resilientslice.render.revision import Revision
from resilientslice.render.tracks import CanaryTrack, Topology

_UNSEEN = Status()


def render_envoy(
    slice_: ResilientSlice, stable: Revision, canary: CanaryTrack | None, topology: Topology
) -> EnvoyConfig:
    """The same input gives the same bytes. Raises KeyError when `topology.internal` lacks a service with a port."""
    return EnvoyRenderer()(slice_, stable, canary, topology)


@dataclass(frozen=True, slots=True)
class Basis:
    """All that clusters, endpoints and listeners are made from, and the routes of whatever has no canary. `slice_` is
    without what the next edit of a weight, or the next status, changes."""

    slice_: ResilientSlice
    services: tuple[RoutedService, ...]
    topology: Topology


@dataclass(frozen=True, slots=True)
class _Last:
    basis: Basis
    canary: CanaryTrack | None
    config: EnvoyConfig


class EnvoyRenderer:
    """`render_envoy` for one slice over and over: the same results, sooner. What it returned last is kept."""

    def __init__(self) -> None:
        self._last: _Last | None = None

    def __call__(
        self, slice_: ResilientSlice, stable: Revision, canary: CanaryTrack | None, topology: Topology
    ) -> EnvoyConfig:
        basis, last = _basis(slice_, stable, canary, topology), self._last
        if last is None or last.basis != basis:
            config = _rendered(basis, canary)
        elif last.canary != canary:
            config = _rerouted(last.config, basis, canary)
        else:
            config = last.config
        self._last = _Last(basis, canary, config)
        return config


def _rendered(basis: Basis, canary: CanaryTrack | None) -> EnvoyConfig:
    slice_, services, topology = basis.slice_, basis.services, basis.topology
    listeners = [render_internal_listener(slice_, service, topology) for service in services]
    return EnvoyConfig(
        clusters=Resources(cluster for service in services for cluster in render_clusters(slice_, service, topology)),
        endpoints=Resources(hosts for service in services for hosts in render_endpoints(service, topology)),
        listeners=Resources(sorted([*listeners, render_front_listener(slice_, topology)], key=_name)),
        routes=Resources(_routes(basis, canary, {})),
    )


def _rerouted(config: EnvoyConfig, basis: Basis, canary: CanaryTrack | None) -> EnvoyConfig:
    """`config` is of the same basis and another canary."""
    known = {_name(made): made for made in config.routes}
    routes = _routes(
        basis, canary, {service.name: known[service.name] for service in basis.services if not service.in_canary}
    )
    return EnvoyConfig(config.clusters, config.endpoints, config.listeners, Resources(routes, config.routes))


def _routes(basis: Basis, canary: CanaryTrack | None, known: Mapping[str, Resource]) -> list[Resource]:
    """`known`: of services that no request can reach a canary of."""
    internal = [
        known.get(service.name) or _internal_routes(basis.slice_, service, canary) for service in basis.services
    ]
    front = render_front_routes(basis.slice_, basis.services, canary, basis.topology)
    return sorted([*internal, front], key=_name)


def _internal_routes(slice_: ResilientSlice, service: RoutedService, canary: CanaryTrack | None) -> Resource:
    return render_internal_routes(slice_, service, canary if service.in_canary else None)


def _basis(slice_: ResilientSlice, stable: Revision, canary: CanaryTrack | None, topology: Topology) -> Basis:
    spec = slice_.spec
    limits = enforced_by(slice_, stable, canary)
    wanted = Canary(header=spec.canary.header) if spec.canary else None
    bare = slice_.model_copy(
        update={
            "metadata": slice_.metadata.model_copy(update={"generation": 0}),
            "spec": spec.model_copy(update={"canary": wanted, "rate_limit": limits}),
            "status": _UNSEEN,
        }
    )
    return Basis(bare, routed_services(bare, stable, canary), topology)


def _name(resource: Resource) -> str:
    return str(resource["name"])
