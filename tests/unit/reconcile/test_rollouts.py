"""Whose proxies wait when a new operator changes them: who asked for what, who has a place, and who is next."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilientslice.reconcile.children import REVISION_ANNOTATION
from resilientslice.reconcile.expected import expected_of
from resilientslice.reconcile.rollouts import ASKED_ANNOTATION, Queued, next_in_line, queued, rough, turn, unasked
from resilientslice.render.images import Images

PROXIES = ("Deployment", "shop-proxy")
A, B, C, D = (("ns", name) for name in "abcd")


def noted(template, asked):
    return {REVISION_ANNOTATION: template, ASKED_ANNOTATION: asked}


@pytest.mark.parametrize(
    ("applied", "wanted", "waits"),
    [
        (noted("1", "x"), noted("1", "x"), False),
        (noted("1", "x"), noted("2", "x"), True),
        (noted("1", "x"), noted("2", "y"), False),  # the slice was edited
        (noted("1", "x"), noted("1", "y"), False),  # edited, and no pod changes
        ({}, noted("2", "x"), True),  # by an operator that noted nothing
        ({REVISION_ANNOTATION: "1"}, noted("2", "x"), True),
    ],
)
def test_what_nobody_asked_for_waits(applied, wanted, waits):
    assert unasked(applied, wanted) is waits


def annotations(cluster, images=None):
    desired = cluster.reconcile().desired
    return expected_of(replace(desired, images=images or desired.images))[PROXIES].notes


def test_an_operators_own_choice_is_told_from_an_edit(cluster):
    before = annotations(cluster)
    assert unasked(before, annotations(cluster, Images(agent="agent:2")))
    assert unasked(before, annotations(cluster, Images(envoy="envoy:2")))
    cluster.spec["resilience"] = {"timeout": "3s"}
    cluster.edit(images={"api": "2"})
    assert annotations(cluster) == before, "nothing of this is in the proxies' pods"
    cluster.spec["proxy"] = {"image": "envoy:mine"}
    edited = annotations(cluster, Images(agent="agent:2"))
    assert not unasked(before, edited), "it was edited, so it does not wait for the operator's new agent either"
    cluster.spec["proxy"] = {"replicas": 2}
    assert annotations(cluster) == before, "a default that is written down is no edit"


@pytest.mark.parametrize(
    ("rolling", "goes"),
    [((), True), ((B,), True), ((B, C), False), ((A, C), True), ((A, B, C), True)],
)
def test_one_that_rolls_has_its_place_already(rolling, goes):
    assert turn(A, rolling, 2) is goes


def test_a_place_in_line_says_who_is_before_and_who_does_not_get_on():
    assert queued(C, (A, B, C, D), (), 2) == Queued(before=2, places=2)
    assert queued(A, (A, B), (D, B), 1) == Queued(0, 1, ("ns/b", "ns/d"))
    many = [("ns", str(number)) for number in range(8)]
    assert queued(A, (), many, 1) == Queued(0, 1, tuple(f"ns/{number}" for number in range(5)), unnamed=3)


@pytest.mark.parametrize(("rolling", "woken"), [((), [A, B]), ((D,), [A]), ((D, ("x", "y")), []), ([D] * 5, [])])
def test_as_many_are_woken_as_there_are_places(rolling, woken):
    assert next_in_line({C, A, B}, rolling, 2) == woken


@settings(deadline=None)
@given(st.integers(0, 20_000))
def test_a_rough_figure_is_an_upper_bound_that_is_not_far_off(count):
    assert count <= rough(count) <= 2.5 * count


def test_a_rough_figure_seldom_changes():
    assert len({rough(count) for count in range(1001)}) == 11
