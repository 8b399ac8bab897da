"""Proxy pods: the real agent's code behind a real TCP port, and an Envoy that is played.

The Envoy speaks the agent's side of ADS as Envoy does (clusters, listeners, then the routes that listeners ask for, an
ACK or NACK of each), finds hosts by name a while after they change, and refuses what its image doesn't take.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from tests.kube.chaos.routing import Routing, Target, routing_of

from resilientslice.agent.admin import EnvoyInfo, Readings
from resilientslice.agent.ads_channel import Request
from resilientslice.agent.ads_state import Closed, Opened
from resilientslice.agent.ads_stream import Send
from resilientslice.agent.api import Api
from resilientslice.agent.guard import Guard
from resilientslice.agent.installer import Installer
from resilientslice.agent.keys import KeyRing
from resilientslice.agent.metrics import AgentMetrics
from resilientslice.agent.mounted import follow
from resilientslice.agent.parse import ConfigParser
from resilientslice.agent.program import _restored
from resilientslice.agent.resources import Resource, Resources, ResourceType
from resilientslice.agent.settings import AgentSettings
from resilientslice.render.names import AGENT_PORT

ANYWHERE_REFUSED = "666ms"
"""A time-out that no Envoy takes."""
NEW_ONLY = "777ms"
"""A time-out that only a new Envoy takes."""
OLD_ONLY = "888ms"
"""A time-out that only an old Envoy takes."""

Hosts = Callable[[Target], frozenset[str]]
"""Addresses of the pods that a name stands for now."""
_ids = itertools.count(1)


def refusal(image: str, config: Mapping[str, Resource], kind: ResourceType) -> str | None:
    """In Envoy's words, why an Envoy of this image refuses routes."""
    if kind is not ResourceType.ROUTES:
        return None
    text = b"".join(resource.encoded for resource in config.values())
    if _duration(666) in text:
        return "Proto constraint validation failed: timeout: 0.666s is not allowed here"
    if _duration(777) in text and not image.endswith("new"):
        return "INVALID_ARGUMENT: has unknown fields: timeout_of_tomorrow"
    if _duration(888) in text and image.endswith("new"):
        return "Using deprecated option 'timeout_of_yesterday' which was removed"
    return None


def _duration(milliseconds: int) -> bytes:
    """A protobuf Duration below a second as it is encoded: field 2, nanoseconds."""
    value, out = milliseconds * 1_000_000, [0x10]
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


@dataclass
class PlayedEnvoy:
    """One Envoy, from its start to its end. `hosts` are those found by cluster, as of the last look."""

    image: str
    resolve: Hosts
    installer: Installer
    delay: Callable[[], float]
    stream: int = 0
    resources: dict[ResourceType, Resources] = field(default_factory=lambda: {kind: {} for kind in ResourceType})
    versions: dict[ResourceType, str] = field(default_factory=dict)
    hosts: dict[str, frozenset[str]] = field(default_factory=dict)
    refused: str = ""
    tries: dict[str, list[int]] = field(default_factory=dict)
    """By cluster: successes and failures of its hosts."""
    active: dict[str, float] = field(default_factory=dict)
    """By cluster: until when requests are under way."""
    hanging: bool = False
    routing: Routing = field(default_factory=Routing)
    _nonces: dict[ResourceType, str] = field(default_factory=dict)
    _names: dict[ResourceType, frozenset[str]] = field(default_factory=dict)

    async def run(self) -> None:
        self.stream = next(_ids)
        self.installer.dispatch(Opened(self.stream))
        try:
            self._ask(ResourceType.CLUSTERS)
            self._ask(ResourceType.LISTENERS)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._answer())
                group.create_task(self._look())
        finally:
            self.installer.dispatch(Closed(self.stream))
            self.installer.forget(self.stream)

    async def _answer(self) -> None:
        queue = self.installer.queue(self.stream)
        while True:
            send = await queue.get()
            await asyncio.sleep(self.delay())
            while self.hanging:
                await asyncio.sleep(0.05)
            self._take(send)

    def _take(self, send: Send) -> None:
        self._nonces[send.kind] = send.nonce
        found = {resource.name: resource for resource in send.resources}
        words = refusal(self.image, found, send.kind)
        if words is not None:
            self.refused = words
            self._ask(send.kind, error=words)
            return
        kept = {} if send.kind.wildcard else self.resources[send.kind]
        self.resources[send.kind] = {**kept, **found}
        self._route()
        self.versions[send.kind] = send.version
        self.refused = "" if send.kind is ResourceType.ROUTES else self.refused
        self._ask(send.kind)
        asked = {ResourceType.CLUSTERS: ResourceType.ENDPOINTS, ResourceType.LISTENERS: ResourceType.ROUTES}
        if send.kind in asked:
            self._subscribe(asked[send.kind], frozenset().union(*(resource.asks for resource in found.values())))
        if send.kind is ResourceType.CLUSTERS:
            self._find()

    def _subscribe(self, kind: ResourceType, names: frozenset[str]) -> None:
        if names == self._names.get(kind, frozenset()):
            return
        self._names[kind] = names
        self.resources[kind] = {name: item for name, item in self.resources[kind].items() if name in names}
        self._route()
        self._ask(kind)

    def _route(self) -> None:
        self.routing = routing_of(self.resources[ResourceType.CLUSTERS], self.resources[ResourceType.ROUTES])

    def _ask(self, kind: ResourceType, error: str | None = None) -> None:
        self.installer.dispatch(
            Request(
                stream=self.stream,
                kind=kind,
                names=self._names.get(kind, frozenset()),
                version=self.versions.get(kind, ""),
                nonce=self._nonces.get(kind, ""),
                error=error,
            )
        )

    async def _look(self) -> None:
        """Once a second, as the clusters say."""
        while True:
            self._find()
            self._serve()
            await asyncio.sleep(0.3 + 4 * self.delay())

    def _find(self) -> None:
        targets = self.routing.targets
        self.hosts = {
            name: frozenset().union(*(self.resolve(target) for target in found))
            for name, found in targets.items()
            if found
        }

    def _serve(self) -> None:
        """Traffic passes: what has hosts and is led to answers."""
        now = asyncio.get_running_loop().time()
        routing = self.routing
        for name in routing.members():
            counted = self.tries.setdefault(name, [0, 0])
            if self.hosts.get(name):
                counted[0] += 5
                self.active[name] = now + 0.3


