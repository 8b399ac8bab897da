"""What Envoy can be given: resources of four types, and a configuration made of them. Pure, no protobuf.

A resource carries its encoded bytes and what must be known of it to install it in a safe order; so the decisions in
`ads_state` need no protobuf either, and tests can invent resources.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_TYPE_PREFIX = "type.googleapis.com/envoy.config."


class ResourceType(StrEnum):
    """The member's value is its key in a configuration's JSON; the order is the one in which types are installed."""

    CLUSTERS = "clusters"
    ENDPOINTS = "endpoints"
    LISTENERS = "listeners"
    ROUTES = "routes"

    @property
    def url(self) -> str:
        return TYPE_URLS[self]

    @property
    def wildcard(self) -> bool:
        """Envoy takes all resources of the type, and drops what a response leaves out; else it asks by name."""
        return self in (ResourceType.CLUSTERS, ResourceType.LISTENERS)


TYPE_URLS: Mapping[ResourceType, str] = {
    ResourceType.CLUSTERS: f"{_TYPE_PREFIX}cluster.v3.Cluster",
    ResourceType.ENDPOINTS: f"{_TYPE_PREFIX}endpoint.v3.ClusterLoadAssignment",
    ResourceType.LISTENERS: f"{_TYPE_PREFIX}listener.v3.Listener",
    ResourceType.ROUTES: f"{_TYPE_PREFIX}route.v3.RouteConfiguration",
}
TYPES_BY_URL: Mapping[str, ResourceType] = {url: kind for kind, url in TYPE_URLS.items()}


class Epoch(NamedTuple):
    """Orders configurations: the operator's term (Lease transitions), then a sequence within it."""

    term: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource. `digest` is of its JSON, `encoded` its protobuf bytes without the type.

    `asks` are the names that Envoy will ask for because of it (endpoints of a cluster, routes of a listener),
    `clusters` those it sends requests to (a route's), `addresses` those it binds (a listener's).
    """

    name: str
    digest: str
    encoded: bytes = field(repr=False)
    asks: frozenset[str] = frozenset()
    clusters: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()


Resources = Mapping[str, Resource]
"""Resources of one type by name."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything for one Envoy. Two with the same digest are the same configuration, whatever their epochs.

    `text` is its canonical JSON, which the digest is of.
    """

    digest: str
    epoch: Epoch
    clusters: Resources = field(default_factory=dict)
    endpoints: Resources = field(default_factory=dict)
    listeners: Resources = field(default_factory=dict)
    routes: Resources = field(default_factory=dict)
    text: str = field(default="{}", repr=False, compare=False)

    def of(self, kind: ResourceType) -> Resources:
        match kind:
            case ResourceType.CLUSTERS:
                return self.clusters
            case ResourceType.ENDPOINTS:
                return self.endpoints
            case ResourceType.LISTENERS:
                return self.listeners
            case ResourceType.ROUTES:
                return self.routes

    @property
    def versions(self) -> dict[str, str]:
        return {kind.value: version_of(self.of(kind)) for kind in ResourceType}


EMPTY = Config(digest="", epoch=Epoch(0, 0))
"""What an Envoy is taken back to when its first configuration was refused."""


def version_of(resources: Resources) -> str:
    """The version of a type: the digest of its resources, so what didn't change keeps its version."""
    return json_digest({name: resource.digest for name, resource in resources.items()})[:16]


def json_digest(value: Any) -> str:
    """64 hexadecimal digits of the canonical JSON, the same as `EnvoyConfig.digest`."""
    return text_digest(canonical_json(value))


def canonical_json(value: Any) -> str:
    return _encode(value)


def text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
