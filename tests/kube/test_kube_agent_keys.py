"""The agents' key is replaced while they and the operator keep speaking, whoever replaces it; no key is ever told."""

import base64
import json
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from resilientslice.envoys import new_key
from resilientslice.envoys.key_rotation import MOST_SECONDS, ROTATE_ANNOTATION, ROTATED_AT_ANNOTATION
from resilientslice.kube.errors import ForbiddenError
from resilientslice.kube.kinds import EVENT, SECRET
from testkit.agents_world import NAME, SECRET_NAME, AgentsWorld, agents_world
from testkit.pass_world import writes


@pytest.fixture
async def world(api, namespace, client, tmp_path) -> AsyncIterator[AgentsWorld]:
    async with agents_world(api.login, client, namespace, tmp_path) as made:
        yield made


def encoded(key: str) -> str:
    return base64.b64encode(key.encode()).decode()


async def pushed(world) -> bool:
    """Whether an edit reaches every agent."""
    before = (await world.slice(NAME))["status"]["config"]["digest"]
    timeout = world.document["spec"].get("resilience", {}).get("timeout", "1s")
    world.document["spec"]["resilience"] = {"timeout": f"{int(timeout[:-1]) + 1}s"}
    await world.apply(world.document)
    await world.reconcile(NAME)
    config = (await world.slice(NAME))["status"]["config"]
    assert config["digest"] != before
    return {fake.digest for fake in world.agents_} == {config["digest"]}


async def told(world) -> Counter[tuple[str, str]]:
    found = await world.others.list_all(EVENT, world.namespace)
    return Counter((event["type"], event["reason"]) for event in found if event["reason"].startswith("AgentKey"))


async def test_a_key_is_drawn_once_and_owned(world):
    made = await world.secret()
    uid = (await world.slice(NAME))["metadata"]["uid"]
    assert [owner["uid"] for owner in made["metadata"]["ownerReferences"]] == [uid]
    assert len((await world.keys())[0]) == 64
    assert "previous" not in made["data"]


async def test_an_annotation_replaces_the_key_and_nobody_is_locked_out(world):
    first = (await world.keys())[0]
    await world.ask_for_rotation("1")
    made = writes(await world.reconcile(NAME))
    assert made == [("patch", "Secret"), ("create", "Event")]
    second, previous = await world.keys()
    assert (previous, second != first) == (first, True)
    assert await told(world) == {("Normal", "AgentKeyRotated"): 1}
    assert await pushed(world), "the agents know only the former key"
    await world.deliver(0)
    await world.look()
    assert writes(await world.reconcile(NAME)) == [], "one agent does not know the new key yet"
    assert await pushed(world)
    await world.deliver(1)
    assert await world.look(), "what was shown is worth a pass"
    assert writes(await world.reconcile(NAME)) == [("patch", "Secret"), ("create", "Event")]
    assert await world.keys() == (second, "")
    assert await told(world) == {("Normal", "AgentKeyRotated"): 1, ("Normal", "AgentKeyRotationComplete"): 1}
    assert await pushed(world), "the agents still sign with both"
    await world.deliver(0, 1)
    assert await pushed(world)
    noted = (await world.secret())["metadata"]["annotations"]
    assert (noted[ROTATE_ANNOTATION], ROTATED_AT_ANNOTATION in noted) == ("1", False)
    await world.settle(NAME)
    for _ in range(3):
        world.now += 3600
        await world.look()
        assert await world.reconcile(NAME) == [], "the same value asks for nothing"


async def test_no_key_is_ever_told(world, caplog, capfd):
    await world.ask_for_rotation("1")
    await world.reconcile(NAME)
    await world.deliver(0, 1)
    await world.look()
    keys = [key for key in await world.keys() if key]
    await world.reconcile(NAME)
    said = [json.dumps(await world.slice(NAME)), caplog.text, *capfd.readouterr()]
    said += [json.dumps(event) for event in await world.others.list_all(EVENT, world.namespace)]
    said += [repr(world.speaking), repr(world.fleet._slices), repr(world.fleet.view(world.own_key))]
    for key in keys:
        assert not any(key in text or encoded(key) in text for text in said)


async def test_a_restart_in_between_completes_it(world):
    await world.ask_for_rotation("1")
    await world.reconcile(NAME)
    world.start(term=2)
    assert writes(await world.reconcile(NAME)) == []
    await world.deliver(0, 1)
    await world.look()
    await world.reconcile(NAME)
    assert (await world.keys())[1] == ""
    assert (await told(world))["Normal", "AgentKeyRotationComplete"] == 1


async def test_a_proxy_that_never_shows_it_is_not_waited_for_and_finds_back(world):
    await world.ask_for_rotation("1")
    await world.reconcile(NAME)
    await world.deliver(0)
    await world.look()
    assert writes(await world.reconcile(NAME)) == []
    assert world.held(NAME).key_due == pytest.approx(world.now + MOST_SECONDS, abs=1)
    world.now += MOST_SECONDS
    await world.reconcile(NAME)
    assert (await world.keys())[1] == ""
    (event,) = await world.events("AgentKeyNotConfirmed")
    assert event["type"] == "Warning"
    assert "(minimal-proxy-1)" in event["note"]
    assert not await pushed(world), "it knows only the former key"
    await world.deliver(1)
    await world.settle(NAME)
    assert (await world.slice(NAME))["status"]["config"]["acked"] == 2


