"""The fleet against agents that sign as real ones do."""

import asyncio
import dataclasses

import pytest

from resilientslice.agent.resources import json_digest
from resilientslice.canary.state import Attempts
from resilientslice.envoys import Accepted, AgentPod, PushReport, Rejected, SigningKeys, Stale, Unreachable, new_key
from resilientslice.envoys.reports import DISBELIEVED, NEWER_TERM, doubt
from resilientslice.planning.observed import SilentAgent

KEY = ("shop", "shop")
CONFIG = {"clusters": [], "endpoints": [], "listeners": [], "routes": []}
DIGEST = json_digest(CONFIG)


def agents(fakes):
    return list(fakes.agents.values())


async def test_a_push_reaches_all_and_a_view_says_so(fleet, fakes):
    before = fleet.view(KEY)
    assert [pod.name for pod in before.missed(DIGEST)] == ["fake-1", "fake-2"]
    assert before.envoys.proxies.total == 2
    report = await fleet.push(KEY, CONFIG, DIGEST, (1, 1))
    assert report.accepted
    assert report.outcomes == {"fake-1": Accepted(), "fake-2": Accepted()}
    view = fleet.view(KEY)
    assert view.envoys.proxies.all_run(DIGEST)
    assert (view.missed(DIGEST), view.newest) == ((), (1, 1))


async def test_a_dead_agent_costs_its_own_slice_a_time_out_and_others_nothing(fleet, fakes, pods, keys):
    slow, _ = agents(fakes)
    slow.hanging = asyncio.Event()
    fleet.set_members(KEY, pods[:1], keys)
    fleet.set_members(("other", "one"), pods[1:], keys)
    hanging = asyncio.create_task(fleet.push(KEY, CONFIG, DIGEST, (1, 1), timeout=3600.0))
    report = await fleet.push(("other", "one"), CONFIG, DIGEST, (1, 1), timeout=30.0)
    assert report.accepted
    assert not hanging.done(), "the other slice has its answer first"
    hanging.cancel()
    await asyncio.wait([hanging])
    outcome = (await fleet.push(KEY, CONFIG, DIGEST, (1, 2), timeout=2.0)).outcomes["fake-1"]
    assert isinstance(outcome, Unreachable)
    assert "no answer in 2 s" in outcome.reason
    assert [pod.name for pod in fleet.view(KEY).missed(DIGEST)] == ["fake-1"]
    slow.hanging.set()


async def test_one_refusal_leaves_the_other_and_names_the_words(fleet, fakes):
    old = "0" * 64
    refusal = {"digest": DIGEST, "accepted": False, "type": "listeners", "message": "port in use", "serving": old}
    agents(fakes)[0].refusal = (422, refusal)
    report = await fleet.push(KEY, CONFIG, DIGEST, (1, 1))
    assert report.rejected == Rejected("port in use", "listeners", old)
    view = fleet.view(KEY)
    assert view.envoys.proxies.acked == {"fake-1": old, "fake-2": DIGEST}
    assert view.envoys.proxies.refusing(DIGEST) == {"fake-1": "listeners: port in use"}
    assert view.missed(DIGEST) == (), "the same would be refused again"


async def test_a_stale_epoch_names_the_one_that_is_held(fleet, fakes):
    agents(fakes)[1].epoch = [1, 3]
    report = await fleet.push(KEY, CONFIG, DIGEST, (1, 1))
    assert isinstance(report.outcomes["fake-2"], Stale)
    assert (report.held, fleet.view(KEY).newest) == ((1, 3), (1, 3))
    assert [pod.name for pod in fleet.view(KEY).missed(DIGEST)] == ["fake-2"]


async def test_another_key_is_refused_on_both_sides_and_the_previous_one_counts(fleet, fakes, pods, keys):
    stranger = SigningKeys.of(new_key().encode())
    fleet.set_members(KEY, pods, stranger)
    report = await fleet.push(KEY, CONFIG, DIGEST, (1, 1))
    assert "is not signed with the slice's key" in report.outcomes["fake-1"].reason
    assert agents(fakes)[0].pushes == 0
    rotating = SigningKeys(stranger.current, keys.current)
    fleet.set_members(KEY, pods, rotating)
    assert (await fleet.push(KEY, CONFIG, DIGEST, (1, 1))).accepted


async def test_a_pod_of_another_uid_at_the_same_address_is_not_believed(fleet, pods, keys):
    moved = [AgentPod("fake-1", "another", pods[0].address, ready=True)]
    fleet.set_members(KEY, moved, keys)
    report = await fleet.push(KEY, CONFIG, DIGEST, (1, 1))
    assert isinstance(report.outcomes["fake-1"], Unreachable)


