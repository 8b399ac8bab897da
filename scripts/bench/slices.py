"""The slice that is measured and its Envoy configuration, with all of it on, a part of it, or nothing."""

import json
from pathlib import Path
from typing import Any

from resilientslice.api.slice import ResilientSlice
from resilientslice.render.envoy import render_envoy
from resilientslice.render.envoy.bootstrap import render_static_bootstrap
from resilientslice.render.names import Track
from resilientslice.render.revision import revision_of
from resilientslice.render.tracks import Address, CanaryTrack, FixedDiscovery, Topology
from testkit.envoy_bootstraps import answering
from testkit.ports import free_port

PLENTY = {"requestsPerSecond": 1_000_000, "burst": 1_000_000}
RESILIENCE = {
    "timeout": "800ms",
    "retries": {"attempts": 2, "perTryTimeout": "250ms", "budgetPercent": 25},
    "outlierDetection": {"consecutive5xxErrors": 5, "interval": "1s", "baseEjectionTime": "5s"},
    "bulkhead": {"maxConnections": 256, "maxPendingRequests": 64, "maxRequests": 128},
}


def parse(spec: dict[str, Any], name: str = "bench") -> ResilientSlice:
    document = {
        "apiVersion": "resilientslice.dev/v1alpha1",
        "kind": "ResilientSlice",
        "metadata": {"name": name},
        "spec": spec,
    }
    return ResilientSlice.model_validate_json(json.dumps(document))


def fronted(
    folder: Path, hosts: list[int], *, limits: dict[str, Any] | None, canary: int | None = None
) -> tuple[dict[str, Any], str]:
    """A bootstrap of the slice's Envoy before these ports, and the front's URL.

    `limits` is `spec.rateLimit`; with `canary`, half of the hosts are the canary's and it has that weight.
    """
    services = [{"name": "api", "image": "a:1", "port": 80, "expose": {"pathPrefix": "/"}}]
    spec: dict[str, Any] = {"services": services, "resilience": RESILIENCE}
    if limits is not None:
        spec["rateLimit"] = limits
    slice_ = parse(spec)
    addresses = tuple(Address("127.0.0.1", port) for port in hosts)
    half = len(addresses) // 2 if canary is not None else len(addresses)
    topology = Topology(
        front=Address("127.0.0.1", free_port()),
        stats=Address("127.0.0.1", free_port()),
        internal={"api": Address("127.0.0.1", free_port())},
        discovery=FixedDiscovery({("api", Track.STABLE): addresses[:half], ("api", Track.CANARY): addresses[half:]}),
        access_log=str(folder / f"access-{free_port()}.log"),
        admin_path=str(folder / f"admin-{free_port()}.sock"),
    )
    revision = revision_of(slice_)
    track = None if canary is None else CanaryTrack(revision, frozenset({"api"}), canary)
    config = render_envoy(slice_, revision, track, topology)
    return render_static_bootstrap(config, topology), f"http://127.0.0.1:{topology.front.port}/products"


def origin() -> tuple[dict[str, Any], str]:
    """An Envoy that answers by itself: faster than what is measured before it."""
    return answering('{"sku":"MUG-01","price_cents":1250}')
