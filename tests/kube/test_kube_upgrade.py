"""An operator with another image of the agent, among many slices: a few at a time, also over a restart."""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from tests.kube.conftest import FAR, until

from resilientslice.controller.assemble import assemble
from resilientslice.controller.deciding import Settings
from resilientslice.envoys.port import Epoch
from resilientslice.kube.cache import Children
from resilientslice.kube.children import noted
from resilientslice.kube.client import KubeClient
from resilientslice.kube.kinds import DEPLOYMENT, RESILIENT_SLICE, Kind, Object, SliceKey
from resilientslice.kube.session import Session
from resilientslice.kube.slices import Slices
from resilientslice.kube.watch import Reflector
from resilientslice.operating.following import Following
from resilientslice.planning.observed import Envoys, Proxies
from resilientslice.render.envoy import EnvoyConfig
from resilientslice.render.images import Images
from resilientslice.render.names import LABEL_SLICE, proxy_name
from resilientslice.workqueue.queue import WorkQueue
from testkit.files import ROOT
from testkit.played_agents import PlayedAgents

SLICES, PLACES = 10, 3
NAMES = [f"s{number}" for number in range(SLICES)]
OLD, NEW = Images(agent="agent:1"), Images(agent="agent:2")


@dataclass
class Deployments:
    """Every change of the Deployments, in order; it plays their controller, and ends proxies' rollouts when told to."""

    session: Session
    namespace: str
    held: bool = False
    """Proxies' rollouts don't end by themselves."""
    live: dict[str, Object] = field(default_factory=dict)
    most: int = 0
    """Proxies that rolled at the same time, at most, since `held` was set."""
    due: "asyncio.Queue[str]" = field(default_factory=asyncio.Queue)

    def told(self, obj: Object) -> None:
        name = obj["metadata"]["name"]
        self.live[name] = obj
        if self.held:
            self.most = max(self.most, len(self.rolling()))
        if not (self.held and name.endswith("-proxy")):
            self.due.put_nowait(name)

    def gone(self, obj: Object) -> None:
        self.live.pop(obj["metadata"]["name"], None)

    def listed(self, kind: Kind, namespace: str | None, uids: set[str], resource_version: str) -> None:
        """Nothing is ever deleted here."""

    def rolling(self) -> list[str]:
        return [name for name, obj in self.live.items() if name.endswith("-proxy") and _status(obj) != _whole(obj)]

    def new(self) -> list[str]:
        return [name for name, obj in self.live.items() if name.endswith("-proxy") and _agent(obj) == NEW.agent]

    async def run(self) -> None:
        turn = asyncio.Semaphore(1)
        watch = Reflector(self.session, DEPLOYMENT, self.namespace, LABEL_SLICE, self, turn, lambda: None)
        async with asyncio.TaskGroup() as group:
            group.create_task(watch.run())
            while True:
                await self.end(await self.due.get())

    async def end(self, name: str) -> None:
        status = _whole(self.live[name])
        if _status(self.live[name]) != status:
            await KubeClient(self.session).patch_status(DEPLOYMENT, self.namespace, name, status, manager="controllers")


def _whole(obj: Object) -> dict[str, int]:
    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    return {"observedGeneration": obj["metadata"]["generation"], **dict.fromkeys(counts, obj["spec"]["replicas"])}


def _status(obj: Object) -> dict[str, Any]:
    return {name: obj.get("status", {}).get(name) for name in _whole(obj)}


def _agent(obj: Object) -> str:
    containers = obj["spec"]["template"]["spec"]["containers"]
    return str(next(found["image"] for found in containers if found["name"] == "agent"))


@dataclass
class Pods(PlayedAgents):
    """There is a proxy of each slice, which acknowledges everything."""

    digests: dict[SliceKey, str] = field(default_factory=dict)

    def seen(self, key: SliceKey, canary: Sequence[str]) -> Envoys:
        digest = self.digests.get(key, "")
        return Envoys(Proxies(1, {"proxy": digest} if digest else {}), active=0)

    async def push(self, key: SliceKey, config: EnvoyConfig) -> Epoch:
        self.digests[key] = config.digest
        return await super().push(key, config)


@dataclass
class Running:
    queue: "WorkQueue[SliceKey]"
    slices: Slices
    agents: Pods


@asynccontextmanager
async def operator(session: Session, namespace: str, images: Images) -> AsyncIterator[Running]:
    """The operator's watches, queue and passes, without Lease and kopf; ended in order."""
    queue: WorkQueue[SliceKey] = WorkQueue(workers=8)
    slices = Slices(on_change=queue.add, namespaces=(namespace,))
    children = Children(on_change=lambda key: queue.add(key, after=0.02), shape=noted, namespaces=(namespace,))
    following = Following.of(session, slices, children, (namespace,))
    agents = Pods()
    reconciler = assemble(
        KubeClient(session), slices, children, agents, settings=Settings(images), proxy_rollouts=PLACES, wake=queue.add
    )
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(following.run())
        await listed(session, namespace, slices)
        async with asyncio.timeout(FAR):
            await following.synced()
        for key in slices.keys():  # noqa: SIM118 - not a mapping
            queue.add(key)
        group.create_task(queue.run(reconciler.reconcile))
        try:
            yield Running(queue, slices, agents)
        finally:
            assert await queue.drain(30)
            watching.cancel()


async def listed(session: Session, namespace: str, slices: Slices) -> None:
    """As kopf does when it starts."""
    found = await KubeClient(session).list_all(RESILIENT_SLICE, namespace)
    for slice_ in found:
        slices.told(slice_)
    slices.listed(RESILIENT_SLICE, namespace, {slice_["metadata"]["uid"] for slice_ in found}, "0")


