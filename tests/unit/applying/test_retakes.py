"""A field that someone else keeps setting: when it is named, left alone, and forgotten."""

import pytest

from resilientslice.applying.conflict_words import field_conflicts, name_conflicts
from resilientslice.applying.retakes import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Contests
from resilientslice.planning.observed import TroubleKind

CHILD = ("Deployment", "shop-api")
LOST = [("spec.replicas", "scaler")]


def fought(*times):
    contests = Contests()
    for at in times:
        contests = contests.retaken(CHILD, LOST, at)
    return contests


def test_twice_is_nothing_to_speak_of():
    contests = fought(0.0, 10.0)
    assert contests.conflicts(11.0) == ()
    assert contests.held(11.0) == frozenset()
    assert contests.deadline(11.0) is None


def test_three_times_in_five_minutes_is_named_and_left_alone():
    contests = fought(0.0, 10.0, 20.0)
    (conflict,) = contests.conflicts(21.0)
    assert (conflict.object, conflict.field, conflict.manager) == (CHILD, "spec.replicas", "scaler")
    assert contests.held(21.0) == {CHILD}
    assert contests.deadline(21.0) == 20.0 + FIRST_PAUSE_SECONDS
    assert contests.held(20.0 + FIRST_PAUSE_SECONDS) == frozenset()


def test_three_times_over_a_longer_while_is_not():
    assert fought(0.0, 200.0, 300.0).conflicts(301.0) == ()


def test_two_fields_are_two_contests():
    contests = fought(0.0, 10.0).retaken(CHILD, [("spec.paused", "hand")], 20.0)
    assert contests.conflicts(21.0) == ()


def test_each_time_after_that_the_pause_is_longer_up_to_an_hour():
    contests, at, pauses = fought(0.0, 1.0, 2.0), 2.0, []
    for _ in range(6):
        at = contests.of[CHILD, "spec.replicas"].until
        contests = contests.retaken(CHILD, LOST, at)
        pauses.append(contests.of[CHILD, "spec.replicas"].until - at)
    assert pauses == [600.0, 1200.0, 2400.0, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS]


def test_a_conflict_that_is_over_is_forgotten():
    contests = fought(0.0, 10.0, 20.0)
    ends = 20.0 + FIRST_PAUSE_SECONDS + 300.0
    assert contests.current(ends - 1) is contests
    assert contests.deadline(ends - 1) == ends
    assert contests.conflicts(ends) == ()
    assert contests.current(ends).of == {}


def wished(contests, value, at):
    return contests.left(CHILD, {"spec.replicas": value}, at)


def test_only_the_field_is_left_and_only_while_the_same_is_wished_for():
    contests = Contests()
    for at in (0.0, 10.0, 20.0):
        contests = contests.retaken(CHILD, LOST, at, {"spec.replicas": "2"})
    ends = contests.of[CHILD, "spec.replicas"].until
    assert wished(contests, "2", ends - 1) == {"spec.replicas"}
    assert wished(contests, "3", ends - 1) == frozenset()
    assert wished(contests, "2", ends) == frozenset()
    assert contests.left(("Service", "shop-api"), {"spec.replicas": "2"}, 21.0) == frozenset()
    tried = contests.retaken(CHILD, LOST, 30.0, {"spec.replicas": "3"})
    assert tried.of[CHILD, "spec.replicas"].until == ends, "another wish makes the pause no longer"
    assert wished(tried, "3", 31.0) == {"spec.replicas"}
    assert wished(tried, "2", 31.0) == frozenset()


def test_a_contest_ends_with_its_field_and_with_its_object():
    contests = fought(0.0, 10.0, 20.0).retaken(CHILD, [("spec.paused", "hand")], 20.0)
    assert contests.about(CHILD) == {"spec.replicas", "spec.paused"}
    assert contests.without(CHILD, {"spec.replicas"}).about(CHILD) == {"spec.paused"}
    assert contests.without(("Service", "shop-api"), {"spec.replicas"}).of == contests.of
    assert contests.of_children({CHILD}) is contests
    assert contests.of_children({("Service", "shop-api")}).of == {}


def test_words_name_who_and_what():
    (trouble,) = field_conflicts(fought(0.0, 10.0, 20.0).conflicts(21.0))
    assert trouble.kind is TroubleKind.FIELD_CONFLICT
    assert trouble.message.startswith("Deployment shop-api: scaler keeps setting spec.replicas")
    (unknown,) = field_conflicts(Contests().retaken(CHILD, [("a", "")], 0.0).of.values())
    assert "someone keeps setting a" in unknown.message


@pytest.mark.parametrize("strangers", [[], [("Service", "shop-api")]])
def test_names_that_are_taken_are_named(strangers):
    found = name_conflicts(strangers)
    assert [trouble.kind for trouble in found] == [TroubleKind.NAME_CONFLICT] * len(strangers)
    assert all("Service shop-api exists and is not controlled by this slice" in trouble.message for trouble in found)
