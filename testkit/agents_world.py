"""The smallest sample with two agents that sign as real ones do, on loopback addresses of their own; each mounts the
slice's Secret by itself, as the kubelets of two nodes would bring it."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from resilientslice.agent.guard import Guard
from resilientslice.agent.keys import KeyRing
from resilientslice.envoys import Fleet
from resilientslice.envoys.agents import FleetAgents
from resilientslice.envoys.key_rotation import ROTATE_ANNOTATION
from resilientslice.envoys.keys import AgentKeys
from resilientslice.kube.client import KubeClient
from resilientslice.kube.kinds import EVENT, POD, RESILIENT_SLICE, SECRET, Object, SliceKey
from resilientslice.kube.session import Session
from testkit.fake_agents import FakeAgent, FakeAgents
from testkit.files import sample
from testkit.pass_world import World

NAME = "minimal"
SECRET_NAME = "minimal-agent-key"


class AgentsWorld(World):
    document: Object
    fakes: FakeAgents
    fleet: Fleet
    folder: Path

    def start(self, term: int = 1) -> None:
        """Another process, with empty hands."""
        self.term, self.woken = term, list[SliceKey]()
        secrets = AgentKeys(self.client, monotonic=lambda: self.now, wall=lambda: self.now)
        port = int(next(iter(self.fakes.agents)).rpartition(":")[2])
        self.speaking = FleetAgents(
            secrets, self.fleet, term=lambda: self.term, check=lambda: None, wake=self.woken.append, port=port
        )
        self.fleet.forget(self.own_key)
        self.restart(self.speaking)

    @property
    def own_key(self) -> SliceKey:
        return SliceKey(self.namespace, NAME)

    @property
    def agents_(self) -> list[FakeAgent]:
        return list(self.fakes.agents.values())

    async def secret(self) -> Object:
        return await self.others.get(SECRET, self.namespace, SECRET_NAME)

    async def keys(self) -> tuple[str, str]:
        """Current and previous, as stored."""
        data = (await self.secret()).get("data") or {}
        return base64.b64decode(data["current"]).decode(), base64.b64decode(data.get("previous", "")).decode()

    async def deliver(self, *numbers: int) -> None:
        """The kubelets of these agents bring them the Secret as it is now, or that it is gone."""
        found = await self.others.find(SECRET, self.namespace, SECRET_NAME) or {}
        for number in numbers:
            for name in ("current", "previous"):
                text = (found.get("data") or {}).get(name)
                file = self.folder / str(number) / name
                file.unlink(missing_ok=True)
                if text is not None:
                    file.write_bytes(base64.b64decode(text))

    async def look(self) -> bool:
        """The agents are asked, as they are every few seconds; whether a pass was asked for because of it."""
        self.woken.clear()
        await self.speaking._poll(self.own_key, self.speaking._known[self.own_key])
        return bool(self.woken)

    async def ask_for_rotation(self, value: str) -> None:
        change = {"metadata": {"annotations": {ROTATE_ANNOTATION: value}}}
        await self.others.merge(RESILIENT_SLICE, self.namespace, NAME, change, manager="user")

    async def change_secret(self, change: Object) -> None:
        await self.others.merge(SECRET, self.namespace, SECRET_NAME, change, manager="user")

    async def events(self, reason: str) -> list[Object]:
        found = await self.others.list_all(EVENT, self.namespace)
        return [event for event in found if event["reason"] == reason]

    async def mount(self) -> None:
        """Each agent's guard is of its pod and its mounted folder."""
        pods = {
            pod["status"]["podIP"]: pod["metadata"]["uid"] for pod in await self.others.list_all(POD, self.namespace)
        }
        for number, (address, fake) in enumerate(self.fakes.agents.items()):
            (self.folder / str(number)).mkdir(exist_ok=True)
            ring = KeyRing(self.folder / str(number))
            fake.guard = Guard(ring, pods[address.rpartition(":")[0]], self.fakes.metrics)


@asynccontextmanager
async def agents_world(
    login: Any, others: KubeClient, namespace: str, folder: Path, secret: Object | None = None
) -> AsyncIterator[AgentsWorld]:
    """Up and at rest. `secret`: one that is there before the operator, and not its own."""
    log: list[tuple[str, str]] = []
    async with (
        Session(login, observe=lambda verb, kind, *_: log.append((verb, kind))) as session,
        FakeAgents(2, folder) as fakes,
        Fleet() as fleet,
    ):
        made = AgentsWorld(session, others, namespace, log)
        made.subnet, made.fakes, made.fleet, made.folder = "127.1.0", fakes, fleet, folder
        made.start()
        if secret is not None:
            await others.create({**secret, "metadata": {**secret["metadata"], "namespace": namespace}})
        made.document = sample(NAME)
        await made.apply(made.document)
        await made.reconcile(NAME)
        await made.control()
        await made.mount()
        await made.deliver(0, 1)
        await made.settle(NAME)
        made.now += 60  # the Secret may be read again
        yield made
