"""A real Envoy fed by a real agent, in a folder of their own, with sockets by relative paths."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from resilientslice.agent.client import AgentClient
from testkit.ports import free_port

START_SECONDS = 90.0
ADS = {"ads": {}, "resource_api_version": "V3"}
TYPE = "type.googleapis.com/envoy.extensions."
BOOTSTRAP = {
    "admin": {"address": {"pipe": {"path": "admin.sock", "mode": 0o600}}},
    "node": {"id": "test", "cluster": "test"},
    "dynamic_resources": {
        "ads_config": {
            "api_type": "GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [{"envoy_grpc": {"cluster_name": "ads"}}],
        },
        "cds_config": ADS,
        "lds_config": ADS,
    },
    "static_resources": {
        "clusters": [
            {
                "name": "ads",
                "type": "STATIC",
                "connect_timeout": "1s",
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                        "@type": f"{TYPE}upstreams.http.v3.HttpProtocolOptions",
                        "explicit_http_config": {"http2_protocol_options": {}},
                    }
                },
                "load_assignment": {
                    "cluster_name": "ads",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": "ads.sock"}}}}]}],
                },
            }
        ]
    },
}


def static_cluster(name: str, port: int) -> dict[str, Any]:
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": hosts(name, port)}


def eds_cluster(name: str) -> dict[str, Any]:
    return {"name": name, "type": "EDS", "connect_timeout": "1s", "eds_cluster_config": {"eds_config": ADS}}


def dns_cluster(name: str, port: int) -> dict[str, Any]:
    dns = {"type": "STRICT_DNS", "dns_lookup_family": "V4_ONLY", "load_assignment": hosts(name, port, "localhost")}
    return static_cluster(name, port) | dns


def hosts(name: str, port: int, host: str = "127.0.0.1") -> dict[str, Any]:
    address = {"socket_address": {"address": host, "port_value": port}}
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}


def listener(name: str, port: int, address: str = "127.0.0.1") -> dict[str, Any]:
    manager = {
        "@type": f"{TYPE}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "rds": {"route_config_name": name, "config_source": ADS},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{TYPE}filters.http.router.v3.Router"}}],
    }
    return {
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def routes(name: str, **weights: int) -> dict[str, Any]:
    clusters = [{"name": cluster, "weight": weight} for cluster, weight in weights.items()]
    route = {"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": clusters}}}
    host = {"name": "all", "domains": ["*"], "routes": [route]}
    return {"name": name, "validate_clusters": True, "virtual_hosts": [host]}


def configuration(**types: list[dict[str, Any]]) -> dict[str, Any]:
    return {"clusters": [], "endpoints": [], "listeners": [], "routes": []} | types


async def until(condition: Callable[[], Any], what: str, seconds: float = START_SECONDS) -> None:
    """Wait until an awaitable condition holds; fail the test if it doesn't in time."""
    try:
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"not in {seconds:g} s: {what}")


@dataclass
class Pair:
    """An agent and an Envoy that can be started, stopped and killed one by one. `front` is a free port."""

    folder: Path
    client: AgentClient
    front: int
    upstream: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    sequence: int = 0

    def start_agent(self, *more: str) -> None:
        agent = [sys.executable, "-m", "resilientslice.agent", "--state-dir", "state", *more]
        for name in ("ads", "api", "admin"):
            agent += [f"--{name}-socket", f"{name}.sock"]
        self._start("agent", agent)

    def start_envoy(self) -> None:
        # one worker and a base id of its own: several run side by side
        envoy = Path(sys.executable).with_name("envoy")
        options = ["-c", "bootstrap.json", "--use-dynamic-base-id", "--concurrency", "1", "-l", "warn"]
        self._start(
            "envoy",
            [
                str(envoy),
                *options,
                "--drain-time-s",
                "60",
                "--drain-strategy",
                "immediate",
                "--parent-shutdown-time-s",
                "2",
            ],
        )

    def _start(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            # its own group: Ctrl-C reaches the tests, which end it
            self.processes[name] = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )

    def end(self, name: str, number: signal.Signals = signal.SIGTERM) -> int:
        process = self.processes.pop(name)
        process.send_signal(number)
        return process.wait(90)

    async def ready(self) -> None:
        await until(self.is_ready, "the agent is ready")

    async def is_ready(self) -> bool:
        with contextlib.suppress(Exception):
            return await self.client.ready()
        return False

    async def connected(self) -> None:
        async def seen() -> bool:
            with contextlib.suppress(Exception):
                return (await self.client.snapshot()).envoy.connected == 1
            return False

        await until(seen, "an Envoy is connected")

    async def push(self, config: dict[str, Any], **options: Any) -> Any:
        self.sequence += 1
        return await self.client.push(config, (1, self.sequence), **options)

    async def get(self, path: str = "/") -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.front}{path}") as response:
            return response.status, await response.text()

    async def serves(self) -> None:
        async def answers() -> bool:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                return await self.get() == (200, "ok")
            return False

        await until(answers, "the front answers 200")

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def basic(self, **weights: int) -> dict[str, Any]:
        """Two clusters with hosts by EDS, one listener, weights between the clusters."""
        return configuration(
            clusters=[eds_cluster("canary"), eds_cluster("stable")],
            endpoints=[hosts("canary", self.upstream), hosts("stable", self.upstream)],
            listeners=[listener("front", self.front)],
            routes=[routes("front", **(weights or {"stable": 100}))],
        )


@pytest.fixture
async def upstream() -> AsyncIterator[int]:
    """Answers everything with 200."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: pytest's own are longer than a socket's may be."""
    with tempfile.TemporaryDirectory(prefix="agent-") as path:
        yield Path(path)


@pytest.fixture
async def idle(folder: Path, upstream: int) -> AsyncIterator[Pair]:
    """A pair of which nothing runs yet."""
    (folder / "bootstrap.json").write_text(json.dumps(BOOTSTRAP))
    async with AgentClient(Path(os.path.relpath(folder / "api.sock"))) as client:
        made = Pair(folder, client, free_port(), upstream)
        try:
            yield made
        finally:
            for name in list(made.processes):
                made.end(name, signal.SIGKILL)


@pytest.fixture
async def pair(idle: Pair) -> Pair:
    """Agent and Envoy, connected, without a configuration."""
    idle.start_agent()
    idle.start_envoy()
    await idle.connected()
    return idle


@pytest.fixture
async def serving(pair: Pair) -> Pair:
    """A pair that serves `basic()`."""
    assert (await pair.push(pair.basic())).accepted
    assert await pair.get() == (200, "ok")
    return pair


@pytest.fixture
def build() -> SimpleNamespace:
    """The builders of resources."""
    return SimpleNamespace(
        static_cluster=static_cluster,
        dns_cluster=dns_cluster,
        eds_cluster=eds_cluster,
        hosts=hosts,
        listener=listener,
        routes=routes,
        configuration=configuration,
        free_port=free_port,
        until=until,
    )
