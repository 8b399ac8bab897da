"""Agents that answer for Envoys which aren't there, each with an address of 127.0.0.0/8 of its own and one slice's key.

Requests are judged by the agent's own guard, so what a real agent would refuse is refused here too. A push is accepted
at once.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from resilientslice.agent.guard import Guard
from resilientslice.agent.keys import KeyRing
from resilientslice.agent.metrics import AgentMetrics
from resilientslice.agent.parse import parse_body
from resilientslice.agent.resources import json_digest

FIRST = 0x7F010000
"""127.1.0.0"""


@dataclass
class FakeAgent:
    """Refuses everything with `refusal` (status, answer), hangs while `hanging` is set; else it takes what it is given
    and says that it has found a host for each of its clusters."""

    name: str
    uid: str
    guard: Guard
    digest: str = ""
    epoch: list[int] = field(default_factory=lambda: [0, 0])
    clusters: dict[str, dict[str, int]] = field(default_factory=dict)
    """What Envoy counts, beside the hosts it has found."""
    found: dict[str, int] = field(default_factory=dict)
    """Hosts by cluster."""
    ejected: list[dict[str, str]] = field(default_factory=list)
    p99: dict[str, float] = field(default_factory=dict)
    connected: int = 1
    refusal: tuple[int, dict[str, object]] | None = None
    hanging: asyncio.Event | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """A request came while it was hanging."""
    pushes: int = 0

    async def put(self, request: web.Request) -> web.Response:
        body = parse_body(await request.read())
        self.pushes += 1
        if self.refusal is not None:
            return web.json_response(self.refusal[1], status=self.refusal[0])
        if list(body.epoch) < self.epoch:
            return web.json_response({"error": "stale", "held": self.epoch, "held_digest": self.digest}, status=409)
        self.digest, self.epoch = json_digest(body.config), list(body.epoch)
        self.found = {cluster["name"]: 1 for cluster in body.config["clusters"]}
        return web.json_response({"digest": self.digest, "epoch": self.epoch, "accepted": True, "versions": {}})

    async def get(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "digest": self.digest,
                "epoch": self.epoch,
                "acked": self.digest,
                "rejected": None,
                "durable": True,
                "durable_reason": "",
                "envoy": {"connected": self.connected, "version": "fake", "uptime": 1, "live": True, "error": ""},
                "counters": {"clusters": self._counted(), "http": {}, "ratelimit": {}},
                "ejected": self.ejected,
                "p99": self.p99,
            }
        )

    def _counted(self) -> dict[str, dict[str, int]]:
        names = self.found | self.clusters
        return {name: {"membership_total": self.found.get(name, 0)} | self.clusters.get(name, {}) for name in names}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if self.hanging is not None:
            self.arrived.set()
            await self.hanging.wait()
        handler = self.put if request.method == "PUT" else self.get
        return await self.guard.middleware(request, handler)


class FakeAgents:
    """An async context manager. `agents` is by address, `ip:port`."""

    def __init__(self, count: int, key_dir: Path, port: int = 0) -> None:
        self._count, self._port = count, port
        self._ring = KeyRing(key_dir)
        self.metrics = AgentMetrics()
        self.agents: dict[str, FakeAgent] = {}

    async def __aenter__(self) -> "FakeAgents":
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "0.0.0.0", self._port, backlog=4096).start()
        port = self._runner.addresses[0][1]
        for number in range(1, self._count + 1):
            address = f"{'.'.join(str(byte) for byte in (FIRST + number).to_bytes(4, 'big'))}:{port}"
            uid = f"uid-{number}"
            self.agents[address] = FakeAgent(f"fake-{number}", uid, Guard(self._ring, uid, self.metrics))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        host, port = request.transport.get_extra_info("sockname")[:2]
        return await self.agents[f"{host}:{port}"].serve(request)  # type: ignore[arg-type]


def fake_address(network: str, number: int) -> str:
    """Of the pod with that number, from 1. `network`: its first two bytes."""
    return f"{network}.{number // 250}.{number % 250 + 1}"
