"""Where requests go: for each service its stable hosts, its canary's, and the canary with stable behind it.

All three exist always, so that a weight step, a canary's start and its end change routes only.
"""

from typing import Any

from resilientslice.api.policies import Connections, OutlierDetection, OutlierErrors
from resilientslice.api.scalars import duration_milliseconds
from resilientslice.api.services import Protocol
from resilientslice.api.slice import ResilientSlice
from resilientslice.render.envoy.limits import render_circuit_breakers, render_failover_breakers
from resilientslice.render.envoy.routed import RoutedService
from resilientslice.render.envoy.scalars import (
    ADS,
    TYPE,
    extension,
    load_assignment,
    seconds,
    socket_address,
)
from resilientslice.render.names import Track, track_name
from resilientslice.render.tracks import Address, DnsDiscovery, FixedDiscovery, Topology
from resilientslice.render.transit import Target

CLUSTER_TYPE = TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINTS_TYPE = TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

CONNECT_TIMEOUT_MILLISECONDS = 200
"""Of an aggregate, which connects to nobody itself."""
BUFFER_BYTES = 32_768
"""Of what is buffered for a connection; reading waits beyond it. With Envoy's default of 1 MiB 300 slow readers of
3.5 MB cost it 260 MiB, with this 5 MiB."""
DNS_REFRESH_MILLISECONDS = 1000


def render_clusters(slice_: ResilientSlice, service: RoutedService, topology: Topology) -> list[dict[str, Any]]:
    """The clusters of a service, by name."""
    return [
        _track_cluster(slice_, service, Track.CANARY, topology),
        _failover_cluster(service),
        _track_cluster(slice_, service, Track.STABLE, topology),
    ]


def render_endpoints(service: RoutedService, topology: Topology) -> list[dict[str, Any]]:
    """The hosts of a service's tracks where they are listed; nothing where Envoy resolves them by itself."""
    if isinstance(topology.discovery, DnsDiscovery):
        return []
    hosts = topology.discovery.hosts
    return [
        {
            "@type": ENDPOINTS_TYPE,
            **load_assignment(
                service.cluster(track),
                [socket_address(host) for host in hosts.get((service.name, track), ())],
                track=track.value,
            ),
        }
        for track in (Track.CANARY, Track.STABLE)
    ]


def _track_cluster(slice_: ResilientSlice, service: RoutedService, track: Track, topology: Topology) -> dict[str, Any]:
    name = service.cluster(track)
    target = service.targets[track]
    return {
        "@type": CLUSTER_TYPE,
        "name": name,
        **_discovery(slice_, service.name, track, target, topology.discovery),
        "connect_timeout": seconds(duration_milliseconds(service.policy.connections.connect_timeout)),
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "lb_policy": "LEAST_REQUEST",
        "common_lb_config": _lb_config(track),
        "circuit_breakers": render_circuit_breakers(service.policy, topology.proxies),
        "outlier_detection": _outlier_detection(service.policy.outlier_detection, track),
        "typed_extension_protocol_options": {HTTP_OPTIONS: _http_options(target.protocol, service.policy.connections)},
    }


def _failover_cluster(service: RoutedService) -> dict[str, Any]:
    order = [service.cluster(Track.CANARY), service.cluster(Track.STABLE)]
    return {
        "@type": CLUSTER_TYPE,
        "name": service.failover_cluster,
        "cluster_type": extension(
            "envoy.clusters.aggregate", "envoy.extensions.clusters.aggregate.v3.ClusterConfig", clusters=order
        ),
        "connect_timeout": seconds(CONNECT_TIMEOUT_MILLISECONDS),
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": render_failover_breakers(),
    }


def _discovery(
    slice_: ResilientSlice, service: str, track: Track, target: Target, discovery: DnsDiscovery | FixedDiscovery
) -> dict[str, Any]:
    if isinstance(discovery, FixedDiscovery):
        return {"type": "EDS", "eds_cluster_config": {"eds_config": ADS}}
    headless = track_name(slice_.name, service, track)
    host = f"{headless}.{discovery.namespace}.svc.{discovery.cluster_domain}"
    address = socket_address(Address(host=host, port=target.port))
    refresh = seconds(DNS_REFRESH_MILLISECONDS)
    strict_dns = extension(
        "envoy.cluster.dns",
        "envoy.extensions.clusters.dns.v3.DnsCluster",
        dns_refresh_rate=refresh,
        dns_failure_refresh_rate={"base_interval": refresh, "max_interval": refresh},
        dns_lookup_family="V4_PREFERRED",
    )
    hosts = load_assignment(f"{service}-{track}", [address], track=track.value)
    return {"cluster_type": strict_dns, "load_assignment": hosts}


def _lb_config(track: Track) -> dict[str, Any]:
    """Who is ejected gets no requests while another host is left. With all of stable ejected, all are used: better
    a bad answer than none. A canary has stable behind it.

    Without a merge window changes of health act at once. With Envoy's default of 1 s, the ejection of a host that has
    just returned and still fails waits for its end (measured: 300 failures in place of 5).
    """
    return {
        "healthy_panic_threshold": {"value": 0 if track is Track.CANARY else 1},
        "update_merge_window": "0s",
    }


def _outlier_detection(wanted: OutlierDetection, track: Track) -> dict[str, Any]:
    """Ejection by failures in a row.

    External and local failures are counted together: apart, each new connection to a host that accepts and then hangs
    would reset the count of its time-outs, and it would never be ejected.
    """
    return {
        "consecutive_5xx": wanted.consecutive_5xx_errors,
        "enforcing_consecutive_5xx": 100 if wanted.on is OutlierErrors.SERVER_ERRORS else 0,
        "consecutive_gateway_failure": wanted.consecutive_5xx_errors,
        "enforcing_consecutive_gateway_failure": 100,
        "enforcing_success_rate": 0,
        "enforcing_failure_percentage": 0,
        "interval": seconds(duration_milliseconds(wanted.interval)),
        "base_ejection_time": seconds(duration_milliseconds(wanted.base_ejection_time)),
        "max_ejection_time": seconds(max(300_000, duration_milliseconds(wanted.base_ejection_time))),
        "max_ejection_percent": wanted.max_ejection_percent,
        "always_eject_one_host": track is Track.CANARY,
    }


def _http_options(protocol: Protocol, connections: Connections) -> dict[str, Any]:
    version = "http2_protocol_options" if protocol is Protocol.GRPC else "http_protocol_options"
    return {
        "@type": TYPE + HTTP_OPTIONS,
        "common_http_protocol_options": {"idle_timeout": seconds(duration_milliseconds(connections.idle_timeout))},
        "explicit_http_config": {version: {}},
    }
