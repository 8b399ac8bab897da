"""Two installations of the operator watch one namespace: one manages a slice, the other one says so and leaves it."""

import asyncio
from dataclasses import dataclass, field

import pytest

from resilientslice.controller.assemble import assemble
from resilientslice.controller.deciding import Settings
from resilientslice.kube.cache import Children
from resilientslice.kube.children import noted
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import ConflictError, ForbiddenError, KubeError
from resilientslice.kube.kinds import CONFIG_MAP, DEPLOYMENT, EVENT, LEASE, Object, SliceKey
from resilientslice.kube.session import Session
from resilientslice.kube.slices import Slices
from resilientslice.render.images import Images
from testkit.files import sample
from testkit.pass_world import World, writes
from testkit.played_agents import PlayedAgents

NAME, STATE = "minimal", "minimal-state"
OLD, NEW = Images(agent="agent:1"), Images(agent="agent:2")
ANNOTATION = "resilientslice.dev/installation"


@dataclass
class Installation(World):
    """A world of its own over the namespace of another one: caches, agents' view, and a Lease."""

    lease: str = ""
    images: Images = OLD
    clock: list[float] = field(default_factory=lambda: [0.0])

    def __init__(self, other: World, lease: str, *, images: Images = OLD, clock: list[float] | None = None) -> None:
        self.lease, self.images = lease, images
        self.clock = clock if clock is not None else [0.0]
        super().__init__(other.client._session, other.others, other.namespace, other.log)
        self.now = other.now

    @property
    def installation(self) -> str:
        return f"{self.namespace}/{self.lease}" if self.lease else ""

    def restart(self, agents=None):
        self.agents = PlayedAgents()
        self.slices = Slices(on_change=lambda key: None)
        self.children = Children(on_change=lambda key: None, shape=noted, namespaces=(self.namespace,))
        self.reconciler = assemble(
            self.client,
            self.slices,
            self.children,
            self.agents,
            settings=Settings(self.images),
            clock=lambda: self.now,
            installation=self.installation,
        )
        self.reconciler.standing.claims.monotonic = lambda: self.clock[0]

    async def renew(self):
        """Its Lease shows a sign of life."""
        spec = {"holderIdentity": self.lease, "leaseDurationSeconds": 15}
        metadata = {"namespace": self.namespace, "name": self.lease}
        lease: Object = {"apiVersion": LEASE.api_version, "kind": "Lease", "metadata": metadata}
        found = await self.others.find(LEASE, self.namespace, self.lease)
        term = (found["spec"].get("leaseTransitions", 0) + 1) if found else 1
        await self.others.apply({**lease, "spec": {**spec, "leaseTransitions": term}}, manager="lease", force=True)


@pytest.fixture
async def first(api, namespace, client):
    log: list[tuple[str, str]] = []
    async with Session(api.login, observe=lambda verb, kind, status, seconds: log.append((verb, kind))) as session:
        world = Installation(World(session, client, namespace, log), "first")
        await world.renew()
        yield world


@pytest.fixture
async def second(first):
    """Of another version: it makes proxies otherwise."""
    world = Installation(first, "second", images=NEW, clock=first.clock)
    await world.renew()
    return world


async def turns(*worlds, times=4):
    """Passes alternate, and controllers act; both Leases are renewed. Returns what was written."""
    made = []
    for _ in range(times):
        for world in worlds:
            try:
                made += writes(await world.reconcile(NAME))
            except ConflictError:
                made.append(("conflict", world.lease))
            world.now += 1
            await world.control()
    return made


async def generations(world):
    found = await world.others.list_all(DEPLOYMENT, world.namespace)
    return {obj["metadata"]["name"]: obj["metadata"]["generation"] for obj in found}


async def events(world, reason):
    """What was told for a reason, the oldest first."""
    found = await world.others.list_all(EVENT, world.namespace)
    told = [event for event in found if event["reason"] == reason]
    return [event["note"] for event in sorted(told, key=lambda event: event["eventTime"])]


async def holder(world):
    state = await world.others.get(CONFIG_MAP, world.namespace, STATE)
    return state["metadata"]["annotations"].get(ANNOTATION)


