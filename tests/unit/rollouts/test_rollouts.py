"""Whose proxies wait when a new operator changes them: who asked for what, who has a place, and who is next."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilientslice.applying.expected import expected_of
from resilientslice.kube.children import ASKED_ANNOTATION, REVISION_ANNOTATION
from resilientslice.planning.observed import Queued
from resilientslice.render.images import Images
from resilientslice.rollouts.slots import Line, queued, rough, unasked

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


S1, S2, T1, U1 = ("s", "1"), ("s", "2"), ("t", "1"), ("u", "1")


@pytest.mark.parametrize(
    ("line", "goes", "free", "stopped"),
    [
        (Line(2), True, 2, False),
        (Line(2, {B}), True, 1, False),
        (Line(2, {B, C}), False, 0, False),
        (Line(2, {A, C}), True, 0, False),  # it has its place already
        (Line(2, {A, B, C}), True, 0, False),
        # a tenant's rollouts stall: they hold one place together, and nothing more is tried there
        (Line(2, {S1, S2}, {S1, S2}, {S1, S2}), True, 1, False),
        (Line(2, {S1, S2, B}, {S1, S2}, {S1, S2}), False, 0, False),
        (Line(2, {B, C}, {B, C}, {B, C}), False, 1, False),
        # as they do for as many tenants as there are places: the version is taken for bad
        (Line(2, {S1, T1}, {S1, T1}, {S1, T1}), False, 0, True),
        (Line(2, {S1, T1}, {S1, T1}, {S1, T1}, succeeded=2), False, 0, True),
        (Line(2, {S1, T1}, {S1, T1}, {S1, T1}, succeeded=3), True, 2, False),
        (Line(2, {S1, S2, T1, U1}, {S1, S2, T1, U1}, {S1, S2, T1, U1}, succeeded=4), False, 0, True),
        # they had not settled before: no fault of the version's
        (Line(2, {S1, T1}, {S1, T1}, set()), True, 2, False),
        (Line(2, {S1, T1, U1}, {S1, T1, U1}, {U1}), True, 1, False),
        # the next version may be what mends it
        (Line(2, {A, T1}, {A, T1}, {A, T1}), True, 0, True),
    ],
)
def test_whose_turn_it_is(line, goes, free, stopped):
    assert (line.turn(A), line.free, line.stopped) == (goes, free, stopped)


def test_a_place_in_line_says_who_is_before_and_who_stalls():
    assert queued(C, (A, B, C, D), Line(2)) == Queued(before=2, places=2)
    assert queued(A, (A, B), Line(1, {B, D}, {D, B})) == Queued(0, 1, ("ns/b", "ns/d"))
    many = {("t", str(number)) for number in range(8)}
    named = tuple(f"t/{number}" for number in range(5))
    assert queued(A, (), Line(2, many, many)) == Queued(0, 2, named, unnamed=3)
    assert queued(A, (), Line(2, many, many, many)) == Queued(0, 2, named, unnamed=3)
    assert queued(("t", "9"), (), Line(2, many, many, many)) == Queued(0, 2, named, unnamed=3, stopped=True)
    assert queued(A, (), Line(1, many, many, many)) == Queued(0, 1, named, unnamed=3, stopped=True)


@pytest.mark.parametrize(("rolling", "woken"), [((), [A, B]), ((D,), [A]), ((D, ("x", "y")), []), ([D] * 5, [])])
def test_as_many_are_woken_as_there_are_places(rolling, woken):
    assert Line(2, rolling).next({C, A, B}) == woken


def test_nobody_is_woken_where_a_rollout_stalls():
    assert Line(3, {D}, {D}, {D}).next({A, T1, U1}) == [T1, U1]


@settings(deadline=None)
@given(st.integers(0, 20_000))
def test_a_rough_figure_is_an_upper_bound_that_is_not_far_off(count):
    assert count <= rough(count) <= 2.5 * count


def test_a_rough_figure_seldom_changes():
    assert len({rough(count) for count in range(1001)}) == 11
