"""In which order Envoy gets what, as tables of (event, what follows)."""

import pytest

from resilientslice.agent.ads_channel import Request
from resilientslice.agent.ads_state import Closed, GiveUp, Opened, restored
from resilientslice.agent.ads_stream import LINGER_SECONDS, Stage
from resilientslice.agent.resources import ResourceType

CLUSTERS, ENDPOINTS, LISTENERS, ROUTES = ResourceType


@pytest.fixture
def first(make):
    return make(1, "a", "", "front>front@80", "front!a")


def settled(bench, wanted):
    """An Envoy that runs `wanted`."""
    bench.push(wanted)
    envoy = bench.envoy()
    envoy.run(wanted)
    assert bench.state.good is wanted
    return envoy


def test_a_fresh_envoy_gets_clusters_endpoints_listeners_routes(bench, make, show):
    wanted = make(1, "a>a", "a=1", "front>front@80", "front!a")
    envoy = bench.envoy()
    assert show(envoy.push(wanted)) == []
    assert show(envoy.ask(CLUSTERS)) == ["clusters a>a"]
    assert show(envoy.ask(ENDPOINTS, "a")) == ["endpoints a=1"], "Envoy acknowledges clusters when they are warm"
    assert show(envoy.ask(LISTENERS)) == []
    assert show(envoy.ack(ENDPOINTS)) == []
    assert show(envoy.ack(CLUSTERS)) == ["listeners front>front@80"]
    assert show(envoy.ack(LISTENERS)) == []
    assert show(envoy.ask(ROUTES, "front")) == ["routes front!a"]
    assert show(envoy.ack(ROUTES)) == [f"accepted {wanted.digest}"]
    assert bench.state.ready


def test_without_a_configuration_envoy_waits(bench, show):
    envoy = bench.envoy()
    assert show(envoy.ask(CLUSTERS)) == []
    assert not bench.state.ready


def test_a_change_of_routes_sends_only_the_routes_that_changed(bench, make, show):
    envoy = settled(bench, make(1, "a b", "", "x>x@1 y>y@2", "x=1!a y=1!b"))
    assert show(envoy.push(make(2, "a b", "", "x>x@1 y>y@2", "x=2!a y=1!b"))) == ["routes x=2!a"]
    assert show(envoy.ack(ROUTES)) == ["accepted a b||x>x@1 y>y@2|x=2!a y=1!b"]


@pytest.mark.parametrize(
    ("clusters", "listeners", "routes", "expected"),
    [
        ("a=2", "front>front@80", "front!a", ["clusters a=2"]),
        ("a", "front=2>front@80", "front!a", ["listeners front=2>front@80"]),
        ("a", "front>front@80", "front=2!a", ["routes front=2!a"]),
    ],
)
def test_only_the_changed_type_is_sent(bench, make, show, first, clusters, listeners, routes, expected):
    envoy = settled(bench, first)
    assert show(envoy.push(make(2, clusters, "", listeners, routes))) == expected


def test_a_new_cluster_is_acknowledged_before_its_route_and_the_old_one_outlives_it(bench, make, show, first):
    envoy = settled(bench, first)
    wanted = make(2, "b", "", "front>front@80", "front!b")
    assert show(envoy.push(wanted)) == ["clusters a b"]
    assert show(envoy.ack(CLUSTERS)) == ["routes front!b"]
    assert show(envoy.ack(ROUTES)) == [f"wake at {LINGER_SECONDS:g}", f"accepted {wanted.digest}"]
    assert show(envoy.note(bench.tick(LINGER_SECONDS - 0.1))) == []
    assert show(envoy.note(bench.tick(0.2))) == ["clusters b"]
    assert show(envoy.ack(CLUSTERS)) == []
    assert bench.state.streams[1].stage is Stage.DONE


def test_endpoints_of_a_new_cluster_come_before_listeners_and_routes(bench, make, show, first):
    envoy = settled(bench, first)
    envoy.push(make(2, "a b>b", "b=1", "front>front@80", "front!b"))
    assert show(envoy.ask(ENDPOINTS, "b")) == ["endpoints b=1"]
    assert show(envoy.ack(ENDPOINTS)) == []
    assert show(envoy.ack(CLUSTERS)) == ["routes front!b"]