async def is_ready(world):
    return (await world.slice(NAME))["status"]["phase"] == "Ready"


async def test_one_manages_a_slice_and_the_other_says_so_and_changes_nothing(first, second):
    await first.apply(sample(NAME))
    await turns(first, second)
    before = await generations(first)
    second.agents.pushed.clear()
    made = await turns(first, second, times=3)
    assert await generations(first) == before
    assert made == [], "and at rest nobody writes"
    assert second.agents.pushed == []
    assert await is_ready(first)
    assert await holder(first) == first.installation
    (said,) = await events(first, "ManagedByAnother")
    assert first.installation in said
    assert second.installation in said
    status, reason, message = await first.condition(NAME, "OperatorConflict")
    assert (status, reason) == ("True", "MultipleInstallations")
    assert second.installation in message
    assert second.reconciler.standing.claims.elsewhere == 1
    edited = sample(NAME)
    edited["spec"]["services"][0]["replicas"] = 3
    await first.apply(edited)
    await turns(second, first)
    assert await is_ready(first)
    assert [images(obj) for obj in await proxies(first)] == ["agent:1"]


async def proxies(world):
    return [await world.others.get(DEPLOYMENT, world.namespace, f"{NAME}-proxy")]


def images(deployment):
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return next(found["image"] for found in containers if found["name"] == "agent")


async def test_of_two_that_start_at_the_same_moment_one_gets_a_new_slice(first, second):
    await first.apply(sample(NAME))
    await first.sync()
    await second.sync()
    key = SliceKey(first.namespace, NAME)
    await asyncio.gather(*(world.reconciler.reconcile(key) for world in (first, second)), return_exceptions=True)
    await turns(first, second)
    before = await generations(first)
    assert await turns(first, second) == []
    assert await generations(first) == before
    winner = first if await holder(first) == first.installation else second
    assert [images(obj) for obj in await proxies(first)] == [winner.images.agent]
    assert len(await events(first, "ManagedByAnother")) == 1
    assert await is_ready(first)


async def test_of_two_that_find_a_slice_of_an_older_version_one_gets_it(first, second):
    former = Installation(first, "", images=OLD)
    await former.apply(sample(NAME))
    await turns(former)
    assert await holder(first) is None
    await first.sync()
    await second.sync()
    key = SliceKey(first.namespace, NAME)
    await asyncio.gather(*(world.reconciler.reconcile(key) for world in (first, second)), return_exceptions=True)
    await turns(first, second)
    assert await turns(first, second) == []
    assert await holder(first) in (first.installation, second.installation)


async def test_an_upgrade_claims_each_slice_by_one_write(first):
    former = Installation(first, "", images=OLD)
    await former.apply(sample(NAME))
    await turns(former)
    before = await generations(first)
    first.agents.running = former.agents.running
    first.agents.pods = former.agents.pods
    assert await turns(first) == [("apply", "ConfigMap")]
    assert await generations(first) == before
    assert await holder(first) == first.installation


async def test_the_other_takes_over_when_the_first_is_gone_and_leaves_no_field_behind(first, second):
    await first.apply(sample(NAME))
    await turns(first, second)
    first.clock[0] += 50
    await first.renew()
    await second.reconcile(NAME)
    first.clock[0] += 50
    await second.reconcile(NAME)
    assert await holder(first) == first.installation, "it was seen 50 s ago"
    first.clock[0] += 61
    second.now += 100
    await turns(second)
    assert await holder(first) == second.installation
    assert [images(obj) for obj in await proxies(first)] == ["agent:2"]
    managers = {entry["manager"] for obj in await proxies(first) for entry in obj["metadata"]["managedFields"]}
    assert managers <= {"resilientslice", "controllers"}
    await second.renew()
    assert await turns(second) == []
    assert await first.condition(NAME, "OperatorConflict") is None, "nobody contends any more"
    await turns(first, second)
    assert await holder(first) == second.installation
    assert (await events(first, "ManagedByAnother"))[-1].startswith(
        f"The operator whose Lease is {second.installation}"
    )


