"""Agents of a tenant who means harm: they have the slice's key, sign what they say, and say anything.

The operator's own parts are real: fleet, agents, reconciler, over TCP. Only the API server is a few lines (`conftest`).
"""

import base64
import copy
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from resilientslice.agent.guard import Guard
from resilientslice.api.slice import KIND
from resilientslice.controller.assemble import assemble
from resilientslice.envoys import Fleet, new_key
from resilientslice.envoys.agents import FleetAgents
from resilientslice.envoys.failures import AgentFailures
from resilientslice.envoys.keys import AgentKeys
from resilientslice.kube.cache import Children
from resilientslice.kube.children import noted
from resilientslice.kube.kinds import WATCHED_KINDS, Object, SliceKey
from resilientslice.kube.slices import Slices
from testkit.fake_agents import FakeAgent, FakeAgents

DIGESTS = ["", "a" * 64, "A" * 64, "short", 7, None]
NUMBERS: list[Any] = [0, 1, -1, True, 1 << 52, 1 << 53, 1 << 63, 1 << 80, 1.5, -0.0, 1e308, "1", None, [], {}, "NaN"]
TEXTS: list[Any] = [
    "",
    "no",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egpj",
    "\ud800",
    "x" * 100_000,
    7,
    None,
    ["no"],
    "\r\n" * 99,
]
NAMES: list[Any] = [
    "api-canary",
    "api-stable",
    "other-canary",
    "agent",
    "",
    "x" * 300,
    "a\x1b[2J",
    "..-stable",
    "-canary",
]
SHAPES: list[Any] = [None, True, 7, "text", [], {}, [[]], [{}], {"": {}}, [None] * 50, {"a": [1]}]
RAW = [
    b"",
    b"null",
    b"[]",
    b"{",
    b'{"a":1,"a":2}',
    b"NaN",
    b"\xff\xfe\x00",
    b'{"a":' * 9000,
    b"[" * 9000,
    b'"' + b'\\"' * 9999,
]


@dataclass
class Hostile:
    """What one agent says, by a seed. `honest` is what it would say."""

    random: random.Random
    answers: int = 0

    def body(self, honest: Object) -> bytes:
        self.answers += 1
        if self.random.random() < 0.1:
            return self.random.choice(RAW)
        made: Any = copy.deepcopy(honest)
        for _ in range(self.random.randint(0, 4)):
            made = self.spoiled(made)
        return json.dumps(made).encode()

    def spoiled(self, value: Any, depth: int = 0) -> Any:
        """With something else at one place, often deep inside."""
        if isinstance(value, dict) and value and (depth == 0 or self.random.random() < 0.8):
            name = self.random.choice(list(value))
            if self.random.random() < 0.05:
                return {key: one for key, one in value.items() if key != name}
            if self.random.random() < 0.05:
                return {**value, self.random.choice([n for n in NAMES if isinstance(n, str)]): value[name]}
            return {**value, name: self.spoiled(value[name], depth + 1)}
        if isinstance(value, list) and value and self.random.random() < 0.8:
            made = list(value)
            at = self.random.randrange(len(made))
            made[at] = self.spoiled(made[at], depth + 1)
            return made
        return copy.deepcopy(self.random.choice(self.random.choice([DIGESTS, NUMBERS, TEXTS, NAMES, SHAPES])))

    def pushed(self, honest: Object) -> tuple[int, Object]:
        """A push is also answered with claims, verdicts and statuses that don't fit it."""
        number = self.random.choice(NUMBERS)
        said: list[Object] = [
            honest,
            {"error": "stale", "held": [self.random.choice([0, 1, 2, 9, number]), number]},
            {"error": "stale", "held": [1, 1 << 52]},
            {"accepted": False, "type": "routes", "message": self.random.choice(TEXTS), "serving": ""},
            {"accepted": True, "digest": "b" * 64},
            {"error": self.random.choice(TEXTS)},
        ]
        return self.random.choice([200, 200, 400, 401, 409, 409, 413, 422, 500, 503, 504]), self.random.choice(said)


@dataclass
class Work:
    """What edits of a slice have cost."""

    passes: int = 0
    turns: int = 0
    requests: int = 0
    writes: int = 0
    seconds: float = 0.0

    @property
    def counted(self) -> int:
        return self.passes + self.turns + self.requests + self.writes