async def test_new_pods_are_missed_and_forgotten_ones_are_gone(fleet, pods, keys):
    fleet.set_members(KEY, pods[:1], keys)
    await fleet.push(KEY, CONFIG, DIGEST, (1, 1))
    fleet.set_members(KEY, pods, keys)
    view = fleet.view(KEY)
    assert [pod.name for pod in view.missed(DIGEST)] == ["fake-2"]
    assert not view.envoys.proxies.all_run(DIGEST)
    report = await fleet.push(KEY, CONFIG, DIGEST, (1, 1), only=["fake-2"])
    assert list(report.outcomes) == ["fake-2"]
    assert fleet.view(KEY).envoys.proxies.all_run(DIGEST)
    fleet.forget(KEY)
    assert fleet.view(KEY).envoys.proxies.total == 0
    assert (await fleet.push(KEY, CONFIG, DIGEST, (1, 2))).outcomes == {}


async def test_counts_of_all_envoys_are_added_and_never_go_down(fleet, fakes):
    one, two = agents(fakes)
    assert fleet.view(KEY, canary=["api"]).envoys.attempts is None, "nobody has counted yet"
    one.clusters = {"api-canary": {"hosts_rq_success": 90, "hosts_rq_error": 10, "hosts_rq_active": 2}}
    two.clusters = {"api-canary": {"hosts_rq_success": 5, "hosts_rq_error": 0, "hosts_rq_active": 1}}
    one.p99, two.p99 = {"api-canary": 20.0}, {"api-canary": 45.0}
    await fleet.poll(KEY)
    view = fleet.view(KEY, canary=["api"])
    assert (view.envoys.attempts, view.envoys.active) == (Attempts(95, 10, 45.0), 3)
    one.clusters = {"api-canary": {"hosts_rq_success": 4, "hosts_rq_error": 1}}  # its host was replaced
    two.clusters = {"api-canary": {"hosts_rq_success": 8, "hosts_rq_error": 2}}
    await fleet.poll(KEY)
    assert fleet.view(KEY, canary=["api"]).envoys.attempts == Attempts(98, 12, 45.0)
    one.clusters = {"api-canary": {"hosts_rq_success": 6, "hosts_rq_error": 2}}
    await fleet.poll(KEY)
    assert fleet.view(KEY, canary=["api"]).envoys.attempts == Attempts(100, 13, 45.0)
    assert fleet.view(KEY).envoys.attempts is None, "no canary, nothing to count"


async def test_a_cluster_is_hostless_while_an_envoy_that_callers_are_sent_to_knows_no_host(fleet, fakes, pods, keys):
    one, two = agents(fakes)
    assert fleet.view(KEY).envoys.hostless == frozenset(), "nobody was asked"
    found = {"api-canary": 2, "web-canary": 1, "web-stable": 1, "agent": 0}
    one.found, two.found = found, found | {"web-canary": 0, "web-stable": 0}
    await fleet.poll(KEY)
    assert fleet.view(KEY).envoys.hostless == {"web-canary", "web-stable"}
    unready = [dataclasses.replace(pod, ready=pod.name == "fake-1") for pod in pods]
    fleet.set_members(KEY, unready, keys)
    assert fleet.view(KEY).envoys.hostless == frozenset(), "nobody is sent to the other"
    fleet.set_members(KEY, pods, keys)
    two.found = found
    await fleet.poll(KEY)
    assert fleet.view(KEY).envoys.hostless == frozenset()


async def test_of_what_envoys_count_only_what_is_asked_for_is_kept(fleet, fakes):
    one, _ = agents(fakes)
    one.clusters = {
        "api-canary": {"hosts_rq_success": 9, "hosts_rq_error": 1, "hosts_rq_active": 2, "membership_total": 3},
        "web-canary": {"hosts_rq_success": 0, "hosts_rq_error": 0, "hosts_rq_active": 0},
        "api-stable": {"hosts_rq_success": 90, "hosts_rq_error": 1, "hosts_rq_active": 5},
    }
    await fleet.poll(KEY)
    snapshot = fleet.view(KEY).members[0].snapshot
    assert snapshot.clusters == {"api-canary": {"hosts_rq_active": 2}}
    view = fleet.view(KEY, canary=["api", "web"])
    assert (view.envoys.attempts, view.envoys.active) == (Attempts(9, 1), 2)


