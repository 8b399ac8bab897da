"""What an Envoy runs, by type of resource. Its digest is the version that Envoy is asked to acknowledge."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Resource = dict[str, Any]
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True)
class EnvoyConfig:
    """Resources in protocol buffers' JSON, in the order in which Envoy must learn of them to drop no request.

    Clusters, listeners and routes are named by `name`, endpoints by `cluster_name`. Each tuple is sorted by that.
    """

    clusters: tuple[Resource, ...]
    endpoints: tuple[Resource, ...]
    listeners: tuple[Resource, ...]
    routes: tuple[Resource, ...]

    @cached_property
    def text(self) -> str:
        """The canonical JSON."""
        return canonical_json(self.to_json())

    @cached_property
    def digest(self) -> str:
        """64 hexadecimal digits of the canonical JSON: equal if and only if the resources are."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return {
            "clusters": list(self.clusters),
            "endpoints": list(self.endpoints),
            "listeners": list(self.listeners),
            "routes": list(self.routes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "EnvoyConfig":
        """The inverse of `to_json`. Raises KeyError when a type of resource is missing."""
        return cls(
            clusters=tuple(data["clusters"]),
            endpoints=tuple(data["endpoints"]),
            listeners=tuple(data["listeners"]),
            routes=tuple(data["routes"]),
        )


def canonical_json(value: Any) -> str:
    return _encode(value)
