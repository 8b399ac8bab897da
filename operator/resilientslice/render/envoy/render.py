"""All resources of a slice's Envoys, put together."""

from resilientslice.api.slice import ResilientSlice
from resilientslice.render.envoy.clusters import render_clusters, render_endpoints
from resilientslice.render.envoy.config import EnvoyConfig
from resilientslice.render.envoy.front import render_front_routes
from resilientslice.render.envoy.listeners import render_front_listener, render_internal_listener
from resilientslice.render.envoy.routed import routed_services
from resilientslice.render.envoy.routes import render_internal_routes
from resilientslice.render.limits import enforced_by
from resilientslice.render.revision import Revision
from resilientslice.render.tracks import CanaryTrack, Topology


def render_envoy(
    slice_: ResilientSlice, stable: Revision, canary: CanaryTrack | None, topology: Topology
) -> EnvoyConfig:
    """The same input gives the same bytes. Raises KeyError when `topology.internal` lacks a service with a port."""
    slice_ = _as_enforced(slice_, stable, canary)
    services = routed_services(slice_, stable, canary)
    listeners = [render_internal_listener(slice_, service, topology) for service in services]
    routes = [render_internal_routes(slice_, service, canary) for service in services]
    return EnvoyConfig(
        clusters=tuple(cluster for service in services for cluster in render_clusters(slice_, service, topology)),
        endpoints=tuple(hosts for service in services for hosts in render_endpoints(service, topology)),
        listeners=tuple(sorted([*listeners, render_front_listener(slice_, topology)], key=_name)),
        routes=tuple(sorted([*routes, render_front_routes(slice_, services, canary, topology)], key=_name)),
    )


def _as_enforced(slice_: ResilientSlice, stable: Revision, canary: CanaryTrack | None) -> ResilientSlice:
    limits = enforced_by(slice_, stable, canary)
    if limits is slice_.spec.rate_limit:
        return slice_
    return slice_.model_copy(update={"spec": slice_.spec.model_copy(update={"rate_limit": limits})})


def _name(resource: dict[str, object]) -> str:
    return str(resource["name"])
