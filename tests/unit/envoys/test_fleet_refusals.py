"""What Envoys refused: remembered of each, counted only of those that callers may be sent to."""

import dataclasses

from resilientslice.agent.resources import json_digest
from resilientslice.envoys import Rejected

KEY = ("shop", "shop")
CONFIG = {"clusters": [], "endpoints": [], "listeners": [], "routes": []}
DIGEST = json_digest(CONFIG)


def agents(fakes):
    return list(fakes.agents.values())


async def test_what_an_agent_cannot_even_read_is_not_offered_again_after_a_poll(fleet, fakes):
    """It answers 400 and keeps no note of it, as one does whose operator knows more fields."""
    for agent in agents(fakes):
        agent.refusal = (400, {"error": "no such field: x"})
    report = await fleet.push(KEY, CONFIG, DIGEST, (1, 1))
    assert report.rejected == Rejected("no such field: x")
    for agent in agents(fakes):
        agent.refusal = None
    await fleet.poll(KEY)
    view = fleet.view(KEY)
    assert view.missed(DIGEST) == ()
    assert view.envoys.proxies.refusing(DIGEST) == dict.fromkeys(("fake-1", "fake-2"), "no such field: x")


async def test_accepting_it_after_all_ends_the_refusal(fleet, fakes):
    refused = agents(fakes)[0]
    refused.refusal = (400, {"error": "no"})
    await fleet.push(KEY, CONFIG, DIGEST, (1, 1))
    refused.refusal = None
    await fleet.push(KEY, CONFIG, DIGEST, (1, 2))
    assert fleet.view(KEY).envoys.proxies.refusing(DIGEST) == {}
    assert fleet.view(KEY).envoys.proxies.all_run(DIGEST)


async def test_an_envoy_that_accepts_nothing_and_serves_nobody_holds_up_nobody(fleet, fakes, pods, keys):
    new = agents(fakes)[1]
    new.refusal = (422, {"digest": DIGEST, "accepted": False, "type": "listeners", "message": "no", "serving": ""})
    fleet.set_members(KEY, [pods[0], dataclasses.replace(pods[1], ready=False)], keys)
    await fleet.push(KEY, CONFIG, DIGEST, (1, 1))
    proxies = fleet.view(KEY).envoys.proxies
    assert proxies.all_run(DIGEST)
    assert [(refusal.instance, refusal.words) for refusal in proxies.idle] == [("fake-2", "listeners: no")]
    assert (proxies.refusals, proxies.instances) == ((), frozenset({"fake-1", "fake-2"}))
    fleet.set_members(KEY, pods, keys)
    assert not fleet.view(KEY).envoys.proxies.all_run(DIGEST), "callers are sent to it now"


async def test_where_all_refuse_that_is_the_slices_state(fleet, fakes, pods, keys):
    for agent in agents(fakes):
        agent.refusal = (422, {"digest": DIGEST, "accepted": False, "type": "", "message": "no", "serving": ""})
    fleet.set_members(KEY, [dataclasses.replace(pod, ready=False) for pod in pods], keys)
    await fleet.push(KEY, CONFIG, DIGEST, (1, 1))
    await fleet.poll(KEY)
    proxies = fleet.view(KEY).envoys.proxies
    assert (proxies.total, set(proxies.refusing(DIGEST)), proxies.idle) == (2, {"fake-1", "fake-2"}, ())


async def test_the_oldest_refusals_are_forgotten(fleet, fakes):
    agent = agents(fakes)[0]
    for number in range(6):
        config = {**CONFIG, "routes": [{"name": str(number)}]}
        refused = {"digest": json_digest(config), "accepted": False, "type": "", "message": "no", "serving": ""}
        agent.refusal = (422, refused)
        await fleet.push(KEY, config, json_digest(config), (1, number + 1), only=["fake-1"])
    assert len(fleet.view(KEY).envoys.proxies.refusals) == 4
