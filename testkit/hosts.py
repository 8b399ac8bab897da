"""Where the simulated pods are: the names of headless Services, and an Envoy that answers in place of the services.

The slice's Envoys resolve names as in a cluster, from a DNS server that knows only the tracks that are ready.
"""

import asyncio
import socket
import struct
from typing import Any

from testkit.envoy_bootstraps import answering

STABLE, CANARY = "127.78.0.1", "127.78.0.2"
DNS_HOST = "127.78.0.53"
SERVICE_PORT = 8000
TTL_SECONDS = 1
_A = 1
_NAME_ERROR = 3


class Names(asyncio.DatagramProtocol):
    """Answers `SLICE-SERVICE-TRACK.NAMESPACE.svc…` for the Deployments in `ready`."""

    def __init__(self) -> None:
        self.ready: set[tuple[str, str]] = set()
        """Namespace and name."""
        self._transport: asyncio.DatagramTransport | None = None

    async def serve(self) -> int:
        """Listen on DNS_HOST; returns the port."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(DNS_HOST, 0))
        return int(self._transport.get_extra_info("sockname")[1])

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is nothing to begin."""

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self._transport is not None:
            self._transport.sendto(self.answer(data), addr)

    def answer(self, query: bytes) -> bytes:
        labels, end = _question(query)
        kind = struct.unpack_from("!H", query, end)[0]
        address = self._address(labels)
        records = b""
        if address and kind == _A:
            records = struct.pack("!HHHIH", 0xC00C, _A, 1, TTL_SECONDS, 4) + socket.inet_aton(address)
        code = 0 if address else _NAME_ERROR
        head = query[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, 1 if records else 0, 0, 0)
        return head + query[12 : end + 4] + records

    def _address(self, labels: list[str]) -> str:
        if len(labels) < 2 or (labels[1], labels[0]) not in self.ready:
            return ""
        return CANARY if labels[0].endswith("-canary") else STABLE


def _question(query: bytes) -> tuple[list[str], int]:
    """The labels asked for, and where the type begins."""
    labels, at = [], 12
    while size := query[at]:
        labels.append(query[at + 1 : at + 1 + size].decode("ascii").lower())
        at += 1 + size
    return labels, at + 1


def backends() -> dict[str, Any]:
    """A bootstrap of an Envoy that answers for every service, on one address a track, with the track's name."""
    listeners = []
    for track, host in (("stable", STABLE), ("canary", CANARY)):
        bootstrap, _ = answering(f"track={track}")
        (listener,) = bootstrap["static_resources"]["listeners"]
        listener["name"] = track
        listener["address"]["socket_address"] |= {"address": host, "port_value": SERVICE_PORT}
        listeners.append(listener)
    return {"static_resources": {"listeners": listeners}}
