"""What an Envoy does with requests, read from the resources that it runs: which cluster takes how much of what comes.

Reads what Envoy would, and knows nothing of how the operator makes it: a weight is the largest share of any draw, and a
service has a canary lane where any route of any listener leads to a cluster with canary endpoints.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.clusters.aggregate.v3 import cluster_pb2 as aggregate_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from resilientslice.agent.resources import Resource

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a cluster's requests go: a Service's DNS name, a port and a protocol (`http` or `grpc`)."""

    host: str
    port: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Routing:
    """`weight`: percent that is drawn for the canary at most. `lanes`: clusters that routes lead to, with the clusters
    that they stand for, in order; `targets`: where each cluster's requests go."""

    weight: int = 0
    lanes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    targets: Mapping[str, tuple[Target, ...]] = field(default_factory=dict)

    def said(self) -> str:
        """In a line, for people: `30 % web-stable → s-web-stable:8080`."""
        lanes = []
        for lane, members in sorted(self.lanes.items()):
            places = [f"{t.host.partition('.')[0]}:{t.port}" for one in members for t in self.targets.get(one, ())]
            lanes.append(f"{lane} → {', '.join(places)}")
        return f"{self.weight} % {'; '.join(lanes)}"

    def members(self) -> frozenset[str]:
        return frozenset(member for members in self.lanes.values() for member in members)

    def canaries(self) -> frozenset[str]:
        """Clusters of canary tracks that some request may reach."""
        return frozenset(name for name in self.members() if _is_canary(self.targets.get(name, ())))

    def stables(self) -> frozenset[str]:
        return self.members() - self.canaries()


def routing_of(clusters: Mapping[str, Resource], routes: Mapping[str, Resource]) -> Routing:
    return _routing(
        tuple(sorted((name, item.encoded) for name, item in clusters.items())),
        tuple(sorted((name, item.encoded) for name, item in routes.items())),
    )


@lru_cache(maxsize=256)
def _routing(clusters: tuple[tuple[str, bytes], ...], routes: tuple[tuple[str, bytes], ...]) -> Routing:
    known = {name: cluster_pb2.Cluster.FromString(encoded) for name, encoded in clusters}
    configurations = [route_pb2.RouteConfiguration.FromString(encoded) for _, encoded in routes]
    lanes = {name: _members(known, name) for name in set(_led_to(configurations))}
    targets = {name: _targets(cluster) for name, cluster in known.items()}
    return Routing(max(_draws(configurations), default=0), lanes, targets)


def _is_canary(targets: Iterable[Target]) -> bool:
    return any(target.host.partition(".")[0].endswith("-canary") for target in targets)


def _members(clusters: Mapping[str, cluster_pb2.Cluster], name: str) -> tuple[str, ...]:
    cluster = clusters.get(name)
    if cluster is None or cluster.cluster_type.name != "envoy.clusters.aggregate":
        return (name,)
    found = aggregate_pb2.ClusterConfig()
    cluster.cluster_type.typed_config.Unpack(found)
    return tuple(member for inner in found.clusters for member in _members(clusters, inner))


def _targets(cluster: cluster_pb2.Cluster) -> tuple[Target, ...]:
    protocol = _protocol(cluster)
    addresses = [
        endpoint.endpoint.address.socket_address
        for locality in cluster.load_assignment.endpoints
        for endpoint in locality.lb_endpoints
        if endpoint.endpoint.address.HasField("socket_address")
    ]
    return tuple(Target(address.address, address.port_value, protocol) for address in addresses)


def _protocol(cluster: cluster_pb2.Cluster) -> str:
    for name, value in cluster.typed_extension_protocol_options.items():
        if name == _HTTP_OPTIONS:
            options = http_protocol_options_pb2.HttpProtocolOptions()
            value.Unpack(options)
            if options.explicit_http_config.HasField("http2_protocol_options"):
                return "grpc"
    return "http"


def _routes(configurations: Iterable[route_pb2.RouteConfiguration]) -> Iterator[route_components_pb2.Route]:
    for configuration in configurations:
        for host in configuration.virtual_hosts:
            yield from host.routes


def _led_to(configurations: Iterable[route_pb2.RouteConfiguration]) -> Iterator[str]:
    for route in _routes(configurations):
        if route.HasField("route"):
            if route.route.cluster:
                yield route.route.cluster
            yield from (weighted.name for weighted in route.route.weighted_clusters.clusters if weighted.weight.value)


def _draws(configurations: Iterable[route_pb2.RouteConfiguration]) -> Iterator[int]:
    """Percent. A draw that sets no track and leads to no canary is none of ours."""
    for route in _routes(configurations):
        if route.match.HasField("runtime_fraction"):
            share = route.match.runtime_fraction.default_value
            yield share.numerator * 100 // {0: 100, 1: 10_000, 2: 1_000_000}[share.denominator]


def service_of(name: str, host: str) -> str:
    """`s0-api-canary.chaos.svc…` → `api`."""
    return host.partition(".")[0].removeprefix(f"{name}-").rpartition("-")[0]