class PlayedAdmin:
    """What Envoy's admin interface says, without its socket."""

    def __init__(self, envoy: PlayedEnvoy) -> None:
        self._envoy = envoy

    async def read(self) -> tuple[EnvoyInfo, Readings]:
        envoy, now = self._envoy, asyncio.get_running_loop().time()
        clusters = {
            name: {
                "membership_total": len(found),
                "membership_healthy": len(found),
                "hosts_rq_success": envoy.tries.get(name, [0, 0])[0],
                "hosts_rq_error": envoy.tries.get(name, [0, 0])[1],
                "hosts_rq_active": 3 if envoy.active.get(name, 0.0) > now else 0,
            }
            for name, found in envoy.hosts.items()
        }
        info = EnvoyInfo(version="1.40.0", uptime=1, live=True)
        return info, Readings({"clusters": clusters, "http": {}, "ratelimit": {}})


@dataclass
class ProxyPod:
    """An agent and an Envoy on an address of their own. What is mounted is in `folder`: the kubelet puts it there."""

    name: str
    uid: str
    address: str
    image: str
    folder: Path
    resolve: Hosts
    delay: Callable[[], float]
    hanging: asyncio.Event | None = None
    """While it is set, nobody answers on the agent's port."""
    envoy: PlayedEnvoy | None = None
    installer: Installer | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def ready(self) -> bool:
        return self.installer is not None and self.installer.ready

    @property
    def mounted(self) -> Path:
        return self.folder / "mounted"

    @property
    def keys(self) -> Path:
        return self.folder / "key"

    async def start(self) -> None:
        """OSError if its address is taken."""
        state = self.folder / "state"
        state.mkdir(parents=True, exist_ok=True)
        settings = AgentSettings(
            self.folder / "a", self.folder / "b", self.folder / "c", state, fallback=self.mounted / "config.json"
        )
        parser = ConfigParser()
        installer = self.installer = _restored(settings, parser)
        self._stack.push_async_callback(installer.close)
        envoy = self.envoy = PlayedEnvoy(self.image, self.resolve, installer, self.delay)
        guard = Guard(KeyRing(self.keys), self.uid, AgentMetrics())
        api = Api(installer, PlayedAdmin(envoy), parser)  # type: ignore[arg-type]
        app = api.application(self._hang, guard.middleware)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.2)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, self.address, AGENT_PORT).start()
        for work in (envoy.run(), follow(self.mounted / "config.json", installer, parser)):
            self._stack.push_async_callback(_ended, asyncio.create_task(work))

    async def stop(self) -> None:
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()
        self.installer = self.envoy = None

    def drain(self) -> None:
        if self.installer is not None:
            self.installer.begin_draining()

    @web.middleware
    async def _hang(self, request: web.Request, handler: Callable[..., object]) -> web.StreamResponse:
        if self.hanging is not None:
            await self.hanging.wait()
        return await handler(request)  # type: ignore[misc]


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