async def test_requests_under_way_count_only_after_the_last_push_and_of_every_envoy(fleet, fakes, pods, keys):
    await fleet.poll(KEY)
    assert fleet.view(KEY, canary=["api"]).envoys.active == 0
    await fleet.push(KEY, CONFIG, DIGEST, (1, 1))
    assert fleet.view(KEY, canary=["api"]).envoys.active is None
    await fleet.poll(KEY)
    assert fleet.view(KEY, canary=["api"]).envoys.active == 0
    fleet.set_members(KEY, [pods[0], AgentPod("gone", "gone", "127.0.0.1:1", ready=True)], keys)
    await fleet.poll(KEY)
    view = fleet.view(KEY, canary=["api"])
    assert view.envoys.active is None
    assert "the agent of gone at 127.0.0.1:1" in view.unreachable["gone"]
    assert view.envoys.proxies.total == 2
    fleet.set_members(KEY, [pods[0], AgentPod("gone", "gone", "127.0.0.1:1", ready=False)], keys)
    assert fleet.view(KEY).envoys.proxies.total == 1, "no request reaches a pod that never was ready"


async def test_ejections_say_how_many_envoys_agree_and_which_pod_it_is(fleet, fakes):
    one, two = agents(fakes)
    one.ejected = [{"cluster": "api-stable", "host": "10.0.0.1:80"}, {"cluster": "api-stable", "host": "10.0.0.2:80"}]
    two.ejected = [{"cluster": "api-stable", "host": "10.0.0.1:80"}]
    await fleet.poll(KEY)
    found = fleet.view(KEY, pods={"10.0.0.1": "api-7"}).envoys.ejections
    assert [(one.service, one.host, one.envoys, one.pod) for one in found] == [
        ("api", "10.0.0.1:80", 2, "api-7"),
        ("api", "10.0.0.2:80", 1, ""),
    ]


async def test_what_agents_show_to_know_of_the_keys_is_remembered(fleet, fakes, pods, keys, key_dir):
    assert not fleet.view(KEY).all_know_key, "nobody has answered yet"
    await fleet.poll(KEY)
    assert fleet.view(KEY).all_know_key
    new = new_key()
    rotated = SigningKeys.of(new.encode(), keys.current)
    fleet.set_keys(KEY, rotated)
    assert fleet.view(KEY).without_key == ("fake-1", "fake-2"), "what they know of the former key proves nothing"
    await fleet.poll(KEY)
    assert fleet.view(KEY).without_key == ("fake-1", "fake-2")
    assert not fleet.doubted(KEY)
    (key_dir / "previous").write_bytes(keys.current)
    (key_dir / "current").write_text(new)
    await fleet.push(KEY, CONFIG, DIGEST, (1, 1))
    assert fleet.view(KEY).all_know_key
    fleet.set_members(KEY, [], rotated)
    assert not fleet.view(KEY).all_know_key, "nobody is there who could know it"


@pytest.mark.parametrize("former", [True, False])
async def test_an_agent_that_knows_another_key_casts_doubt_until_it_was_looked_into(
    fleet, fakes, pods, keys, key_dir, former
):
    if former:
        (key_dir / "previous").write_bytes(keys.current)
    (key_dir / "current").write_text(new_key())
    await fleet.poll(KEY)
    assert fleet.doubted(KEY)
    fleet.set_keys(KEY, keys)
    assert not fleet.doubted(KEY)


async def test_an_agent_that_does_not_answer_casts_no_doubt(fleet, keys):
    fleet.set_members(KEY, [AgentPod("gone", "gone", "127.0.0.1:1", ready=True)], keys)
    await fleet.poll(KEY)
    assert not fleet.doubted(KEY)


async def test_an_answer_to_a_question_under_the_former_keys_says_nothing_of_the_new_ones(fleet, fakes, keys):
    slow = agents(fakes)[0]
    slow.hanging = asyncio.Event()
    asking = asyncio.create_task(fleet.poll(KEY))
    await slow.arrived.wait()
    fleet.set_keys(KEY, SigningKeys.of(new_key().encode(), keys.current))
    slow.hanging.set()
    await asking
    assert "fake-1" in fleet.view(KEY).without_key
    assert not fleet.doubted(KEY)


@pytest.mark.parametrize("connected", [0, 1, 2])
async def test_an_acknowledgement_counts_while_an_envoy_is_there_that_gave_it(fleet, fakes, connected):
    await fleet.push(KEY, CONFIG, DIGEST, (1, 1))
    for agent in agents(fakes):
        agent.connected = connected
    await fleet.poll(KEY)
    assert fleet.view(KEY).envoys.proxies.all_run(DIGEST) is (connected > 0)


