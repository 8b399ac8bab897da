"""Where things are on this machine: the ports of listeners and stores, and the hosts that Envoy gets.

Ports are kept in the state folder, so that URLs stay the same over edits and restarts; one that someone else took in
the meantime is replaced at the next start.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from resilientslice.api.slice import ResilientSlice
from resilientslice.local.processes.environment import Hosts
from resilientslice.local.processes.folder import StateFolder
from resilientslice.local.processes.ports import LOOPBACK, Ports, take_front_port
from resilientslice.render.names import (
    FRONT_PORT,
    LABEL_COMPONENT,
    LABEL_SERVICE,
    Track,
    allocate_ports,
    front_name,
    proxy_name,
)
from resilientslice.render.presence import present_services
from resilientslice.render.revision import Revision
from resilientslice.render.tracks import Address, CanaryTrack, FixedDiscovery, Topology

FILE = "ports.json"
HostList = Mapping[tuple[str, Track], tuple[Address, ...]]


class PortBook:
    """Every port of this slice that is to stay. Raises OSError when it can't be written down."""

    def __init__(self, folder: StateFolder, ports: Ports, *, front: int) -> None:
        """`front` is the wanted port, 0 for any. LocalError when it is in use."""
        self._folder = folder
        self._ports = ports
        self._known = folder.read_as(FILE, _ports) or {}
        self._taken: dict[str, int] = {}
        self.front = Address(LOOPBACK, take_front_port(ports, front, self._known.get("front")))
        self._taken["front"] = self.front.port
        self.stats = Address(LOOPBACK, self.of("stats"))

    def of(self, purpose: str, wanted: int | None = None) -> int:
        """The port for a purpose: the one it had, else `wanted`, else any; if that is free."""
        if purpose not in self._taken:
            self._taken[purpose] = self._ports.take(self._known.get(purpose, wanted))
            self._folder.write_json(FILE, self._known | self._taken)
        return self._taken[purpose]

    def internal(self, services: Iterable[str]) -> dict[str, Address]:
        """The listener of each service in Envoy; the numbers of the cluster where they are free."""
        preferred = allocate_ports(services, {})
        return {name: Address(LOOPBACK, self.of(f"service/{name}", port)) for name, port in preferred.items()}

    def store(self, store: str) -> int:
        return self.of(f"store/{store}")


def _ports(data: Any) -> dict[str, int]:
    return {str(purpose): range(1, 65_536)[int(port) - 1] for purpose, port in data.items()}


def placed(
    book: PortBook, internal: Mapping[str, Address], hosts: HostList, *, sockets: Path, access_log: Path
) -> Callable[[ResilientSlice, Revision, CanaryTrack | None], Topology]:
    """Topology of this machine for `plan`: one Envoy, its limits not divided, and hosts listed as they are now."""

    def place(slice_: ResilientSlice, stable: Revision, canary: CanaryTrack | None) -> Topology:
        present = present_services(slice_, stable, canary)
        return Topology(
            front=book.front,
            stats=book.stats,
            internal={s.name: internal[s.name] for s in present if s.internal_port is not None},
            discovery=FixedDiscovery(hosts),
            proxies=1,
            hosts=slice_.spec.front.hosts or ("*",),
            access_log=str(access_log),
            admin_path=str(sockets / "admin.sock"),
            ads_path=str(sockets / "ads.sock"),
            node={"id": proxy_name(slice_.name), "cluster": slice_.name},
        )

    return place


def dns(
    slice_: ResilientSlice,
    objects: Iterable[Mapping[str, Any]],
    book: PortBook,
    internal: Mapping[str, Address],
    stores: Mapping[str, int],
) -> Hosts:
    """What each Service's name and port stand for here. A headless one stands for nothing: nobody calls its name.

    `stores` is by Service name. The front answers at its Service's port and at the one of its listener.
    """
    hosts: dict[tuple[str, int], Address] = {}
    for one in objects:
        if one["kind"] != "Service" or one["spec"].get("clusterIP") == "None":
            continue
        name, labels = one["metadata"]["name"], one["metadata"]["labels"]
        for port in (entry["port"] for entry in one["spec"]["ports"]):
            if name in stores:
                hosts[name, port] = Address(LOOPBACK, stores[name])
            elif name == front_name(slice_.name):
                hosts[name, port] = hosts[name, FRONT_PORT] = book.front
            elif labels.get(LABEL_COMPONENT) and labels.get(LABEL_SERVICE) in internal:
                hosts[name, port] = internal[labels[LABEL_SERVICE]]
    return hosts
