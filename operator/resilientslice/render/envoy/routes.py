"""Which track a request takes, and under which policy.

A *lane* is one way that a request may go: by header to the canary alone, by track or by lot to the canary with stable
behind it, or to stable. Lots are drawn by `runtime_fraction` of a route, not by weighted clusters: those share one
retry policy, but a request drawn to a canary is retried under other rules than one drawn to stable.
"""

from dataclasses import dataclass
from typing import Any

from resilientslice.api.slice import ResilientSlice
from resilientslice.render.envoy.headers import TRACK_HEADER, canary_header, match_exact, set_header
from resilientslice.render.envoy.retries import retry_in_track, retry_on_stable, retry_unsent, unsafe_headers
from resilientslice.render.envoy.routed import RoutedService
from resilientslice.render.envoy.scalars import TYPE, seconds
from resilientslice.render.envoy.sections import Section, path_match, sections_of
from resilientslice.render.names import Track
from resilientslice.render.tracks import CanaryTrack

ROUTES_TYPE = TYPE + "envoy.config.route.v3.RouteConfiguration"
STREAM_GRACE_MILLISECONDS = 50
"""How much later than a route's time-out a stream is ended, so that the time-out, which says more, comes first."""


@dataclass(frozen=True, slots=True)
class Lane:
    """`headers` must match; of what matches, `percent` goes here (None: all); `track` is set on what does."""

    name: str
    cluster: str
    track: Track | None = None
    headers: tuple[dict[str, Any], ...] = ()
    percent: int | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """A service as one listener routes to it. `shielded`: see `retry_in_track`; `capped`: a caller's time-out, which
    may be longer than the route's, is obeyed here and must be bounded."""

    service: RoutedService
    lanes: tuple[Lane, ...]
    shielded: bool = False
    capped: bool = False


def render_internal_routes(
    slice_: ResilientSlice, service: RoutedService, canary: CanaryTrack | None
) -> dict[str, Any]:
    """The route configuration of a service's own listener, named as the service."""
    hop = Hop(service=service, lanes=_internal_lanes(slice_, service, canary), capped=True)
    routes = [route for section in sections_of(service, "/") for route in render_section(hop, section)]
    return render_route_configuration(service.name, [render_virtual_host(service.name, ["*"], routes)])


def render_route_configuration(name: str, hosts: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {
        "@type": ROUTES_TYPE,
        "name": name,
        "virtual_hosts": hosts,
        # Without it, a route to a cluster that is missing is accepted, and answered 503.
        "validate_clusters": True,
        "ignore_port_in_host_matching": True,
        **fields,
    }


def render_virtual_host(name: str, domains: list[str], routes: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "domains": domains,
        "routes": routes,
        # So that who counts requests by tenant can tell a retry from a request.
        "include_request_attempt_count": True,
        **fields,
    }


def home_cluster(service: RoutedService) -> str:
    """Where stable traffic goes. A service that only the canary's revision has is served by its canary."""
    return service.cluster(Track.STABLE) if service.in_stable or not service.in_canary else service.failover_cluster


def header_lane(slice_: ResilientSlice, canary: CanaryTrack, cluster: str) -> tuple[Lane, ...]:
    if not canary.by_header:
        return ()
    header = canary_header(slice_)
    return (Lane("header", cluster, Track.CANARY, (match_exact(header.name, header.value),)),)


def _internal_lanes(slice_: ResilientSlice, service: RoutedService, canary: CanaryTrack | None) -> tuple[Lane, ...]:
    """A service without a canary leaves the track as it is, for those that it calls."""
    if canary is None or not service.in_canary:
        return (Lane(name="stable", cluster=home_cluster(service)),)
    # Envoy does not invert a match on a header that is absent, unless that counts as empty.
    undrawn = match_exact(TRACK_HEADER, Track.STABLE) | {"invert_match": True, "treat_missing_header_as_empty": True}
    failover = service.failover_cluster
    return (
        *header_lane(slice_, canary, service.cluster(Track.CANARY)),
        Lane("canary", failover, Track.CANARY, (match_exact(TRACK_HEADER, Track.CANARY),)),
        Lane("drawn", failover, Track.CANARY, (undrawn,), canary.weight),
        Lane("stable", home_cluster(service), Track.STABLE),
    )


def render_section(hop: Hop, section: Section) -> list[dict[str, Any]]:
    """The routes of a section: for each lane, first the exceptions by kind of request, then all the rest."""
    return [route for lane in hop.lanes for route in _lane_routes(hop, section, lane)]


def _lane_routes(hop: Hop, section: Section, lane: Lane) -> list[dict[str, Any]]:
    failover = lane.cluster == hop.service.failover_cluster
    unsent = retry_unsent(section, failover=failover)
    retry = retry_on_stable if failover else retry_in_track
    repeated = retry(section, grpc=hop.service.grpc, shielded=hop.shielded)
    routes = []
    if section.websocket:
        routes.append(_upgrade_route(hop, section, lane, unsent))
    if section.attempts:
        routes.append(_route(hop, section, lane, kind="once", headers=unsafe_headers(), retry=unsent))
    routes.append(_route(hop, section, lane, kind="repeatable", headers=[], retry=repeated))
    return routes


def _upgrade_route(hop: Hop, section: Section, lane: Lane, retry: dict[str, Any]) -> dict[str, Any]:
    """WebSocket: it lasts as long as it is used."""
    upgrade = {"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}
    route = _route(hop, section, lane, kind="websocket", headers=[upgrade], retry=retry)
    action = {key: value for key, value in route["route"].items() if key != "max_stream_duration"}
    upgrades = [{"upgrade_type": "websocket", "enabled": True}]
    return route | {"route": action | {"timeout": "0s", "upgrade_configs": upgrades}}


def _route(
    hop: Hop, section: Section, lane: Lane, *, kind: str, headers: list[dict[str, Any]], retry: dict[str, Any]
) -> dict[str, Any]:
    match: dict[str, Any] = path_match(section.prefix)
    conditions: list[dict[str, Any]] = [*lane.headers, *headers]
    if conditions:
        match["headers"] = conditions
    if lane.percent is not None:
        match["runtime_fraction"] = {"default_value": {"numerator": lane.percent, "denominator": "HUNDRED"}}
    route: dict[str, Any] = {
        "name": f"{hop.service.name}{section.prefix} {lane.name} {kind}",
        "match": match,
        "route": {
            "cluster": lane.cluster,
            **_times(hop, section),
            **({"retry_policy": retry} if section.attempts else {}),
        },
    }
    if lane.track is not None:
        route["request_headers_to_add"] = [set_header(TRACK_HEADER, lane.track)]
    return route


def _times(hop: Hop, section: Section) -> dict[str, Any]:
    times: dict[str, Any] = {"timeout": seconds(section.timeout)}
    if section.idle is not None:
        times["idle_timeout"] = seconds(section.idle)
    stream = {}
    if hop.capped and section.timeout:
        stream["max_stream_duration"] = seconds(section.timeout + STREAM_GRACE_MILLISECONDS)
    if hop.service.grpc:
        stream["grpc_timeout_header_max"] = seconds(section.timeout)
    return times | ({"max_stream_duration": stream} if stream else {})
