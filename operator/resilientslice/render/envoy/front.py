"""The routes of the front: what is exposed, by prefix, and where the track of a request is drawn."""

from typing import Any

from resilientslice.api.slice import ResilientSlice
from resilientslice.render.envoy.headers import (
    TENANT_REGEX,
    TENANT_TOO_LONG_REGEX,
    match_regex,
    tenant_header,
)
from resilientslice.render.envoy.limits import uncharged
from resilientslice.render.envoy.routed import RoutedService
from resilientslice.render.envoy.routes import (
    Hop,
    Lane,
    header_lane,
    home_cluster,
    render_route_configuration,
    render_section,
    render_virtual_host,
)
from resilientslice.render.envoy.sections import sections_of
from resilientslice.render.names import Track
from resilientslice.render.tracks import CanaryTrack, Topology

FRONT = "front"
HIDDEN_RESPONSE_HEADERS = ["server", "x-powered-by", "x-envoy-upstream-service-time", "x-envoy-attempt-count"]
"""They tell strangers what runs inside; the access log has them for us."""


def render_front_routes(
    slice_: ResilientSlice, services: tuple[RoutedService, ...], canary: CanaryTrack | None, topology: Topology
) -> dict[str, Any]:
    """Longest exposed prefix first; a service's own sections never reach into a longer prefix of another's."""
    exposed = sorted(
        ((service.spec.expose.path_prefix, service) for service in services if service.spec.expose),
        key=lambda item: (-len(item[0]), item[0], item[1].claim, item[1].name),
    )
    routes = [
        route
        for prefix, service in exposed
        for section in sections_of(service, prefix)
        for route in render_section(_front_hop(slice_, service, canary), section)
    ]
    hosts = sorted(set(topology.hosts))
    here = [*_bad_tenant(slice_), *routes, _not_exposed(slice_, "path")]
    virtual_hosts = [render_virtual_host(FRONT, hosts, here)]
    if "*" not in hosts:
        virtual_hosts.append(render_virtual_host("other-hosts", ["*"], [_not_exposed(slice_, "host name")]))
    return render_route_configuration(FRONT, virtual_hosts, response_headers_to_remove=HIDDEN_RESPONSE_HEADERS)


def _front_hop(slice_: ResilientSlice, service: RoutedService, canary: CanaryTrack | None) -> Hop:
    return Hop(service=service, lanes=_front_lanes(slice_, service, canary), shielded=service.calls_others)


def _front_lanes(slice_: ResilientSlice, service: RoutedService, canary: CanaryTrack | None) -> tuple[Lane, ...]:
    """The track is drawn for every exposed service, also for one without a canary: those it calls may have one."""
    home = home_cluster(service)
    stable = Lane("stable", home, Track.STABLE)
    if canary is None or not canary.live:
        return (stable,)
    alone = service.cluster(Track.CANARY) if service.in_canary else home
    drawn = service.failover_cluster if service.in_canary else home
    return (
        *header_lane(slice_, canary, alone),
        Lane("drawn", drawn, Track.CANARY, percent=canary.weight),
        stable,
    )


def _bad_tenant(slice_: ResilientSlice) -> list[dict[str, Any]]:
    """A tenant whose name could not be one is refused rather than counted as anonymous, so that the mistake shows."""
    if slice_.spec.rate_limit is None:
        return []
    header = tenant_header(slice_)
    bad = [match_regex(header, TENANT_REGEX, invert=True), match_regex(header, TENANT_TOO_LONG_REGEX)]
    text = (
        f"The header {header} must be 1 to 63 letters, digits, '-', '.' or '_', "
        "and start and end with a letter or digit."
    )
    return [
        {
            "name": "bad-tenant",
            "match": {"prefix": "/", "headers": [matcher]},
            "direct_response": {"status": 400, "body": {"inline_string": text}},
            **uncharged(slice_.spec.rate_limit),
        }
        for matcher in bad
    ]


def _not_exposed(slice_: ResilientSlice, what: str) -> dict[str, Any]:
    return {
        "name": "not-exposed",
        "match": {"prefix": "/"},
        "direct_response": {"status": 404, "body": {"inline_string": f"No service is exposed at this {what}."}},
        **uncharged(slice_.spec.rate_limit),
    }
