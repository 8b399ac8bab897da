"""Rollouts of proxies that stall: how far a bad upgrade reaches, and that no place is held for ever."""

import pytest
from tests.unit.rollouts.rollout_world import NEW, NEWER, Cluster, Wanted

from resilientslice.kube.children import REVISION_ANNOTATION
from resilientslice.rollouts.slots import STALL_SECONDS


def test_a_bad_upgrade_stops_and_the_one_that_mends_it_goes_on():
    at = Cluster(8, 2, namespaces=8)
    at.work()
    first = at.rolling()
    for key in first:
        at.end(key, stuck=True)
        at.heard(key)
    at.work()
    assert (at.at(NEW), at.rolling()) == (2, first)
    found = at.do(sorted(at.keys)[7])
    assert found.stuck == tuple(sorted(str(key) for key in first))
    at.wants = NEWER
    at.restart()
    at.work()
    assert at.rolling() == first, "they have their places already"
    assert at.at(NEWER) == 2
    for _ in range(8):
        for key in at.rolling():
            at.end(key)
            at.heard(key)
        at.work()
    assert at.at(NEWER) == 8


def test_who_waits_is_told_when_a_rollout_turns_out_to_be_stuck_and_once():
    at = Cluster(4, 1)
    at.work()
    (one,) = at.rolling()
    at.end(one, stuck=True)
    at.heard(one)
    at.do(at.woken.popleft())
    assert sorted(at.woken) == sorted(key for key in at.keys if key != one)
    at.work()
    at.do(one)
    assert not at.woken


def test_one_tenants_rollouts_that_stall_do_not_hold_up_the_others():
    at = Cluster(40, 5, namespaces=8)
    broken = [key for key in at.keys if key.namespace == "ns-0"]
    assert len(broken) == 5
    at.work_in_order()
    assert sorted(at.rolling()) == sorted(broken), "by namespace and name, they come first"
    for _ in range(40):
        at.turn(*broken)
        assert len([key for key in at.rolling() if key not in broken]) <= 5
    assert at.at(NEW) == 40
    assert sorted(at.rolling()) == sorted(broken)


def test_those_who_wait_are_told_who_stalls_and_whether_it_goes_on():
    at = Cluster(12, 2, namespaces=4)
    at.work_in_order()
    one, two = at.rolling()
    assert {one.namespace, two.namespace} == {"ns-0"}
    at.turn(one, two)
    found = at.do(max(at.keys))
    assert (found.stuck, found.stopped) == ((str(one), str(two)), False)
    assert at.do(max(key for key in at.keys if key.namespace == "ns-0")).stopped, "nothing more is tried there"


@pytest.mark.parametrize(("namespaces", "most"), [(1, 5), (2, 9), (60, 15)])
def test_an_upgrade_that_fails_everywhere_reaches_a_few_and_stops(namespaces, most):
    """However long it is left alone."""
    at = Cluster(60, 5, namespaces=namespaces)
    at.work()
    for _ in range(20):
        at.turn(everything=True, seconds=STALL_SECONDS)
        at.look_again()
    assert at.at(NEW) <= most
    assert at.do(max(at.keys)).stopped


def test_an_upgrade_that_fails_for_most_stops_too():
    at = Cluster(120, 5, namespaces=40)
    bad = {key for number, key in enumerate(sorted(at.keys)) if number % 3}
    at.work()
    for _ in range(25):
        at.turn(*bad, seconds=STALL_SECONDS)
        at.look_again()
    assert len(bad) == 80
    assert sum(at.deployments[key]["metadata"]["annotations"][REVISION_ANNOTATION] == NEW for key in bad) <= 20


def test_a_few_that_stall_in_many_namespaces_hold_up_nobody_once_most_succeed():
    at = Cluster(120, 5, namespaces=40)
    bad = {key for number, key in enumerate(sorted(at.keys)) if number % 10 == 3}
    at.work()
    for _ in range(30):
        at.turn(*bad)
        at.look_again()
    assert (at.at(NEW), set(at.rolling())) == (120, bad)
    at.restart()
    at.work()
    assert at.at(NEW) == 120, "and a restart begins nothing anew"


def test_a_restart_in_the_middle_knows_what_had_succeeded():
    at = Cluster(120, 5, namespaces=40)
    bad = {key for number, key in enumerate(sorted(at.keys)) if number % 10 == 3}
    at.work()
    while at.at(NEW) < 80:
        at.turn(*bad)
        at.look_again()
    assert len([key for key in bad if key in at.rolling()]) > 5
    at.restart()
    at.work()
    for _ in range(30):
        at.turn(*bad)
        at.look_again()
    assert at.at(NEW) == 120


def test_those_that_had_not_settled_before_an_upgrade_say_nothing_of_it():
    at = Cluster(40, 5, namespaces=40)
    broken = sorted(at.keys)[:6]
    for key in broken:
        at.apply(key, Wanted("broken by an edit"))
        at.end(key, stuck=True)
    at.restart()
    at.work_in_order()
    assert set(broken) <= set(at.rolling()), "what mends them may be in it"
    for _ in range(20):
        at.turn(*broken)
        at.look_again()
    assert at.at(NEW) == 40


def test_a_rollout_that_is_kept_going_for_ever_holds_no_place_for_ever():
    """Edited again and again, it never gets stuck."""
    at = Cluster(20, 5, namespaces=20)
    endless = sorted(at.keys)[:5]
    at.work_in_order()
    assert sorted(at.rolling()) == endless
    for number in range(40):
        at.now += 60
        wanted = Wanted(f"{NEW} edited {number}", f"edit {number}")
        for key in endless:
            at.rollouts.look(key, wanted)
            at.apply(key, wanted)
            at.children.saw(at.deployments[key])
            at.rollouts.settle(key)
        for key in set(at.rolling()) - set(endless):
            at.end(key)
            at.heard(key)
        at.woken.extend(key for key in at.keys if key not in endless)
        at.work()
    assert at.at(NEW) == 15, "all others"


def test_a_rollout_that_ends_and_begins_anew_holds_no_place_for_ever():
    at = Cluster(12, 2, namespaces=12)
    churning = sorted(at.keys)[:2]
    at.work_in_order()
    for number in range(60):
        at.now += 50
        for key in churning:
            at.end(key)
            at.children.told(at.deployments[key])
        at.look_again()  # for a moment they have settled
        for key in churning:
            at.apply(key, Wanted(f"{number}"))
            at.children.told(at.deployments[key])
            at.rollouts.settle(key)
        for key in set(at.rolling()) - set(churning):
            at.end(key)
            at.heard(key)
        at.woken.extend(key for key in at.keys if key not in churning)
        at.work()
    others = [key for key in at.keys if key not in churning]
    assert all(at.deployments[key]["metadata"]["annotations"][REVISION_ANNOTATION] == NEW for key in others)


def test_a_slice_that_is_suspended_while_its_rollout_stalls_holds_no_place():
    at = Cluster(6, 1, namespaces=6)
    at.work_in_order()
    (one,) = at.rolling()
    at.end(one, stuck=True)
    at.children.told(at.deployments[one])
    at.woken.clear()
    at.rollouts.leave(one)
    assert list(at.woken)
    at.work()
    assert len(at.started) == 2