@pytest.fixture
async def deployments(api, namespace, client, session) -> AsyncIterator[Deployments]:
    """Many slices are up, made by the operator before."""
    document = yaml.safe_load((ROOT / "samples" / "minimal.yaml").read_text())
    for name in NAMES:
        made = copy.deepcopy(document)
        made["metadata"] = {"name": name, "namespace": namespace}
        await client.create(made)
    at = Deployments(session, namespace)
    playing = asyncio.create_task(at.run())
    try:
        async with operator(session, namespace, OLD):
            await all_are(client, namespace, lambda status: status.get("phase") == "Ready")
        at.held = True
        yield at
    finally:
        playing.cancel()


async def all_are(client: KubeClient, namespace: str, holds: Callable[[dict[str, Any]], bool]) -> None:
    async with asyncio.timeout(FAR):
        while True:
            found = await client.list_all(RESILIENT_SLICE, namespace)
            if all(holds(slice_.get("status", {})) for slice_ in found):
                return
            await asyncio.sleep(0.1)


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(
        (found for found in status.get("conditions", ()) if found["type"] == kind), {"status": "", "reason": ""}
    )


async def waiting(client: KubeClient, namespace: str) -> dict[str, str]:
    """By the name of each slice in line, what its status says."""
    found = {}
    for slice_ in await client.list_all(RESILIENT_SLICE, namespace):
        reconciling = condition(slice_["status"], "Reconciling")
        if reconciling["reason"] == "ProxyUpdateQueued":
            found[slice_["metadata"]["name"]] = reconciling["message"]
            assert condition(slice_["status"], "Ready")["status"] == "True", "the old ones serve"
    return found


async def in_line(client: KubeClient, namespace: str, count: int) -> dict[str, str]:
    async with asyncio.timeout(FAR):
        while len(found := await waiting(client, namespace)) != count:
            await asyncio.sleep(0.1)
    return found


async def test_an_upgrade_replaces_a_few_at_a_time_also_over_a_restart(deployments, client, session, namespace):
    at = deployments
    done = 0
    for until_done in (4, SLICES):
        async with operator(session, namespace, NEW):
            while done < until_done:
                expected = min(PLACES, SLICES - done)
                await until(lambda expected=expected: len(at.rolling()) == expected, "every place is taken")
                assert len(at.new()) == min(done + PLACES, SLICES)
                await at.end(ended := min(at.rolling()))
                await until(lambda ended=ended: _status(at.live[ended]) == _whole(at.live[ended]), "its end is seen")
                done += 1
            if done < SLICES:
                await in_line(client, namespace, SLICES - done - PLACES)
    assert at.most == PLACES
    assert sorted(at.new()) == sorted(proxy_name(name) for name in NAMES)
    async with operator(session, namespace, NEW):
        await all_are(client, namespace, lambda status: condition(status, "Reconciling")["reason"] == "UpToDate")


async def test_a_bad_upgrade_stops_and_says_where_and_users_go_on(deployments, client, session, namespace):
    at = deployments
    async with operator(session, namespace, NEW) as running:
        found = await in_line(client, namespace, SLICES - PLACES)
        assert "Those of 3 slices are replaced at a time" in found["s9"]
        rolling = sorted(at.rolling())
        stuck = {
            "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}],
            "observedGeneration": at.live[rolling[0]]["metadata"]["generation"],
            "replicas": 3,
            "updatedReplicas": 1,
            "availableReplicas": 2,
            "readyReplicas": 2,
        }
        await client.patch_status(DEPLOYMENT, namespace, rolling[0], stuck, manager="controllers")
        name = rolling[0].removesuffix("-proxy")

        async def named() -> bool:
            messages = (await waiting(client, namespace)).values()
            return all(f"{namespace}/{name}" in message for message in messages)

        async with asyncio.timeout(FAR):
            while not await named():
                await asyncio.sleep(0.1)
        last = max(found)
        before = len(running.agents.pushed)
        await edit(client, running, namespace, last, {"resilience": {"timeout": "7s"}})
        await until(lambda: len(running.agents.pushed) > before, "a slice in line is handed its configuration")
        assert sorted(at.rolling()) == rolling
        await edit(client, running, namespace, last, {"proxy": {"image": "envoy:mine"}})
        await until(lambda: proxy_name(last) in at.rolling(), "an edit of the proxies does not wait")
        assert sorted(at.rolling()) == sorted([*rolling, proxy_name(last)])


async def edit(client: KubeClient, running: Running, namespace: str, name: str, spec: Object) -> None:
    answer = await client.merge(RESILIENT_SLICE, namespace, name, {"spec": spec}, manager="user")
    running.slices.told(answer)  # as kopf would


async def test_a_slice_in_line_costs_no_request(deployments, client, namespace, api, session):
    log: list[str] = []
    async with (
        Session(api.login, observe=lambda verb, kind, status, seconds: log.append(f"{verb} {kind}")) as counted,
        operator(counted, namespace, NEW) as running,
    ):
        names = sorted(await in_line(client, namespace, SLICES - PLACES))
        await until(lambda: not (running.queue.working or running.queue.depth), "all is at rest")
        del log[:]
        for _ in range(3):
            for name in names:
                running.queue.add(SliceKey(namespace, name))
            await until(lambda: not (running.queue.working or running.queue.depth), "each was looked at")
        assert [line for line in log if not line.startswith("watch ")] == []
