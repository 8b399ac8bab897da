"""Equal parts are kept once, and nothing that is kept differs from what was given."""

import copy
from typing import Any

import pytest

from resilientslice.api.slice import ResilientSlice
from resilientslice.api.validation import parse_slice
from resilientslice.canary.state import State
from resilientslice.controller.interning import Shared, graft
from resilientslice.planning.memory import Memory
from resilientslice.render.revision import revision_of, revision_to_json


def slice_(name: str, image: str = "example.org/web:1") -> ResilientSlice:
    service = {"name": "web", "image": image, "port": 8000, "expose": {}}
    return parse_slice(
        {
            "apiVersion": "resilientslice.dev/v1alpha1",
            "kind": "ResilientSlice",
            "metadata": {"name": name},
            "spec": {"services": [service], "canary": {"weight": 0}},
        }
    )


def test_two_slices_share_what_is_the_same() -> None:
    shared = Shared()
    one, two = shared.of(slice_("one")), shared.of(slice_("two"))
    assert one is not two
    assert one.spec is two.spec
    three = shared.of(slice_("three", "example.org/web:2"))
    assert three.spec is not one.spec
    assert three.spec.services[0].probes is one.spec.services[0].probes
    assert three.spec.resilience is one.spec.resilience


def test_so_do_revisions_and_their_templates() -> None:
    shared = Shared()
    memories = [
        Memory(stable=revision, state=State(stable=revision.name))
        for revision in (revision_of(slice_("one")), revision_of(slice_("two", "example.org/web:2")))
    ]
    one, two = (shared.of(memory).stable.services["web"] for memory in memories)
    first, second = (found.template["spec"]["containers"][0] for found in (one, two))
    assert first["image"] != second["image"]
    assert first["securityContext"] is second["securityContext"]


def test_what_is_kept_is_what_was_given() -> None:
    shared = Shared()
    for number in range(3):
        made = slice_(f"s{number}", f"example.org/web:{number}")
        revision = revision_of(made)
        wanted, described = copy.deepcopy(made), copy.deepcopy(revision_to_json(revision))
        assert shared.of(made) == wanted
        assert revision_to_json(shared.of(revision)) == described


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": None}, {"b": None}),
        ({"a": {}}, {"a": []}),
        ([1, 2], [2, 1]),
        ((1,), [1]),
        ({"a": [1]}, {"a": [1, 1]}),
    ],
)
def test_what_differs_is_kept_apart(one: Any, two: Any) -> None:
    shared = Shared()
    before = repr(one), repr(two)
    assert (repr(shared.of(one)), repr(shared.of(two))) == before


def test_what_equals_is_one_at_any_depth() -> None:
    shared = Shared()
    one = shared.of({"a": [{"b": ("x", 1)}], "c": 1})
    two = shared.of({"a": [{"b": ("x", 1)}], "c": 2})
    assert one["a"] is two["a"]
    assert shared.of(None) is None


def test_it_remembers_no_more_than_so_much() -> None:
    shared = Shared(most=4)
    first = shared.of({"a": {"b": {}}})
    assert shared.of({"a": {"b": {}}}) is first
    shared.of([[[1], [2], [3]]])
    assert shared.of({"a": {"b": {}}}) is not first


def test_what_is_done_is_left_as_it_is() -> None:
    shared, done = Shared(), {"a": "".join(["x", "y"])}
    found = shared.of((done, {"a": "xy"}), but=[done])
    assert found[0] is done
    assert found[1] is not done


def test_a_new_generation_takes_what_it_has_in_common_from_the_one_before() -> None:
    before, now = slice_("one"), slice_("one")
    now = now.model_copy(update={"spec": now.spec.model_copy(update={"canary": None})})
    wanted = copy.deepcopy(now)
    assert now.spec.services is not before.spec.services
    graft(now.spec, before.spec)
    assert now.spec.services is before.spec.services
    assert now == wanted
