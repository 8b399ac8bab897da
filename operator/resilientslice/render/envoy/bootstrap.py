"""What an Envoy starts with: where its configuration comes from, its admin interface, and what it counts.

`render_bootstrap` is for life: resources come by ADS from the agent. `render_static_bootstrap` holds all resources
itself, so that `envoy --mode validate`, which never looks at dynamic ones, checks them.
"""

from collections.abc import Mapping
from typing import Any

from resilientslice.render.envoy.clusters import HTTP_OPTIONS
from resilientslice.render.envoy.config import EnvoyConfig
from resilientslice.render.envoy.listeners import CONNECTION_MANAGER
from resilientslice.render.envoy.scalars import ADS, TYPE, extension, load_assignment, pipe_address, socket_address
from resilientslice.render.names import ADMIN_PORT
from resilientslice.render.tracks import Address, Topology

ADS_CLUSTER = "ads"
ADMIN_CLUSTER = "admin"
STATS_LISTENER = "stats"
MAX_DOWNSTREAM_CONNECTIONS = 20_000
HEAP_MONITOR = "envoy.resource_monitors.fixed_heap"
HEAP_SHARE = 0.9
"""Of the memory limit: what is no heap needs the rest."""
OVERLOAD_ACTIONS = (
    ("shrink_heap", 0.85),
    ("disable_http_keepalive", 0.9),
    ("stop_accepting_requests", 0.95),
)
"""What is done from which share of the heap on."""
DNS_TIMEOUT_SECONDS = 1
DNS_TRIES = 3
# fmt: off
LATENCY_BUCKETS_MILLISECONDS = (
    1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 250, 300, 400, 500, 600, 750, 900, 1000,
    1500, 2000, 3000, 5000, 7500, 10_000, 30_000, 60_000, 300_000,
)
# fmt: on
"""Envoy's own jump from 250 to 500, too coarse for a percentile near a usual objective."""


def render_bootstrap(topology: Topology) -> dict[str, Any]:
    """A bootstrap whose clusters, endpoints, listeners and routes all come from the agent's socket."""
    return _bootstrap(topology) | {
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": ADS_CLUSTER}}],
                "set_node_on_first_message_only": True,
            },
            "cds_config": ADS,
            "lds_config": ADS,
        },
        "static_resources": {
            "clusters": [_ads_cluster(topology), _admin_cluster(topology)],
            "listeners": [_stats_listener(topology)],
        },
    }


def render_static_bootstrap(config: EnvoyConfig, topology: Topology) -> dict[str, Any]:
    """One bootstrap with everything in it: route configurations in their listeners, hosts in their clusters."""
    hosts = {assignment["cluster_name"]: _untyped(assignment) for assignment in config.endpoints}
    routes = {route["name"]: _untyped(route) for route in config.routes}
    return _bootstrap(topology) | {
        "static_resources": {
            "clusters": [_static_cluster(_untyped(c), hosts) for c in config.clusters] + [_admin_cluster(topology)],
            "listeners": [_static_listener(_untyped(listener), routes) for listener in config.listeners]
            + [_stats_listener(topology)],
        }
    }


def _bootstrap(topology: Topology) -> dict[str, Any]:
    return {
        "node": dict(sorted(topology.node.items())) or {"id": "envoy", "cluster": "resilientslice"},
        "admin": {"address": _admin_address(topology)},
        "stats_config": {"histogram_bucket_settings": [_latency_buckets()]},
        "overload_manager": _overload_manager(topology.memory),
        # Names are complete as they are; a search list would ask for each of them in every domain of it first.
        # Envoy takes no request before each name was answered once, or given up: with the library's own times, and no
        # DNS server that answers, that takes minutes; with these some 13 s. Less would let one take requests that only
        # started before its pod's network was ready.
        "typed_dns_resolver_config": extension(
            "envoy.network.dns_resolver.cares",
            "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            dns_resolver_options={"no_default_search_domain": True},
            query_timeout_seconds=DNS_TIMEOUT_SECONDS,
            query_tries=DNS_TRIES,
        ),
    }


