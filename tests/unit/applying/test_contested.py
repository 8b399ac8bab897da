"""What is applied of an object of which others set fields, too."""

import copy

import pytest

from resilientslice.applying.contested import take_back
from resilientslice.applying.retakes import FIRST_PAUSE_SECONDS, Contests
from resilientslice.kube.children import MANAGER

CHILD = ("Deployment", "shop-api-stable")
WANTED = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "shop-api-stable", "labels": {"app": "api"}},
    "spec": {"replicas": 2, "paused": False},
}
OURS = {"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {"f:replicas": {}, "f:paused": {}}}
REPLICAS = "spec.replicas"


def entry(manager, fields):
    return {"manager": manager, "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": fields}


def stored(*lost, manager="scaler"):
    """The object once another manager has taken the fields of its spec that are named."""
    live = copy.deepcopy(WANTED)
    ours = copy.deepcopy(OURS)
    for name in lost:
        del ours["f:spec"][f"f:{name}"]
        live["spec"][name] = {"replicas": 9, "paused": True}[name]
    others = [entry(manager, {"f:spec": {f"f:{name}": {} for name in lost}})] if lost and manager else []
    live["metadata"]["managedFields"] = [entry(MANAGER, ours), *others]
    return live


def fought(live, *, times, drift=True):
    """Contests after the object was found like that so many times, ten seconds apart, and the last result."""
    contests, found = Contests(), None
    for number in range(times):
        found = take_back(contests, CHILD, live, WANTED, number * 10.0, drift=drift)
        contests = found.contests
    return contests, found


def test_what_nobody_took_is_applied_whole():
    found = take_back(Contests(), CHILD, stored(), WANTED, 0.0, drift=False)
    assert (found.wanted, found.taken, found.left) == (WANTED, (), frozenset())


def test_a_field_that_was_taken_is_taken_back_and_its_taker_named():
    _, found = fought(stored("replicas"), times=1)
    assert found.taken == ((REPLICAS, "scaler"),)
    assert found.wanted == WANTED


def test_a_field_that_is_taken_again_and_again_is_left_and_the_rest_is_applied():
    contests, _ = fought(stored("replicas"), times=3)
    found = take_back(contests, CHILD, stored("replicas"), WANTED, 25.0, drift=True)
    assert found.left == {REPLICAS}
    assert "replicas" not in found.wanted["spec"]
    assert found.wanted["spec"]["paused"] is False
    assert found.taken == ()


def test_another_wish_is_tried_at_once():
    contests, _ = fought(stored("replicas"), times=3)
    wish = copy.deepcopy(WANTED)
    wish["spec"]["replicas"] = 4
    found = take_back(contests, CHILD, stored("replicas"), wish, 25.0, drift=False)
    assert found.left == frozenset()
    assert found.wanted["spec"]["replicas"] == 4


def test_an_edit_of_the_slice_counts_no_retake_of_what_was_not_contested_before():
    contests, _ = fought(stored("replicas"), times=4, drift=False)
    assert contests.of == {}


def test_a_contest_ends_when_the_other_gives_the_field_up():
    contests, _ = fought(stored("replicas"), times=3)
    found = take_back(contests, CHILD, stored("replicas", manager=""), WANTED, 25.0, drift=True)
    assert found.left == frozenset()
    assert found.wanted == WANTED


@pytest.mark.parametrize("now", [25.0, 20.0 + FIRST_PAUSE_SECONDS])
def test_a_contest_ends_when_the_slice_sets_the_field_no_more(now):
    contests, _ = fought(stored("replicas"), times=3)
    without = copy.deepcopy(WANTED)
    del without["spec"]["replicas"]
    assert take_back(contests, CHILD, stored("replicas"), without, now, drift=False).contests.of == {}