@dataclass
class World:
    client: Any
    fakes: Any
    fleet: Fleet
    failures: AgentFailures
    port: int
    woken: list[SliceKey] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    documents: dict[SliceKey, Object] = field(default_factory=dict)
    pods: int = 0

    def __post_init__(self) -> None:
        self.slices = Slices(on_change=lambda key: None)
        self.children = Children(on_change=lambda key: None, shape=noted)
        for kind in WATCHED_KINDS:
            self.children.listed(kind, None, set(), "1")
        self.speaking = FleetAgents(
            AgentKeys(self.client),
            self.fleet,
            term=lambda: 3,
            check=lambda: None,
            wake=self.woken.append,
            port=self.port,
            failed=self.failures.failed,
        )
        self.reconciler = assemble(self.client, self.slices, self.children, self.speaking)

    async def create(self, name: str, key: str, proxies: int) -> SliceKey:
        made = SliceKey(f"team-{name}", name)
        secret = {"name": f"{name}-agent-key", "namespace": made.namespace}
        data = {"current": base64.b64encode(key.encode()).decode()}
        await self.client.create({"apiVersion": "v1", "kind": "Secret", "metadata": secret, "data": data})
        services = [
            {"name": "api", "image": "example.org/api:1", "port": 8080, "expose": {"pathPrefix": "/"}},
        ]
        spec = {"services": services, "proxy": {"replicas": proxies}, "canary": {"weight": 0}}
        metadata = {"name": name, "namespace": made.namespace, "uid": f"uid-of-{name}", "generation": 0}
        self.documents[made] = {
            "apiVersion": "resilientslice.dev/v1alpha1",
            "kind": KIND,
            "metadata": metadata,
            "spec": spec,
        }
        self.edit(made, "1s")
        await self.rest(made)
        self.proxies(made, proxies)
        await self.rest(made)
        return made

    def edit(self, key: SliceKey, timeout: str) -> None:
        document = self.documents[key]
        document["metadata"]["generation"] += 1
        document["spec"]["resilience"] = {"timeout": timeout}
        document["metadata"]["resourceVersion"] = str(next(self.client._numbers))
        self.client._put((KIND, key.namespace, key.name), {**document, "status": self.status(key)})
        self.slices.told(json.loads(self.client.texts[KIND, key.namespace, key.name]))

    def status(self, key: SliceKey) -> Object:
        found: Object = json.loads(self.client.texts.get((KIND, key.namespace, key.name), "{}")).get("status", {})
        return found

    def condition(self, key: SliceKey, kind: str) -> Object:
        return next((one for one in self.status(key).get("conditions", ()) if one["type"] == kind), {})

    def proxies(self, key: SliceKey, count: int) -> None:
        """What the controllers of a cluster would make."""
        name = f"{key.name}-proxy"
        deployment = json.loads(self.client.texts["Deployment", key.namespace, name])
        owner = {"kind": "Deployment", "name": name, "uid": deployment["metadata"]["uid"], "controller": True}
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        common = {"namespace": key.namespace, "labels": labels, "resourceVersion": "1"}
        own = {**common, "name": f"{name}-1", "uid": f"set-{key.name}", "ownerReferences": [owner]}
        self.children.told({"kind": "ReplicaSet", "metadata": own})
        owner = {"kind": "ReplicaSet", "name": f"{name}-1", "uid": f"set-{key.name}", "controller": True}
        for address, fake in list(self.fakes.agents.items())[self.pods : self.pods + count]:
            metadata = {**common, "name": f"{name}-1-{fake.name}", "uid": fake.uid, "ownerReferences": [owner]}
            status = {
                "podIP": address.rpartition(":")[0],
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
            }
            self.children.told({"kind": "Pod", "metadata": metadata, "status": status})
        self.pods += count

    async def rest(self, key: SliceKey, most: int = 8) -> int:
        """Passes until nothing is to be done at once; how many."""
        for number in range(1, most + 1):
            result = await self.reconciler.reconcile(key)
            if result.next_deadline is None or result.next_deadline > time.time():
                return number
        return most

    async def look(self, key: SliceKey) -> None:
        """As `run` has the agents of a slice asked."""
        await self.speaking._guarded(key, self.speaking._known[key])

    async def edits(self, key: SliceKey, count: int, fakes: list[Any]) -> Work:
        """Of a slice whose agents are honest."""
        work, writes = Work(), sum(self.client.writes.values())
        asked = sum(fake.asked for fake in fakes)
        began = time.perf_counter()
        for number in range(count):
            self.edit(key, f"{number + 2}s")
            work.passes += await self.rest(key)
            assert self.condition(key, "ConfigAccepted")["status"] == "True"
        work.seconds = time.perf_counter() - began
        work.requests = sum(fake.asked for fake in fakes) - asked
        work.writes = sum(self.client.writes.values()) - writes
        return work


class Counted(FakeAgent):
    """Honest until `hostile` is set."""

    hostile: Hostile | None = None
    asked: int = 0

    async def put(self, request: web.Request) -> web.Response:
        honest = await super().put(request)
        if self.hostile is None:
            return honest
        status, said = self.hostile.pushed(json.loads(honest.body))
        return web.Response(body=self.hostile.body(said), status=status)

    async def get(self, request: web.Request) -> web.Response:
        honest = await super().get(request)
        return honest if self.hostile is None else web.Response(body=self.hostile.body(json.loads(honest.body)))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        return await super().serve(request)


@asynccontextmanager
async def world(client: Any, folder: Path) -> AsyncIterator[tuple[World, str]]:
    key = new_key()
    (folder / "current").write_text(key)
    failures = AgentFailures(None)
    async with FakeAgents(4, folder) as fakes, Fleet(failures.failed) as fleet:
        for address, fake in fakes.agents.items():
            guard = Guard(fakes._ring, fake.uid, fakes.metrics)
            fakes.agents[address] = Counted(fake.name, fake.uid, guard)
        port = int(next(iter(fakes.agents)).rpartition(":")[2])
        yield World(client, fakes, fleet, failures, port), key
