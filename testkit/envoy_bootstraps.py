"""Bootstraps of Envoys that know no slice: one that only forwards, and one that answers by itself."""

from typing import Any

from testkit.ports import free_port

FILTERS = "type.googleapis.com/envoy.extensions.filters"


def plain(hosts: list[int]) -> tuple[dict[str, Any], str]:
    """One listener, one route, one cluster of these ports, and nothing else; and its URL."""
    port = free_port()
    manager = {
        "@type": f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "api"}}]}
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{FILTERS}.http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "name": "front",
        "address": _address(port),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    endpoints = [{"endpoint": {"address": _address(host)}} for host in hosts]
    cluster = {
        "name": "api",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "api", "endpoints": [{"lb_endpoints": endpoints}]},
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}, f"http://127.0.0.1:{port}/products"


def answering(body: str) -> tuple[dict[str, Any], str]:
    """The same, with this answer to every request instead of a cluster."""
    bootstrap, url = plain([])
    manager = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    route = manager["route_config"]["virtual_hosts"][0]["routes"][0]
    del route["route"]
    route["direct_response"] = {"status": 200, "body": {"inline_string": body}}
    return bootstrap, url


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
