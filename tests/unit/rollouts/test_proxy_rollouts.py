"""The line of proxies through an upgrade, in any order of events: never more at a time, and everybody's turn comes."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.rollouts.rollout_world import NEW, OLD, Cluster, Wanted

from resilientslice.kube.children import DIGEST_ANNOTATION

EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(0, 11)),
        st.tuples(st.just("end"), st.integers(0, 11)),
        st.tuples(st.just("work"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=60,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events=EVENTS, places=st.integers(1, 4))
def test_never_more_at_a_time_and_everybodys_turn_comes(events, places):
    at = Cluster(12, places)
    for what, number in events:
        key = at.keys[number]
        if what == "pass":
            at.do(key)
        elif what == "work":
            at.work()
        elif what == "restart":
            at.restart()
        elif at.rolling():
            done = at.rolling()[number % len(at.rolling())]
            at.end(done)
            at.heard(done)
        assert len(at.rolling()) <= places
    at.work()
    for _ in range(len(at.keys)):
        for key in at.rolling():
            at.end(key)
            at.heard(key)
        at.work()
        assert len(at.rolling()) <= places
    assert at.at(NEW) == 12, "woken by those before them alone"
    assert len(at.started) == 12, "each once"


def test_the_next_is_woken_at_once_and_in_order():
    at = Cluster(6, 2)
    at.woken.clear()
    for key in reversed(at.keys):
        at.do(key)
    assert at.started == [at.keys[5], at.keys[4]]
    waiting = sorted(at.keys[:4])
    for expected in waiting:
        done = at.rolling()[0]
        at.end(done)
        at.children.told(at.deployments[done])
        at.do(done)
        assert at.woken[0] == expected
        at.work()
        assert at.started[-1] == expected


def test_an_edit_does_not_wait_and_takes_a_place():
    at = Cluster(4, 1)
    at.work()
    waiting = next(key for key in at.keys if key not in at.rolling())
    assert at.do(waiting) is not None
    assert at.do(waiting, asked="y") is None
    assert len(at.rolling()) == 2, "one more than places: a person asked for it"
    first = at.started[0]
    at.end(first)
    at.heard(first)
    at.work()
    assert at.rolling() == [waiting]


@pytest.mark.parametrize("how", ["settle", "leave"])
def test_a_place_that_is_not_used_is_given_on(how):
    at = Cluster(3, 1)
    at.woken.clear()
    one, two, _ = sorted(at.keys)
    assert at.rollouts.look(one, Wanted(NEW)) is None
    assert at.rollouts.look(two, Wanted(NEW)) is not None
    getattr(at.rollouts, how)(one)
    assert list(at.woken) == [two]
    assert at.rollouts.look(two, Wanted(NEW)) is None


def test_what_was_written_is_counted_before_anybody_sees_it():
    at = Cluster(3, 1)
    one, two, _ = sorted(at.keys)
    assert at.rollouts.look(one, Wanted(NEW)) is None
    assert at.rollouts.look(two, Wanted(NEW)) is not None, "the write of the other is under way"
    at.apply(one, Wanted(NEW))
    at.children.saw(at.deployments[one])
    at.rollouts.settle(one)
    assert at.rollouts.look(two, Wanted(NEW)) is not None, "its controller has not counted yet"


def test_a_change_of_nothing_in_the_pods_hands_its_place_on():
    """The first upgrade to an operator that notes what it made."""
    at = Cluster(3, 1, wants=OLD)
    one, two, _ = sorted(at.keys)
    for live in at.deployments.values():
        live["metadata"]["annotations"] = {DIGEST_ANNOTATION: "of an operator that notes nothing"}
    at.restart()
    at.woken.clear()
    assert at.rollouts.look(one, Wanted(OLD)) is None
    assert at.rollouts.look(two, Wanted(OLD)) is not None
    live = at.deployments[one]
    metadata = {**live["metadata"], "annotations": Wanted(OLD).annotations(), "resourceVersion": "1000"}
    at.children.saw({**live, "metadata": metadata})
    at.rollouts.settle(one)
    assert list(at.woken) == [two]


def test_a_restarted_operator_takes_those_it_has_not_looked_at_for_waiting():
    """Else each status would be written anew while it looks at one slice after the other."""
    at = Cluster(12, 1)
    at.work()
    last = max(at.keys)
    before = at.do(last)
    assert before.before == 10
    at.restart()
    assert at.do(last) == before
