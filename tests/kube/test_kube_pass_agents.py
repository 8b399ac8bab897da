"""The pass with the fleet and agents that sign as real ones do, on loopback addresses of their own."""

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest
from tests.kube.conftest import until

from resilientslice.envoys import UnusableKeyError
from resilientslice.envoys.keys import signing_keys
from testkit.agents_world import AgentsWorld, agents_world
from testkit.pass_world import writes


@pytest.fixture
async def world(api, namespace, client, tmp_path) -> AsyncIterator[AgentsWorld]:
    async with agents_world(api.login, client, namespace, tmp_path) as made:
        yield made


def fakes_of(world):
    return world.agents_


async def test_a_slice_comes_up_with_agents_that_sign(world):
    assert (await world.slice("minimal"))["status"]["phase"] == "Ready"
    assert {fake.digest for fake in fakes_of(world)} == {(await world.slice("minimal"))["status"]["config"]["digest"]}
    assert await world.reconcile("minimal") == []


async def test_an_operator_that_takes_over_asks_and_pushes_nothing(world):
    pushes = [fake.pushes for fake in fakes_of(world)]
    world.start(term=2)
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


async def test_a_slice_is_ready_once_its_envoys_have_found_its_pods(world):
    one, two = fakes_of(world)
    found, one.found = one.found, one.found | {"web-stable": 0}
    assert await world.look()
    await world.reconcile("minimal")
    assert (await world.condition("minimal", "Ready"))[:2] == ("False", "EndpointsNotDiscovered")
    assert not await world.look(), "nothing has changed"
    one.found = two.found = found
    asking = asyncio.create_task(world.speaking.run())
    try:
        await until(lambda: world.woken == [world.own_key], "they are asked again within a second or two")
    finally:
        asking.cancel()
    await world.reconcile("minimal")
    assert (await world.condition("minimal", "Ready"))[0] == "True"


@pytest.mark.parametrize("data", [{}, {"current": "§"}, {"current": base64.b64encode(b"short").decode()}], ids=str)
def test_a_key_that_cannot_be_used_says_why(data):
    with pytest.raises(UnusableKeyError):
        signing_keys({"metadata": {"name": "x"}, "data": data})