async def test_requests_under_way_are_unknown_while_an_envoy_that_came_has_not_been_asked(fleet, fakes, pods, keys):
    """A canary must not be taken away while one may still send to it."""
    fleet.set_members(KEY, pods[:1], keys)
    await fleet.push(KEY, CONFIG, DIGEST, (1, 1))
    await fleet.poll(KEY)
    assert fleet.view(KEY, canary=["api"]).envoys.active == 0
    agents(fakes)[1].clusters = {"api-canary": {"hosts_rq_active": 4}}
    fleet.set_members(KEY, pods, keys)
    assert fleet.view(KEY, canary=["api"]).envoys.active is None
    await fleet.poll(KEY)
    assert fleet.view(KEY, canary=["api"]).envoys.active == 4
    await fleet.push(KEY, CONFIG, DIGEST, (1, 2), only=["fake-2"])
    assert fleet.view(KEY, canary=["api"]).envoys.active is None, "what it runs now was not counted yet"


async def test_of_clusters_that_are_no_services_nothing_is_kept(fleet, fakes):
    one, _ = agents(fakes)
    names = ["agent", "api", "-canary", "a" * 40 + "-canary", "API-canary", "a.b-canary"]
    one.clusters = {name: {"hosts_rq_success": 1, "hosts_rq_active": 1} for name in names}
    one.found = dict.fromkeys(names, 0)
    one.ejected = [{"cluster": name, "host": "10.0.0.1:80"} for name in names]
    one.p99 = dict.fromkeys(names, 1.0)
    await fleet.poll(KEY)
    member = fleet.view(KEY).members[0]
    kept = (member.snapshot.clusters, member.snapshot.p99, member.snapshot.ejected, member.tallies)
    assert kept == ({}, {}, (), {})
    assert member.hostless == frozenset()


@pytest.mark.parametrize(
    ("held", "sent", "why"),
    [
        ((3, 7), (3, 7), None),
        ((3, 1_000_007), (3, 7), None),
        ((3, 1_000_008), (3, 7), DISBELIEVED),
        ((2, 9_000_000), (3, 7), None),
        ((4, 0), (3, 7), NEWER_TERM),
    ],
)
def test_what_an_agent_can_hold(held, sent, why):
    assert doubt(held, sent) is why


@pytest.mark.parametrize(
    ("claims", "held"),
    [
        ([(1, 9)], (1, 9)),
        ([(1, 5)], (1, 5)),  # another configuration under the same epoch
        ([(1, 4)], None),  # older than what was sent: no reason to refuse it
        ([(9, 1)], None),
        ([(1, 2_000_000)], None),
        ([(1, 9), (9, 1), (1, 2_000_000)], (1, 9)),
        ([], None),
    ],
)
def test_what_the_next_push_must_be_above(claims, held):
    report = PushReport(
        DIGEST, (1, 5), {str(n): Stale(claim, "") for n, claim in enumerate(claims)} | {"x": Accepted()}
    )
    assert report.held == held


async def test_a_claim_that_cannot_be_is_doubted_until_it_is_taken_back(fleet, fakes, pods, keys):
    fleet.set_members(KEY, pods, keys, term=3)
    one, _ = agents(fakes)
    one.epoch = [4, 1]
    await fleet.poll(KEY)
    assert [(m.pod.name, m.unheard) for m in fleet.view(KEY).members if m.unheard] == [("fake-1", NEWER_TERM)]
    assert fleet.view(KEY).envoys.proxies.silent == (SilentAgent("fake-1", NEWER_TERM.why, broken=True),)
    one.epoch = [3, 1]
    await fleet.poll(KEY)
    assert fleet.view(KEY).envoys.proxies.silent == ()


async def test_the_oldest_answer_is_known_once_there_is_one_of_every_envoy(fleet, fakes, pods, keys):
    fleet.set_members(KEY, pods[:1], keys)
    await fleet.poll(KEY)
    first = fleet.view(KEY).asked_at
    assert first is not None
    fleet.set_members(KEY, pods, keys)
    assert fleet.view(KEY).asked_at is None
    await fleet.poll(KEY)
    assert fleet.view(KEY).asked_at >= first


async def test_what_was_refused_once_and_accepted_since_is_refused_no_more(fleet, fakes):
    one, _ = agents(fakes)
    one.refusal = (422, {"digest": DIGEST, "accepted": False, "type": "routes", "message": "no", "serving": ""})
    await fleet.push(KEY, CONFIG, DIGEST, (1, 1))
    assert fleet.view(KEY).envoys.proxies.refusing(DIGEST) == {"fake-1": "routes: no"}
    one.refusal = None
    await fleet.push(KEY, CONFIG, DIGEST, (1, 2))
    assert fleet.view(KEY).envoys.proxies.refusing(DIGEST) == {}
    assert fleet.view(KEY).members[0].refused == {}