@pytest.mark.parametrize("gone", ["deleted", "released"])
async def test_an_installation_that_was_removed_is_not_waited_for(first, second, gone):
    await first.apply(sample(NAME))
    await turns(first, second)
    if gone == "deleted":
        await first.others.delete(LEASE, first.namespace, "first")
    else:
        lease = await first.others.get(LEASE, first.namespace, "first")
        lease["spec"]["holderIdentity"] = ""
        await first.others.replace(lease)
    for _ in range(5):
        first.clock[0] += 21
        second.now += 21
        await second.reconcile(NAME)
    assert await holder(first) == second.installation


async def test_a_lease_that_may_not_be_read_counts_as_alive_and_the_way_out_is_said(first, second, monkeypatch):
    await first.apply(sample(NAME))
    await turns(first)
    get = second.client.get

    async def forbidden(kind, *args):
        if kind is LEASE:
            raise ForbiddenError("get Lease", status=403, message="no")
        return await get(kind, *args)

    monkeypatch.setattr(second.client, "get", forbidden)
    for _ in range(5):
        second.clock[0] += 100
        await second.reconcile(NAME)
    assert await holder(first) == first.installation
    (said,) = await events(first, "ManagedByAnother")
    assert f"remove the annotation {ANNOTATION} of ConfigMap {STATE}" in said
    body = {"metadata": {"annotations": {ANNOTATION: None}}}
    await first.others.merge(CONFIG_MAP, first.namespace, STATE, body, manager="person")
    await turns(second)
    assert await holder(first) == second.installation


@pytest.mark.parametrize("value", ["nonsense", "../x", "a/b?c", "a/b/c", "/"])
async def test_a_claim_that_is_nobodys_is_none(first, value):
    await first.apply(sample(NAME))
    await turns(first)
    body = {"metadata": {"annotations": {ANNOTATION: value}}}
    await first.others.merge(CONFIG_MAP, first.namespace, STATE, body, manager="person")
    await turns(first)
    assert await holder(first) == first.installation


async def test_a_claim_on_somebody_elses_object_is_not_made(first):
    metadata = {"namespace": first.namespace, "name": STATE}
    before = await first.others.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    await first.apply(sample(NAME))
    await turns(first)
    after = await first.others.get(CONFIG_MAP, first.namespace, STATE)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert (await first.condition(NAME, "NameConflict"))[0] == "True"


async def test_a_claim_that_was_made_and_nothing_more_is_gone_on_from(first, monkeypatch):
    """The operator ended right after it."""
    await first.apply(sample(NAME))
    with monkeypatch.context() as patch:

        async def failing(*args, **more):
            raise KubeError("apply", status=500, message="the end")

        patch.setattr(KubeClient, "apply", failing)
        with pytest.raises(KubeError):
            await first.reconcile(NAME)
    assert await holder(first) == first.installation
    first.restart()
    await first.settle(NAME)
    assert await is_ready(first)


async def test_an_operator_that_makes_no_claims_is_noticed_and_left_to_it(first):
    """Of an older version: it continues, whatever is claimed. It is tried once more, and later still."""
    former = Installation(first, "", images=NEW)
    await first.apply(sample(NAME))
    await turns(first, former, times=8)
    before = await generations(first)
    made = await turns(first, former, times=4)
    assert [request for request in made if request[1] not in ("ResilientSlice", "Event")] == []
    assert await generations(first) == before
    status, reason, message = await first.condition(NAME, "OperatorConflict")
    assert (status, reason) == ("True", "MultipleInstallations")
    assert "another operator" in message.lower()
    assert len(await events(first, "MultipleInstallations")) == 1
    first.now = former.now = max(first.now, former.now) + 310
    await turns(first, former, times=4)
    later = await generations(first)
    assert sum(later.values()) - sum(before.values()) <= 2
    first.now += 400
    await turns(first, former, times=2)
    assert await generations(first) == later, "the second pause is longer"


async def test_without_another_one_nothing_of_it_is_seen(first):
    await first.apply(sample(NAME))
    await first.settle(NAME)
    assert await first.condition(NAME, "OperatorConflict") is None
    for _ in range(3):
        first.now += 3600
        assert await first.reconcile(NAME) == []
