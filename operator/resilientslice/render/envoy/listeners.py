"""Where Envoy listens: the front for strangers, and one port for each service, which only its callers reach."""

from typing import Any

from resilientslice.api.slice import ResilientSlice
from resilientslice.api.stores import UnderscoreHeaders
from resilientslice.render.envoy.access_log import render_access_log
from resilientslice.render.envoy.clusters import BUFFER_BYTES
from resilientslice.render.envoy.front import FRONT
from resilientslice.render.envoy.headers import front_mutations, internal_mutations
from resilientslice.render.envoy.limits import render_tenant_filter
from resilientslice.render.envoy.replies import render_replies
from resilientslice.render.envoy.routed import RoutedService
from resilientslice.render.envoy.scalars import ADS, TYPE, extension, seconds, socket_address
from resilientslice.render.tracks import Topology

LISTENER_TYPE = TYPE + "envoy.config.listener.v3.Listener"
CONNECTION_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

MAX_REQUEST_HEADERS_KILOBYTES = 32
REQUEST_HEADERS_MILLISECONDS = 10_000
STREAM_IDLE_MILLISECONDS = 300_000
CONNECTION_IDLE_MILLISECONDS = 900_000
"""Longer than the load balancers before it keep theirs, so that it is never Envoy that closes under a request."""

_ANYWHERE = [{"address_prefix": "0.0.0.0", "prefix_len": 0}, {"address_prefix": "::", "prefix_len": 0}]
_NOBODY = {"address_prefix": "255.255.255.255", "prefix_len": 32}
"""No client has this address. An empty list would mean all private ones, and those are where strangers come from."""
_HTTP_1 = {
    "accept_http_10": True,
    "default_host_for_http_10": "unnamed",
    "ignore_http_11_upgrade": [{"prefix": "TLS/"}],
}
"""What is still sent: HTTP/1.0 by nginx between services and by old load balancers, these without a Host too; and the
offer of an upgrade to TLS with each request, by Apache HttpClient."""
_UNDERSCORES = {
    UnderscoreHeaders.REJECT: "REJECT_REQUEST",
    UnderscoreHeaders.DROP: "DROP_HEADER",
    UnderscoreHeaders.ALLOW: "ALLOW",
}


def render_front_listener(slice_: ResilientSlice, topology: Topology) -> dict[str, Any]:
    """One filter chain for all; or, with trusted proxies, one for them and one for everyone else."""
    proxies = slice_.spec.front.trusted_proxies
    everyone = _filter_chain("everyone", _front_manager(slice_, topology, trusted=not proxies, hops=0))
    listener = _listener(FRONT, socket_address(topology.front))
    if not proxies:
        return listener | {"filter_chains": [everyone]}
    trusted = _filter_chain("trusted", _front_manager(slice_, topology, trusted=True, hops=1))
    trusted["filter_chain_match"] = {"source_prefix_ranges": [_cidr_range(cidr) for cidr in sorted(proxies)]}
    return listener | {"filter_chains": [trusted], "default_filter_chain": everyone}


def render_internal_listener(slice_: ResilientSlice, service: RoutedService, topology: Topology) -> dict[str, Any]:
    manager = _manager(
        slice_,
        topology,
        name=service.name,
        prefix=f"internal_{service.name}",
        filters=[_router(respect_expected_rq_timeout=True)],
        use_remote_address=True,
        skip_xff_append=True,
        # with 0, what a caller says in X-Forwarded-Proto would be replaced by `http`
        xff_num_trusted_hops=1,
        # Callers are the slice's own services; from others Envoy would take off the time that is left.
        internal_address_config={"cidr_ranges": _ANYWHERE},
        early_header_mutation_extensions=internal_mutations(),
        underscores=UnderscoreHeaders.ALLOW,
    )
    listener = _listener(service.name, socket_address(topology.internal[service.name]))
    return listener | {"filter_chains": [_filter_chain("callers", manager)]}


def _front_manager(slice_: ResilientSlice, topology: Topology, *, trusted: bool, hops: int) -> dict[str, Any]:
    return _manager(
        slice_,
        topology,
        name=FRONT,
        prefix=FRONT,
        filters=[*render_tenant_filter(slice_.spec.rate_limit, topology.proxies), _router()],
        use_remote_address=True,
        xff_num_trusted_hops=hops,
        internal_address_config={"cidr_ranges": [_NOBODY]},
        early_header_mutation_extensions=front_mutations(slice_, trusted=trusted),
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="UNESCAPE_AND_REDIRECT",
        preserve_external_request_id=trusted,
        underscores=slice_.spec.front.underscore_headers,
        http2_protocol_options={
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 65_536,
            "initial_connection_window_size": 1_048_576,
        },
    )


def _manager(
    slice_: ResilientSlice,
    topology: Topology,
    *,
    name: str,
    prefix: str,
    filters: list[dict[str, Any]],
    underscores: UnderscoreHeaders,
    **fields: Any,
) -> dict[str, Any]:
    """An HTTP connection manager that takes its routes by `name` and counts under `prefix`."""
    return {
        "@type": TYPE + CONNECTION_MANAGER,
        "stat_prefix": prefix,
        "rds": {"route_config_name": name, "config_source": ADS},
        "http_filters": filters,
        "access_log": render_access_log(slice_, name, topology.access_log),
        "server_header_transformation": "PASS_THROUGH",
        "max_request_headers_kb": MAX_REQUEST_HEADERS_KILOBYTES,
        "request_headers_timeout": seconds(REQUEST_HEADERS_MILLISECONDS),
        "stream_idle_timeout": seconds(STREAM_IDLE_MILLISECONDS),
        "common_http_protocol_options": {
            "idle_timeout": seconds(CONNECTION_IDLE_MILLISECONDS),
            "headers_with_underscores_action": _UNDERSCORES[underscores],
        },
        "http_protocol_options": _HTTP_1,
        "strip_trailing_host_dot": True,
        "local_reply_config": render_replies(slice_),
        **fields,
    }


def _router(**fields: Any) -> dict[str, Any]:
    return extension("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router", **fields)


def _listener(name: str, address: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": LISTENER_TYPE,
        "name": name,
        "address": address,
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
    }


def _filter_chain(name: str, manager: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
    }


def _cidr_range(cidr: str) -> dict[str, Any]:
    address, _, length = cidr.partition("/")
    return {"address_prefix": address, "prefix_len": int(length)}
