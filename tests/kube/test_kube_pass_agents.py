"""The pass with the fleet and agents that sign as real ones do, on loopback addresses of their own."""

import base64
import importlib.util
import sys
from collections.abc import AsyncIterator

import pytest
import yaml
from tests.apiserver.conftest import ROOT
from tests.kube.pass_world import World, writes

from resilientslice.cluster.agent_keys import AgentKeys, signing_keys
from resilientslice.cluster.agents import FleetAgents
from resilientslice.fleet import Fleet, UnusableKeyError, new_key
from resilientslice.kube.kinds import POD, SECRET, SliceKey
from resilientslice.kube.session import Session

FAKES = ROOT / "tests" / "unit" / "fleet" / "fake_agents.py"


def fake_agents():
    """The module of the fleet's own tests."""
    spec = importlib.util.spec_from_file_location("fake_agents_of_the_fleet", FAKES)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def world(api, namespace, client, tmp_path) -> AsyncIterator[World]:
    """The smallest sample is up, with two signing agents."""
    log: list[tuple[str, str]] = []
    key = new_key()
    (tmp_path / "current").write_text(key)
    module = fake_agents()
    async with (
        Session(api.login, observe=lambda verb, kind, status, seconds: log.append((verb, kind))) as session,
        module.FakeAgents(2, tmp_path) as fakes,
        Fleet() as fleet,
    ):
        made = World(session, client, namespace, log)
        made.subnet, made.fakes, made.fleet, made.woken, made.term = "127.1.0", fakes, fleet, [], 1
        port = int(next(iter(fakes.agents)).rpartition(":")[2])

        def agents():
            secrets = AgentKeys(made.client, monotonic=lambda: made.now, wall=lambda: made.now)
            return FleetAgents(
                secrets, fleet, term=lambda: made.term, check=lambda: None, wake=made.woken.append, port=port
            )

        made.new_agents = agents
        made.restart(agents())
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "minimal-agent-key"}}
        secret["metadata"]["namespace"] = namespace
        await client.create({**secret, "stringData": {"current": key}})
        made.document = yaml.safe_load((ROOT / "samples" / "minimal.yaml").read_text())
        await made.apply(made.document)
        await made.reconcile("minimal")
        await made.control()
        for pod in await client.list_all(POD, namespace):
            found = fakes.agents[f"{pod['status']['podIP']}:{port}"]
            found.guard = module.Guard(fakes._ring, pod["metadata"]["uid"], fakes._metrics)
        await made.settle("minimal")
        yield made


def fakes_of(world):
    return list(world.fakes.agents.values())


async def test_a_slice_comes_up_with_agents_that_sign(world):
    assert (await world.slice("minimal"))["status"]["phase"] == "Ready"
    assert {fake.digest for fake in fakes_of(world)} == {(await world.slice("minimal"))["status"]["config"]["digest"]}
    assert await world.reconcile("minimal") == []


async def test_an_operator_that_takes_over_asks_and_pushes_nothing(world):
    pushes = [fake.pushes for fake in fakes_of(world)]
    world.fleet.forget((world.namespace, "minimal"))
    world.term = 2
    world.restart(world.new_agents())
    assert writes(await world.reconcile("minimal")) == []
    assert [fake.pushes for fake in fakes_of(world)] == pushes


async def test_a_process_of_the_same_term_goes_on_above_its_epochs(world):
    for fake in fakes_of(world):
        fake.epoch = [1, 500]
    world.document["spec"]["resilience"] = {"timeout": "7s"}
    await world.apply(world.document)
    await world.settle("minimal")
    assert (await world.slice("minimal"))["status"]["config"]["acked"] == 2
    assert all(tuple(fake.epoch) > (1, 500) for fake in fakes_of(world))


async def test_a_refusal_is_told_in_envoys_words(world):
    for fake in fakes_of(world):
        fake.refusal = (422, {"accepted": False, "type": "listeners", "message": "port in use", "serving": fake.digest})
    world.document["spec"]["resilience"] = {"timeout": "7s"}
    await world.apply(world.document)
    await world.settle("minimal")
    assert (await world.condition("minimal", "ConfigAccepted"))[2] == "Envoy says: listeners: port in use"


async def test_a_key_is_drawn_once_and_owned(api, world):
    await world.others.delete(SECRET, world.namespace, "minimal-agent-key")
    agents = world.new_agents()
    world.restart(agents)
    await world.reconcile("minimal")
    made = await world.others.get(SECRET, world.namespace, "minimal-agent-key")
    uid = (await world.slice("minimal"))["metadata"]["uid"]
    assert [owner["uid"] for owner in made["metadata"]["ownerReferences"]] == [uid]
    assert len(base64.b64decode(made["data"]["current"])) == 64
    assert signing_keys(made).previous is None
    agents.forget(SliceKey(world.namespace, "minimal"))


@pytest.mark.parametrize("data", [{}, {"current": "§"}, {"current": base64.b64encode(b"short").decode()}], ids=str)
def test_a_key_that_cannot_be_used_says_why(data):
    with pytest.raises(UnusableKeyError):
        signing_keys({"metadata": {"name": "x"}, "data": data})
