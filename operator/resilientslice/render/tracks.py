"""Input of rendering: the canary, and the place where the proxies run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from resilientslice.render.names import Track
from resilientslice.render.revision import Revision


@dataclass(frozen=True, slots=True)
class CanaryTrack:
    """A canary as decided: its revision, the services that have a canary Deployment, and the share it draws.

    `services` is fixed when the canary starts, because during promotion stable and canary are the same revision.
    `live` says that its hosts are ready: only then are there header routes and weighted routes to it.
    """

    revision: Revision
    services: frozenset[str]
    weight: int = 0
    live: bool = True
    by_header: bool = True
    """Its header reaches it. Not where nobody asked for a canary, and one is only the way to move a port."""
    stable_sizes: Mapping[str, int] = field(default_factory=dict)
    """Most stable replicas of those services since the canary started: an autoscaler's minimum on both tracks until the
    canary ends. What one takes over makes the other idle, and all traffic may come to either at once."""


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class DnsDiscovery:
    """Hosts are the addresses of the headless Services, as in a cluster."""

    namespace: str
    cluster_domain: str = "cluster.local"


@dataclass(frozen=True, slots=True)
class FixedDiscovery:
    """Hosts are listed here, as on one machine. A pair that is missing has no hosts."""

    hosts: Mapping[tuple[str, Track], tuple[Address, ...]]


@dataclass(frozen=True, slots=True)
class Topology:
    """Where the proxies listen and how they find hosts. Everything else about them is the slice's.

    `internal` gives each service with a port its listener; `proxies` divides limits; `hosts` are the host names that
    the front answers (`*` for all); paths are of the machine or container that Envoy runs in.
    """

    front: Address
    stats: Address
    internal: Mapping[str, Address]
    discovery: DnsDiscovery | FixedDiscovery
    proxies: int = 1
    hosts: tuple[str, ...] = ("*",)
    access_log: str = "/dev/stdout"
    admin_path: str | None = None
    """Unix socket of the admin interface; None for 127.0.0.1:ADMIN_PORT."""
    ads_path: str = "/run/resilientslice/ads.sock"
    """Unix socket on which the agent serves ADS."""
    memory: int | None = None
    """Bytes that Envoy may take before it is killed; None where nobody counts."""
    node: Mapping[str, str] = field(default_factory=dict)
    """`id` and `cluster` of the Envoy node."""
