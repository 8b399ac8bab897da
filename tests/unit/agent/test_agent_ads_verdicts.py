"""What becomes of a configuration: accepted, refused, superseded, stale, given up."""

import pytest

from resilientslice.agent.ads_channel import Request
from resilientslice.agent.ads_state import (
    REMEMBERED_REFUSALS,
    Closed,
    GiveUp,
    Push,
    Rejected,
    Settled,
    Stale,
    Superseded,
    admit,
    restored,
    waiting_for,
)
from resilientslice.agent.resources import Epoch, ResourceType

CLUSTERS, ENDPOINTS, LISTENERS, ROUTES = ResourceType


def plain(make, sequence, route="front!a"):
    return make(sequence, "a", "", "front>front@80", route)


@pytest.fixture
def serving(bench, make):
    """An Envoy that runs a first configuration."""
    bench.push(plain(make, 1))
    envoy = bench.envoy()
    envoy.run(plain(make, 1))
    assert bench.state.ready
    return envoy


def test_a_refusal_keeps_the_words_and_goes_back(bench, make, show, serving):
    bad = plain(make, 2, "front=2!zz")
    serving.push(bad)
    outputs = serving.nack(ROUTES, "unknown cluster 'zz'")
    assert Settled(bad.digest, Rejected(ROUTES, "unknown cluster 'zz'")) in outputs
    assert show(outputs)[1:] == ["routes front!a"]
    assert show(serving.ack(ROUTES)) == []
    assert bench.state.ready
    assert bench.state.target.digest == bench.state.good.digest == plain(make, 1).digest


def test_a_refused_listener_is_taken_back_together_with_the_clusters_before_it(bench, make, show, serving):
    serving.push(make(2, "a b", "", "front=2>front@80", "front!b"))
    serving.ack(CLUSTERS)
    assert show(serving.nack(LISTENERS, "bad address"))[1:] == ["listeners front>front@80"]
    assert show(serving.ack(LISTENERS)) == ["wake at 2"]
    assert show(bench.tick(3)) == ["clusters a"]


def test_a_fresh_envoy_after_a_refusal_gets_the_good_one(bench, make, show, serving):
    serving.push(plain(make, 2, "front=2!zz"))
    serving.nack(ROUTES, "no")
    bench.take(Closed(1))
    fresh = bench.envoy(2)
    fresh.run(plain(make, 1))
    assert fresh.sent[ROUTES].resources[0].digest == "front!a"


def test_the_refused_one_is_refused_again_at_once_unless_retried(bench, make, serving):
    bad = plain(make, 2, "front=2!zz")
    serving.push(bad)
    serving.nack(ROUTES, "no")
    again = plain(make, 3, "front=2!zz")
    assert admit(bench.state, again) == Rejected(ROUTES, "no")
    assert admit(bench.state, again, retry=True) is None
    bench.take(Push(again))
    assert bench.state.target is again
    assert bench.state.rejected == {}


def test_the_good_one_again_is_accepted_at_once_and_raises_the_epoch(bench, make, show, serving):
    again = plain(make, 5)
    assert show(serving.push(again)) == [f"accepted {again.digest}"]
    assert bench.state.good.epoch == bench.state.floor == Epoch(1, 5)


@pytest.mark.parametrize(
    ("sequence", "route", "stale"),
    [(0, "front!a", True), (1, "front!a", False), (1, "front=2!a", True), (2, "front=2!a", False)],
)
def test_only_a_newer_epoch_or_the_same_again_is_taken(bench, make, serving, sequence, route, stale):
    outcome = admit(bench.state, plain(make, sequence, route))
    assert isinstance(outcome, Stale) is stale
    if stale:
        assert outcome == Stale(Epoch(1, 1), plain(make, 1).digest)


def test_a_refused_epoch_is_not_undercut(bench, make, serving):
    serving.push(plain(make, 7, "front=2!zz"))
    serving.nack(ROUTES, "no")
    assert isinstance(admit(bench.state, plain(make, 6, "front=3!a")), Stale)


