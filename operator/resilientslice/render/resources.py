"""CPU and memory of a container: what the user gave, and defaults for what is absent."""

from collections.abc import Mapping
from math import ceil

from resilientslice.api.pods import Resources
from resilientslice.api.scalars import quantity_value
from resilientslice.render.metadata import Object

SERVICE_DEFAULTS = Resources(requests={"cpu": "50m", "memory": "64Mi"}, limits={"memory": "256Mi"})
PROXY_DEFAULTS = Resources(requests={"cpu": "100m", "memory": "128Mi"}, limits={"cpu": "1", "memory": "256Mi"})
AGENT_DEFAULTS = Resources(requests={"cpu": "20m", "memory": "64Mi"}, limits={"memory": "160Mi"})
POSTGRES_DEFAULTS = Resources(requests={"cpu": "100m", "memory": "256Mi"}, limits={"memory": "512Mi"})
REDIS_DEFAULTS = Resources(requests={"cpu": "50m", "memory": "64Mi"}, limits={"memory": "256Mi"})


def render_resources(given: Resources, defaults: Resources) -> Object:
    limits = {**defaults.limits, **given.limits}
    requests = {**defaults.requests, **given.requests}
    for name, default in defaults.limits.items():
        if name not in given.limits:
            limits[name] = _larger(default, requests.get(name))
    for name, default in defaults.requests.items():
        if name not in given.requests:
            requests[name] = _smaller(default, limits.get(name))
    return {"requests": dict(sorted(requests.items())), "limits": dict(sorted(limits.items()))}


def worker_threads(resources: Mapping[str, Mapping[str, str]]) -> int:
    """One a CPU of the limit: more would only take turns and lengthen the tail."""
    return max(1, ceil(quantity_value(resources["limits"]["cpu"])))


def memory_limit(resources: Mapping[str, Mapping[str, str]]) -> int:
    """In bytes."""
    return int(quantity_value(resources["limits"]["memory"]))


def _larger(default: str, other: str | None) -> str:
    """A default limit below a given request would be refused by the API."""
    return other if other is not None and quantity_value(other) > quantity_value(default) else default


def _smaller(default: str, other: str | None) -> str:
    """A default request above a given limit would be refused by the API."""
    return other if other is not None and quantity_value(other) < quantity_value(default) else default