def test_old_listeners_stay_until_routes_moved_unless_a_new_one_takes_their_address(bench, make, show):
    envoy = settled(bench, make(1, "a", "", "x>x@1 y>y@2", "x!a y!a"))
    wanted = make(2, "a", "", "z>z@2", "z!a")
    assert show(envoy.push(wanted)) == ["listeners x>x@1 z>z@2"]
    assert show(envoy.ack(LISTENERS)) == []
    assert show(envoy.ask(ROUTES, "x z")) == ["routes x!a z!a"]
    assert show(envoy.ack(ROUTES)) == ["listeners z>z@2", f"accepted {wanted.digest}"]
    assert show(envoy.ack(LISTENERS)) == []
    assert bench.state.streams[1].channels[LISTENERS].acked.keys() == {"z"}


def test_endpoints_of_before_are_answered_until_their_stage_comes(bench, make, show):
    envoy = settled(bench, make(1, "a>a", "a=1", "front>front@80", "front!a"))
    assert show(envoy.push(make(2, "a=2>a", "a=2", "front>front@80", "front!a"))) == ["clusters a=2>a"]
    assert show(envoy.ask(ENDPOINTS, "a")) == ["endpoints a=1"], "asked again: as it was"
    assert show(envoy.ack(CLUSTERS)) == []
    assert show(envoy.ack(ENDPOINTS)) == ["endpoints a=2"]


def test_after_refused_routes_the_next_ones_wait_for_their_clusters(bench, make, show):
    """Envoy has no routes yet and asks for them: nothing old to answer with, and the new cluster is still to come."""
    bench.push(make(1, "a", "", "front>front@80", "front!zz"))
    envoy = bench.envoy()
    envoy.ask(CLUSTERS)
    envoy.ack(CLUSTERS)
    envoy.ask(LISTENERS)
    envoy.ack(LISTENERS)
    envoy.ask(ROUTES, "front")
    envoy.push(make(2, "a b", "", "front>front@80", "front!b"))
    assert show(envoy.nack(ROUTES, "no"))[1:] == ["clusters a b"]
    assert show(envoy.ack(CLUSTERS)) == ["routes front!b"]


def test_asking_again_with_the_same_nonce_is_answered_in_full(bench, make, show):
    envoy = settled(bench, make(1, "a", "", "x>x@1 y>y@2", "x!a y!a"))
    assert show(envoy.ask(ROUTES, "x y")) == ["routes x!a y!a"]
    assert show(envoy.ack(ROUTES)) == []


def test_asking_again_for_clusters_is_not_answered(bench, show, first):
    envoy = settled(bench, first)
    assert show(envoy.ask(CLUSTERS)) == []


def test_names_that_come_with_an_acknowledgement_are_answered(bench, make, show):
    envoy = bench.envoy()
    envoy.ask(CLUSTERS)
    envoy.push(make(1, "a>a b>b", "a=1 b=1"))
    assert show(envoy.ask(ENDPOINTS, "a")) == ["endpoints a=1"]
    assert show(envoy.ack(ENDPOINTS, "a b")) == ["endpoints b=1"]


def test_a_stale_nonce_changes_names_and_nothing_else(bench, make, show):
    envoy = bench.envoy()
    envoy.ask(CLUSTERS)
    envoy.push(make(1, "a>a b>b", "a=1 b=1"))
    envoy.ask(ENDPOINTS, "a")
    stale = Request(1, ENDPOINTS, frozenset({"a", "b"}), "", "not-it")
    assert show(bench.take(stale)) == [], "one response of a type at a time"
    assert show(envoy.ack(ENDPOINTS, "a b")) == ["endpoints b=1"]


def test_routes_under_way_for_another_configuration_are_taken_back(bench, make, show):
    """Envoy may apply them before it learns that nobody wants them any more."""
    envoy = settled(bench, make(1, "a", "", "x>x@1 y>y@2", "x!a y!a"))
    given_up = make(2, "a", "", "x>x@1 y>y@2", "x=2!a y=2!a")
    envoy.push(given_up)
    bench.take(GiveUp(given_up.digest))
    back = make(3, "a", "", "x>x@1 y>y@2", "x!a y=3!a")
    outputs = envoy.push(back)
    assert show(outputs) == [f"superseded {given_up.digest}", "routes x!a y=3!a"]
    assert show(envoy.ack(ROUTES)) == [f"accepted {back.digest}"]


def test_clusters_under_way_are_replaced_without_waiting(bench, make, show, first):
    """Envoy acknowledges clusters when they are warm: one without hosts would hold up everything after it."""
    envoy = settled(bench, first)
    cold = make(2, "a b>b", "b=bad", "front>front@80", "front!b")
    envoy.push(cold)
    envoy.ask(ENDPOINTS, "b")
    assert show(envoy.nack(ENDPOINTS, "no"))[1:] == ["clusters a"]
    assert show(envoy.ack(CLUSTERS)) == []
    assert bench.state.streams[1].stage is Stage.DONE