def _overload_manager(memory: int | None) -> dict[str, Any]:
    """Envoy sheds load before its memory runs out: killed, it would end every request, and the next Envoy gets them."""
    connections = extension(
        "envoy.resource_monitors.global_downstream_max_connections",
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=MAX_DOWNSTREAM_CONNECTIONS,
    )
    if memory is None:
        return {"resource_monitors": [connections]}
    heap = extension(
        HEAP_MONITOR,
        "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
        max_heap_size_bytes=int(memory * HEAP_SHARE),
    )
    return {
        "refresh_interval": "0.250s",
        "resource_monitors": [connections, heap],
        "actions": [
            {
                "name": f"envoy.overload_actions.{action}",
                "triggers": [{"name": HEAP_MONITOR, "threshold": {"value": share}}],
            }
            for action, share in OVERLOAD_ACTIONS
        ],
    }


def _latency_buckets() -> dict[str, Any]:
    return {"match": {"suffix": "_time"}, "buckets": list(LATENCY_BUCKETS_MILLISECONDS)}


def _admin_address(topology: Topology) -> dict[str, Any]:
    if topology.admin_path is not None:
        return pipe_address(topology.admin_path)
    return socket_address(Address(host="127.0.0.1", port=ADMIN_PORT))


def _ads_cluster(topology: Topology) -> dict[str, Any]:
    http2: dict[str, Any] = {"explicit_http_config": {"http2_protocol_options": {}}}
    options = {HTTP_OPTIONS: {"@type": TYPE + HTTP_OPTIONS, **http2}}
    pipe = {"pipe": {"path": topology.ads_path}}
    return _fixed_cluster(ADS_CLUSTER, pipe) | {"typed_extension_protocol_options": options}


def _admin_cluster(topology: Topology) -> dict[str, Any]:
    return _fixed_cluster(ADMIN_CLUSTER, _admin_address(topology))


def _fixed_cluster(name: str, address: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": load_assignment(name, [address]),
    }


def _stats_listener(topology: Topology) -> dict[str, Any]:
    """Numbers for Prometheus and nothing else: the admin interface itself can end Envoy."""
    scrape = {
        "match": {
            "path": "/stats/prometheus",
            "headers": [{"name": ":method", "string_match": {"exact": "GET"}}],
        },
        "route": {"cluster": ADMIN_CLUSTER, "timeout": "10s"},
    }
    manager = {
        "@type": TYPE + CONNECTION_MANAGER,
        "stat_prefix": STATS_LISTENER,
        "route_config": {"virtual_hosts": [{"name": STATS_LISTENER, "domains": ["*"], "routes": [scrape]}]},
        "http_filters": [extension("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router")],
        "request_headers_timeout": "10s",
        "common_http_protocol_options": {"idle_timeout": "300s"},
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": STATS_LISTENER, "address": socket_address(topology.stats), "filter_chains": [chain]}


def _untyped(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != "@type"}


def _static_cluster(cluster: dict[str, Any], hosts: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    if cluster.get("type") != "EDS":
        return cluster
    static = {key: value for key, value in cluster.items() if key != "eds_cluster_config"}
    return static | {"type": "STATIC", "load_assignment": hosts[cluster["name"]]}


def _static_listener(listener: dict[str, Any], routes: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    chains = {"filter_chains": [_static_chain(chain, routes) for chain in listener["filter_chains"]]}
    if "default_filter_chain" in listener:
        return listener | chains | {"default_filter_chain": _static_chain(listener["default_filter_chain"], routes)}
    return listener | chains


def _static_chain(chain: dict[str, Any], routes: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    network_filter = chain["filters"][0]
    manager = network_filter["typed_config"]
    inlined = {key: value for key, value in manager.items() if key != "rds"}
    inlined["route_config"] = routes[manager["rds"]["route_config_name"]]
    return chain | {"filters": [network_filter | {"typed_config": inlined}]}
