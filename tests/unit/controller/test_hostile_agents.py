"""One tenant's agents say anything, signed; the operator lives, others lose nothing by it, and the pod is named.

`RSLICE_HOSTILE_ANSWERS=10000 SEED=1 scripts/pytest.sh tests/unit/controller/test_hostile_agents.py -s` for more of it.
"""

import asyncio
import dataclasses
import json
import os
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from hostile_agents import Hostile, World, world

ANSWERS = int(os.environ.get("RSLICE_HOSTILE_ANSWERS", "500"))
EDITS = 8


@pytest.fixture
async def at(client, tmp_path):
    async def nothing(*_, **__):
        return []

    client.list_all = nothing
    async with world(client, tmp_path) as (made, key):
        made.key = key
        yield made


def fakes(at: World):
    return list(at.fakes.agents.values())


@pytest.mark.timeout(1800)
async def test_the_operator_lives_others_lose_nothing_and_the_pod_is_named(at, caplog, capsys):
    bad, good = await at.create("bad", at.key, 2), await at.create("good", at.key, 2)
    hostile, honest, *others = fakes(at)
    assert at.condition(good, "Ready")["status"] == at.condition(bad, "Ready")["status"] == "True"
    before = await at.edits(good, EDITS, others)
    seed = int(os.environ.get("SEED", "0") or 0) or random.randrange(1 << 30)
    hostile.hostile = Hostile(random.Random(seed))
    asking = asyncio.create_task(at.speaking.run())
    meanwhile, rounds = await _under_attack(at, bad, good, hostile, others)
    assert not asking.done(), "agents are asked on"
    asking.cancel()
    with capsys.disabled():
        ratio = meanwhile.seconds / rounds / before.seconds
        print(f"\n{hostile.hostile.answers} answers, seed {seed}: an edit of others took {ratio:.2f} times as long")
    assert meanwhile.counted <= 2 * rounds * before.counted
    assert honest.digest == at.status(bad)["config"]["digest"], "the other agent of the slice has what it is to run"
    assert (honest.epoch[0], honest.epoch[1] < 1 << 53) == (3, True)
    assert all(fake.epoch[1] < 200 * (rounds + 1) for fake in others), "their sequence is their slice's own"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    for answer in ({"counters": "none"}, {"epoch": [9, 1]}):
        await _names_the_pod(at, bad, hostile, answer)
    assert at.condition(good, "ConfigAccepted")["status"] == "True"


async def _under_attack(at, bad, good, hostile, others):
    total, rounds, edit = None, 0, 0
    while hostile.hostile.answers < ANSWERS:
        for _ in range(10):
            await at.look(bad)
        edit += 1
        at.edit(bad, f"{edit % 50 + 1}s")
        at.woken.clear()
        await at.rest(bad, most=3)
        text = json.dumps(at.status(bad))
        assert len(text) < 100_000
        assert "\\u001b" not in text
        if edit % 20 == 1:
            work, rounds = await at.edits(good, EDITS, others), rounds + 1
            total = work if total is None else _sum(total, work)
    return total, rounds


def _sum(one, two):
    return type(one)(*(getattr(one, name) + getattr(two, name) for name in type(one).__dataclass_fields__))


async def _names_the_pod(at, bad, hostile, answer):
    class Certain(Hostile):
        def body(self, honest):
            return json.dumps({**honest, **answer}).encode()

        def pushed(self, honest):
            return 200, honest

    hostile.hostile = Certain(random.Random(1))
    for _ in range(2):  # the first hands it what it has missed, and it answers that well
        await at.look(bad)
        await at.rest(bad)
    found = at.condition(bad, "ConfigAccepted")
    assert found["reason"] in ("InvalidAgentResponse", "ConfigRejected")
    assert found["status"] == ("Unknown" if found["reason"] == "InvalidAgentResponse" else "False")
    assert f"bad-proxy-1-{hostile.name} " in found["message"]
    writes = at.client.writes["status"]
    for _ in range(5):
        await at.look(bad)
        await at.rest(bad)
    assert at.client.writes["status"] == writes, "it is said once"