def test_what_a_response_under_way_drops_is_not_brought_back(bench, make, show):
    """Envoy would wait for endpoints of a cluster that the new configuration knows nothing of."""
    envoy = bench.envoy()
    envoy.ask(CLUSTERS)
    given_up = make(1, "a>a", "a=1", "front>front@80", "front!a")
    envoy.push(given_up)
    nonce = envoy.sent[CLUSTERS].nonce
    bench.take(GiveUp(given_up.digest))
    assert show(envoy.push(make(2, "b>b", "b=1", "front>front@80", "front!b")))[1:] == ["clusters b>b"]
    assert show(bench.take(Request(1, CLUSTERS, nonce=nonce))) == []
    assert show(envoy.ack(CLUSTERS)) == []
    assert show(envoy.ask(ENDPOINTS, "b")) == ["endpoints b=1"]


def test_an_unknown_name_is_left_unanswered(bench, make, show):
    envoy = bench.envoy()
    envoy.push(make(1, "a", "", "front>front@80", "front!a"))
    assert show(envoy.ask(ROUTES, "nobody")) == []


def test_an_envoy_that_restarts_is_given_everything_anew(bench, show, first):
    settled(bench, first)
    bench.take(Closed(1))
    assert not bench.state.ready
    envoy = bench.envoy(2)
    assert show(envoy.ask(CLUSTERS)) == ["clusters a"]
    assert show(envoy.ack(CLUSTERS)) == []
    assert show(envoy.ask(LISTENERS)) == ["listeners front>front@80"]
    envoy.ack(LISTENERS)
    assert show(envoy.ask(ROUTES, "front")) == ["routes front!a"]
    assert show(envoy.ack(ROUTES)) == []
    assert bench.state.ready


def test_an_envoy_that_comes_back_keeps_clusters_that_its_routes_may_use(bench, make, show, first):
    """The agent died and got a newer configuration from the mounted copy, while Envoy served on."""
    newer = make(2, "b", "", "front>front@80", "front!b")
    bench.state = restored(first, newer, (first.epoch, first.digest))
    envoy = bench.envoy()
    assert show(envoy.ask(CLUSTERS, version="old")) == ["clusters a b"]
    assert show(envoy.ask(ROUTES, "front", version="old")) == ["routes front!a"], "not yet the new route"
    envoy.ack(ROUTES)
    assert show(envoy.ack(CLUSTERS)) == []
    assert show(envoy.ask(LISTENERS, version="old")) == ["listeners front>front@80"]
    assert show(envoy.ack(LISTENERS)) == ["routes front!b"]


def test_a_second_envoy_gets_its_own_and_both_must_take_a_change(bench, make, show, first):
    old = settled(bench, first)
    new = bench.envoy(2)
    assert show(new.run(first)) == []
    wanted = make(2, "a", "", "front>front@80", "front=2!a")
    outputs = new.note(old.push(wanted))
    assert show(outputs) == ["routes front=2!a", "routes front=2!a"]
    assert show(old.ack(ROUTES)) == []
    assert show(new.ack(ROUTES)) == [f"accepted {wanted.digest}"]


def test_an_envoy_that_leaves_is_not_waited_for(bench, make, show, first):
    old = settled(bench, first)
    leaving = bench.envoy(2)
    leaving.ask(CLUSTERS)
    wanted = make(2, "a", "", "front>front@80", "front=2!a")
    old.push(wanted)
    assert show(old.ack(ROUTES)) == []
    assert show(bench.take(Closed(2))) == [f"accepted {wanted.digest}"]


def test_news_of_a_closed_stream_is_nothing(bench, show):
    bench.take(Opened(1))
    bench.take(Closed(1))
    assert show(bench.take(Request(1, CLUSTERS))) == []
    assert bench.state.streams == {}


def test_a_cluster_that_is_wanted_again_is_not_dropped(bench, make, show, first):
    envoy = settled(bench, first)
    envoy.push(make(2, "b", "", "front>front@80", "front!b"))
    envoy.ack(CLUSTERS)
    envoy.ack(ROUTES)
    bench.now += 1
    back = make(3, "a", "", "front>front@80", "front!a")
    assert show(envoy.push(back)) == ["routes front!a"], "Envoy still has both clusters"
    assert show(envoy.ack(ROUTES)) == [f"wake at {1 + LINGER_SECONDS:g}", f"accepted {back.digest}"]
    assert show(bench.tick(LINGER_SECONDS)) == ["clusters a"]