async def test_one_rotation_after_the_other(world):
    await world.ask_for_rotation("1")
    await world.reconcile(NAME)
    second = (await world.keys())[0]
    await world.ask_for_rotation("2")
    assert writes(await world.reconcile(NAME)) == []
    await world.deliver(0, 1)
    await world.look()
    await world.reconcile(NAME)
    await world.reconcile(NAME)
    third, previous = await world.keys()
    assert (previous, third != second) == (second, True)
    assert (await world.secret())["metadata"]["annotations"][ROTATE_ANNOTATION] == "2"


async def test_a_key_that_a_person_put_there_is_taken_up(world):
    first, new = (await world.keys())[0], new_key()
    await world.change_secret({"data": {"current": encoded(new), "previous": encoded(first)}})
    assert await world.reconcile(NAME) == [], "nothing tells of it yet"
    await world.deliver(0)
    assert await world.look(), "it signs with a key that nobody else has"
    assert writes(await world.reconcile(NAME)) == [("create", "Event")]
    assert await pushed(world)
    await world.deliver(1)
    await world.look()
    await world.reconcile(NAME)
    assert await world.keys() == (new, "")
    assert await told(world) == {("Normal", "AgentKeyRotated"): 1, ("Normal", "AgentKeyRotationComplete"): 1}


async def test_a_key_that_was_replaced_at_once_is_taken_up(world):
    """Without the former one: agents and operator part, and find together without a restart."""
    new = new_key()
    await world.change_secret({"data": {"current": encoded(new)}})
    await world.deliver(0, 1)
    assert await world.look(), "the answer is signed with another key"
    await world.reconcile(NAME)
    assert await pushed(world)
    assert (await world.keys())[0] == new


async def test_a_secret_that_was_deleted_is_made_anew(world):
    first = (await world.keys())[0]
    await world.others.delete(SECRET, world.namespace, SECRET_NAME)
    assert await world.reconcile(NAME) == []
    await world.deliver(0, 1)
    assert await world.look(), "the agents have no key"
    assert ("create", "Secret") in writes(await world.reconcile(NAME))
    assert (await world.keys())[0] != first
    await world.deliver(0, 1)
    world.now += 60
    await world.look()
    assert await pushed(world)
    assert await told(world) == {("Normal", "AgentKeyRotated"): 1}


async def test_an_agent_that_signs_with_no_key_costs_few_readings(world):
    (world.folder / "0" / "current").write_text(new_key())
    begun, until = len(world.log), world.now + 600
    while world.now < until:
        await world.look()
        await world.reconcile(NAME)
        world.now += 2
    reads = world.log[begun:].count(("get", "Secret"))
    assert 3 <= reads <= 8
    assert "Secret" not in {kind for _, kind in writes(world.log[begun:])}


async def test_who_was_quicker_is_not_overwritten(world):
    first = (await world.keys())[0]
    await world.change_secret({"metadata": {"labels": {"team": "shop"}}})
    await world.ask_for_rotation("1")
    await world.reconcile(NAME)
    assert await world.keys() == (first, ""), "it was not what had been read"
    assert world.held(NAME).key_due == world.now
    await world.reconcile(NAME)
    assert (await world.keys())[1] == first
    assert (await world.secret())["metadata"]["labels"]["team"] == "shop"
    assert await told(world) == {("Normal", "AgentKeyRotated"): 1}


async def test_a_secret_that_is_somebody_elses_is_left_alone(api, namespace, client, tmp_path):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET_NAME}, "stringData": {}}
    secret["stringData"]["current"] = key = new_key()
    async with agents_world(api.login, client, namespace, tmp_path, secret) as world:
        await world.ask_for_rotation("1")
        for _ in range(3):
            await world.reconcile(NAME)
            world.now += 60
        assert await world.keys() == (key, "")
        assert await told(world) == {("Warning", "AgentKeyNotRotated"): 1}


async def test_a_missing_right_is_told_once_and_tried_again(world, monkeypatch):
    allowed = world.client.merge

    async def forbidden(*_, **__):
        raise ForbiddenError("Secret", status=403, message='secrets "x" is forbidden: User "operator" cannot patch')

    monkeypatch.setattr(world.client, "merge", forbidden)
    await world.ask_for_rotation("1")
    for _ in range(3):
        await world.reconcile(NAME)
        assert world.deadline is not None
        world.now = world.deadline
    assert await told(world) == {("Warning", "AgentKeyNotRotated"): 1}
    monkeypatch.setattr(world.client, "merge", allowed)
    await world.reconcile(NAME)
    assert (await told(world))["Normal", "AgentKeyRotated"] == 1


async def test_a_broken_secret_stalls_and_mends_without_a_restart(world):
    await world.change_secret({"data": {"current": encoded("short")}})
    await world.deliver(0, 1)
    assert await world.look()
    await world.reconcile(NAME)
    _, reason, message = await world.condition(NAME, "Stalled")
    assert reason == "AgentKeyInvalid"
    assert f"Secret {SECRET_NAME}, current: the key has 5 bytes" in message
    assert world.deadline is not None
    await world.change_secret({"data": {"current": encoded(new_key())}})
    await world.deliver(0, 1)
    world.now = world.deadline
    await world.settle(NAME)
    assert (await world.condition(NAME, "Stalled"))[0] == "False"
    assert await pushed(world)
