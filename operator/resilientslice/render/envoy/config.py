"""What an Envoy runs, by type of resource. Its digest is the version that Envoy is asked to acknowledge.

Resources are written down more often than they change: so what was written of one is kept with it.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

Resource = dict[str, Any]
Writing = Callable[[Resource], str]
"""A way to write a resource down: the same resource, the same text."""
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class Resources(tuple[Resource, ...]):
    """Resources of one type, which may not be changed, and what was written of each."""

    _written: tuple[dict[Writing, str], ...]

    def __new__(cls, resources: Iterable[Resource] = (), before: "Resources | None" = None) -> Self:
        """What was written of a resource in `before` is known of the very same one in here."""
        made = super().__new__(cls, resources)
        known = {id(one): written for one, written in zip(before, before._written, strict=True)} if before else {}
        made._written = tuple(known.get(id(one), {}) for one in made)
        return made

    def written(self, write: Writing) -> list[str]:
        """Each of them in that way."""
        for resource, known in zip(self, self._written, strict=True):
            if write not in known:
                known[write] = write(resource)
        return [known[write] for known in self._written]


@dataclass(frozen=True)
class EnvoyConfig:
    """Resources in protocol buffers' JSON, in the order in which Envoy must learn of them to drop no request.

    Clusters, listeners and routes are named by `name`, endpoints by `cluster_name`. Each tuple is sorted by that.
    """

    clusters: Resources
    endpoints: Resources
    listeners: Resources
    routes: Resources

    @cached_property
    def text(self) -> str:
        """The canonical JSON."""
        types = sorted(self.types.items())
        return "{" + ",".join(f'"{name}":[{",".join(of.written(canonical_json))}]' for name, of in types) + "}"

    @cached_property
    def digest(self) -> str:
        """64 hexadecimal digits of the canonical JSON: equal if and only if the resources are."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def types(self) -> dict[str, Resources]:
        """By their key in the JSON."""
        return {
            "clusters": self.clusters,
            "endpoints": self.endpoints,
            "listeners": self.listeners,
            "routes": self.routes,
        }

    def to_json(self) -> dict[str, Any]:
        return {name: list(resources) for name, resources in self.types.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "EnvoyConfig":
        """The inverse of `to_json`. Raises KeyError when a type of resource is missing."""
        return cls(
            clusters=Resources(data["clusters"]),
            endpoints=Resources(data["endpoints"]),
            listeners=Resources(data["listeners"]),
            routes=Resources(data["routes"]),
        )


def canonical_json(value: Any) -> str:
    return _encode(value)