async def test_an_error_of_our_own_ends_with_the_slice_and_is_seen(at, monkeypatch, caplog):
    bad, good = await at.create("bad", at.key, 2), await at.create("good", at.key, 2)
    real = at.fleet.poll

    async def poll(key):
        if key == bad:
            raise ZeroDivisionError("a defect")
        await real(key)

    monkeypatch.setattr(at.fleet, "poll", poll)
    told = []
    at.speaking.failed = lambda *failure: told.append(failure)
    asking = asyncio.create_task(at.speaking.run())
    asked = fakes(at)[2].asked
    try:
        for key in (bad, good):
            at.speaking.look_again(key)
        while fakes(at)[2].asked == asked or not told:
            await asyncio.sleep(0.01)
    finally:
        asking.cancel()
    key, _, error = told[0]
    assert (key, type(error)) == (bad, ZeroDivisionError)


async def test_a_push_goes_on_for_the_others_whatever_one_claims_to_hold(at):
    bad = await at.create("bad", at.key, 2)
    one, other = fakes(at)[:2]
    for held in ([3, (1 << 53) - 1], [3, 5_000_000], [4, 1], [1 << 52, 1], [3, 1 << 63], [3, -1]):

        class Claims(Hostile):
            held: list[int]

            def pushed(self, honest):
                return 409, {"error": "stale", "held": self.held}

            def body(self, honest):
                return json.dumps(honest).encode()

        one.hostile = Claims(random.Random(1))
        one.hostile.held = held
        before = other.epoch
        at.edit(bad, f"{before[1] + 3}s")
        await at.rest(bad, most=2)
        assert before < other.epoch < [3, 1000], held
        assert other.digest == at.status(bad)["config"]["digest"]
        found = at.condition(bad, "ConfigAccepted")
        assert found["status"] == "Unknown"
        assert f"bad-proxy-1-{one.name} " in found["message"], held


async def test_an_agent_that_holds_more_of_this_term_is_believed_while_another_one_lies(at):
    """As after a restart of the operator within its term: sequences begin anew."""
    bad = await at.create("bad", at.key, 2)
    one, other = fakes(at)[:2]
    one.epoch, other.epoch = [9, 1], [3, 700]
    at.edit(bad, "9s")
    await at.rest(bad, most=3)
    assert other.digest == at.status(bad)["config"]["digest"]
    assert [3, 700] < other.epoch < [3, 800]


async def test_slices_have_a_sequence_each(at):
    bad, good = await at.create("bad", at.key, 2), await at.create("good", at.key, 2)
    for number in range(5):
        at.edit(bad, f"{number + 2}s")
        await at.rest(bad)
    before = fakes(at)[2].epoch
    at.edit(good, "9s")
    await at.rest(good)
    assert fakes(at)[2].epoch == [3, before[1] + 1]
    assert fakes(at)[0].epoch[1] >= 6


async def test_a_claim_of_a_newer_term_is_doubted_before_anything_was_sent(at):
    """By an operator that has just begun to lead, and finds every Envoy as it is to be."""
    bad = await at.create("bad", at.key, 2)
    one, _ = fakes(at)[:2]
    at.fleet.forget(bad)
    at.speaking._known.clear()
    one.epoch = [9, 1]
    pushes = one.pushes
    await at.rest(bad)
    assert one.pushes == pushes
    assert [agent.pod for agent in at.fleet.view(bad).envoys.proxies.silent] == ["bad-proxy-1-fake-1"]


async def test_a_pod_that_ends_and_one_without_an_address_hold_up_nobody(at):
    bad = await at.create("bad", at.key, 2)
    pods = at.children.proxies(bad)
    ending = dataclasses.replace(pods[0], deleting=True)
    nowhere = dataclasses.replace(pods[1], ip="", uid="other", name="other")
    await at.speaking.follow(bad, [ending, pods[1], nowhere], at.reconciler.states[bad].slice_)
    assert at.fleet.view(bad).envoys.proxies.pods == (pods[1].name,)


async def test_a_slice_is_looked_at_once_its_agent_makes_no_sense_and_once_it_does_again(at):
    bad = await at.create("bad", at.key, 2)
    one = fakes(at)[0]
    at.woken.clear()
    await at.look(bad)
    assert at.woken == []

    class Senseless(Hostile):
        def body(self, honest):
            return b"[]"

    for hostile in (Senseless(random.Random(1)), None):
        one.hostile = hostile
        at.woken.clear()
        await at.look(bad)
        assert at.woken == [bad]
        await at.rest(bad)
        named = f"bad-proxy-1-{one.name} " in at.condition(bad, "ConfigAccepted").get("message", "")
        assert named is (hostile is not None)