def test_one_installs_one_waits_and_a_newer_takes_the_place_of_the_one_that_waits(bench, make, show, serving):
    configs = [plain(make, n, f"front={n}!a") for n in (2, 3, 4)]
    assert show(serving.push(configs[0])) == ["routes front=2!a"]
    assert show(serving.push(configs[1])) == []
    assert serving.push(configs[2]) == [Settled(configs[1].digest, Superseded(configs[2].digest))]
    assert show(serving.ack(ROUTES)) == [f"accepted {configs[0].digest}", "routes front=4!a"]
    assert show(serving.ack(ROUTES)) == [f"accepted {configs[2].digest}"]


def test_after_a_refusal_the_one_that_waits_comes_next(bench, make, show, serving):
    serving.push(plain(make, 2, "front=2!zz"))
    good = plain(make, 3, "front=3!a")
    serving.push(good)
    assert show(serving.nack(ROUTES, "no"))[1:] == ["routes front=3!a"]
    assert show(serving.ack(ROUTES)) == [f"accepted {good.digest}"]


def test_the_waiting_one_may_be_the_good_one_and_is_then_accepted(bench, make, show, serving):
    serving.push(plain(make, 2, "front=2!zz"))
    serving.push(plain(make, 3))
    bad, back = plain(make, 2, "front=2!zz"), plain(make, 3)
    assert show(serving.nack(ROUTES, "no")) == [f"rejected {bad.digest}", f"accepted {back.digest}", "routes front!a"]


def test_the_one_being_installed_pushed_again_drops_the_one_that_waits(bench, make, show, serving):
    two, three = plain(make, 2, "front=2!a"), plain(make, 3, "front=3!a")
    serving.push(two)
    serving.push(three)
    again = plain(make, 4, "front=2!a")
    assert serving.push(again) == [Settled(three.digest, Superseded(again.digest))]
    assert show(serving.ack(ROUTES)) == [f"accepted {again.digest}"]
    assert bench.state.good.epoch == Epoch(1, 4)


def test_given_up_it_stays_wanted_until_something_newer_comes(bench, make, show, serving):
    slow, newer = plain(make, 2, "front=2!a"), plain(make, 3, "front=3!a")
    serving.push(slow)
    assert show(bench.take(GiveUp(slow.digest))) == []
    assert bench.state.target is slow
    outputs = serving.push(newer)
    assert show(outputs) == [f"superseded {slow.digest}", "routes front=3!a"], "without waiting for the other's answer"
    assert show(serving.ack(ROUTES)) == [f"accepted {newer.digest}"]


def test_given_up_for_one_that_waits(bench, make, show, serving):
    slow, newer = plain(make, 2, "front=2!a"), plain(make, 3, "front=3!a")
    serving.push(slow)
    serving.push(newer)
    assert show(bench.take(GiveUp(slow.digest))) == [f"superseded {slow.digest}", "routes front=3!a"]
    assert bench.state.target is newer
    assert show(bench.take(GiveUp(slow.digest))) == []


def test_a_late_refusal_of_a_superseded_one_does_not_touch_the_newer(bench, make, show, serving):
    slow, newer = plain(make, 2, "front=2!zz"), plain(make, 3, "front=3!a")
    serving.push(slow)
    bench.take(GiveUp(slow.digest))
    late = serving.sent[ROUTES].nonce
    serving.push(newer)
    assert show(bench.take(Request(1, ROUTES, frozenset({"front"}), "old", late, "no"))) == []
    assert admit(bench.state, plain(make, 4, "front=2!zz")) == Rejected(ROUTES, "no")
    assert show(serving.ack(ROUTES)) == [f"accepted {newer.digest}"]


