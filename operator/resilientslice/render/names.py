"""Every name, label and port number that a slice gives out, in one place, so that none can collide by accident.

Lengths add up: a slice has at most 30 characters, a service 24, `canary` 6, so `SLICE-SERVICE-canary` stays within
the 63 of a Service. Names that would collide with the slice's own are refused: api/reserved.py.
"""

import hashlib
from collections.abc import Iterable, Mapping
from enum import StrEnum

DOMAIN = "resilientslice.dev"
OPERATOR_NAMESPACE = "resilientslice-system"
"""Where the chart and the documentation put the operator."""
LABEL_SLICE = f"{DOMAIN}/slice"
LABEL_SERVICE = f"{DOMAIN}/service"
LABEL_TRACK = f"{DOMAIN}/track"
LABEL_COMPONENT = "app.kubernetes.io/component"

FRONT_PORT = 8080
STATS_PORT = 9902
ADMIN_PORT = 9901
AGENT_PORT = 9903
INTERNAL_PORTS = range(10_000, 20_000)
"""Below the kernel's ephemeral ports (from 32768), above what images usually listen on."""


class Track(StrEnum):
    STABLE = "stable"
    CANARY = "canary"


def service_name(slice_name: str, service: str) -> str:
    return f"{slice_name}-{service}"


def track_name(slice_name: str, service: str, track: Track) -> str:
    return f"{slice_name}-{service}-{track}"


def front_name(slice_name: str) -> str:
    return f"{slice_name}-front"


def proxy_name(slice_name: str) -> str:
    return f"{slice_name}-proxy"


def limits_name(slice_name: str) -> str:
    return f"{slice_name}-limits"


def agent_key_name(slice_name: str) -> str:
    """The Secret with which the operator and the slice's agents sign."""
    return f"{slice_name}-agent-key"


def state_name(slice_name: str) -> str:
    """The ConfigMap with what is remembered of the slice."""
    return f"{slice_name}-state"


def store_name(slice_name: str, store: str) -> str:
    return f"{slice_name}-{store}"


def url_variable(service: str) -> str:
    """`payments` → `PAYMENTS_URL`, `order-book` → `ORDER_BOOK_URL`."""
    return f"{service.upper().replace('-', '_')}_URL"


def allocate_ports(services: Iterable[str], previous: Mapping[str, int]) -> dict[str, int]:
    """An internal listener port for each service.

    A service that had a port keeps it; a new one gets a port drawn from its name, moved on while taken. So ports stay
    when others come and go, and a slice rendered from nothing gets the same ports each time.
    """
    names = sorted(set(services))
    ports = {name: previous[name] for name in names if name in previous}
    taken = set(previous.values())
    for name in names:
        if name not in ports:
            ports[name] = _free_port(name, taken)
            taken.add(ports[name])
    return dict(sorted(ports.items()))


def _free_port(name: str, taken: set[int]) -> int:
    offset = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    size = len(INTERNAL_PORTS)
    return next(port for i in range(size) if (port := INTERNAL_PORTS[(offset + i) % size]) not in taken)