def test_without_an_envoy_the_newest_is_kept_and_given_to_the_first_that_comes(bench, make, show):
    one, two = plain(make, 1), plain(make, 2, "front=2!a")
    assert show(bench.push(one)) == []
    assert show(bench.push(two)) == [f"superseded {one.digest}"]
    assert waiting_for(bench.state) == "no Envoy is connected"
    assert show(bench.envoy().ask(CLUSTERS)) == ["clusters a"]
    assert waiting_for(bench.state) == "Envoy has not answered: waiting at clusters"


def test_a_refused_first_configuration_leaves_nothing_of_itself(bench, make, show):
    envoy = bench.envoy()
    envoy.ask(CLUSTERS)
    envoy.push(make(1, "a bad", "", "front>front@80", "front!a"))
    assert show(envoy.nack(CLUSTERS, "bad is bad"))[1:] == ["clusters"], "Envoy may have taken a"
    assert not bench.state.ready
    fresh = bench.envoy(2)
    assert show(fresh.ask(CLUSTERS)) == [], "an Envoy that starts waits for something good"


def test_a_good_one_that_is_suddenly_refused_is_not_sent_over_and_over(bench, make, show, serving):
    bench.take(Closed(1))
    fresh = bench.envoy(2)
    fresh.ask(CLUSTERS)
    fresh.ack(CLUSTERS)
    fresh.ask(LISTENERS)
    assert show(fresh.nack(LISTENERS, "address in use")) == []
    assert bench.state.streams[2].refusal.message == "address in use"
    assert not bench.state.ready
    newer = make(2, "a", "", "front=2>front@81", "front!a")
    assert show(fresh.push(newer)) == ["listeners front=2>front@81"]


def test_a_route_may_not_lean_on_a_cluster_that_goes(bench, make, serving):
    outcome = admit(bench.state, make(2, "b", "", "front>front@80", "front=2!a"))
    assert isinstance(outcome, Rejected)
    assert outcome.kind is ROUTES
    assert "'a'" in outcome.message
    assert "not part of this configuration" in outcome.message


def test_only_the_latest_refusals_are_remembered(bench, make, serving):
    for number in range(2, 2 + REMEMBERED_REFUSALS + 3):
        serving.push(plain(make, number, f"front={number}!zz"))
        serving.nack(ROUTES, "no")
        serving.ack(ROUTES)
    assert len(bench.state.rejected) == REMEMBERED_REFUSALS
    assert plain(make, 2, "front=2!zz").digest not in bench.state.rejected


@pytest.mark.parametrize(
    ("good", "mounted", "floor", "target"),
    [
        (None, None, None, None),
        (1, None, None, 1),
        (None, 2, None, 2),
        (1, 2, None, 2),
        (2, 1, 2, 2),
        (2, 2, 2, 2),
        (1, 3, 5, 1),
        (1, 6, 5, 6),
    ],
)
def test_an_agent_that_starts_takes_the_newer_of_what_it_had_and_the_mounted_copy(make, good, mounted, floor, target):
    kept = good and plain(make, good, f"front={good}!a")
    copy = mounted and plain(make, mounted, f"front={mounted}!a")
    state = restored(kept, copy, (Epoch(1, floor), "digest") if floor else None)
    assert (state.target.epoch.sequence if state.target else None) == target
    assert (state.good.epoch.sequence if state.good else None) == good
    assert state.floor.sequence == max(good or 0, floor or 0, target or 0)


def test_an_envoy_that_comes_back_says_what_it_runs_even_if_that_was_never_acknowledged(bench, make, show):
    """The stream broke after Envoy took everything and before it said so; its routes use the cluster `a`."""
    bench.push(plain(make, 1))
    envoy = bench.envoy()
    envoy.ask(CLUSTERS)
    version = envoy.sent[CLUSTERS].version
    bench.take(GiveUp(plain(make, 1).digest))
    bench.take(Closed(1))
    bench.push(make(2, "b", "", "front>front@80", "front!b"))
    assert show(bench.envoy(2).ask(CLUSTERS, version=version)) == ["clusters a b"]
    assert show(bench.envoy(3).ask(CLUSTERS, version="unknown")) == ["clusters b"]
