"""Whose slice it is, as one installation sees it; and when it stands back from one that makes no claims."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from resilientslice.api.reasons import Reason
from resilientslice.applying.retakes import FIRST_PAUSE_SECONDS
from resilientslice.claims.decision import (
    INSTALLATION_ANNOTATION,
    LOOK_SECONDS,
    UNKNOWN,
    Claimed,
    Place,
    claimed,
    contended,
    managed_by_another,
)
from resilientslice.claims.rivalry import Rivalry
from resilientslice.planning.observed import TroubleKind

UID, OURS, THEIRS = "uid-1", "operators/ours", "operators/theirs"


@dataclass(frozen=True)
class State:
    """The ConfigMap with a slice's state, as far as a claim is concerned."""

    owner_uid: str = UID
    deleting: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    kind: str = "ConfigMap"
    name: str = "shop-state"
    uid: str = "uid-2"
    replicas: int | None = None
    shape: str = ""


def held_by(holder):
    return State(annotations={INSTALLATION_ANNOTATION: holder})


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, Claimed.NOT_THERE),
        (State(owner_uid="of a slice that is gone"), Claimed.NOT_OURS),
        (State(owner_uid=""), Claimed.NOT_OURS),
        (State(deleting=True, annotations={INSTALLATION_ANNOTATION: OURS}), Claimed.NOT_OURS),
        (State(), Claimed.BY_NOBODY),
        (held_by("no place"), Claimed.BY_NOBODY),
        (held_by("operators/../x"), Claimed.BY_NOBODY),
        (held_by(OURS), Claimed.BY_US),
        (held_by(THEIRS), Claimed.BY_ANOTHER),
    ],
)
def test_by_whom_a_slice_is_claimed(state, expected):
    assert claimed(state, UID, OURS) is expected


@pytest.mark.parametrize(
    ("installation", "expected"),
    [
        ("a/b", Place("a", "b")),
        ("a.b-c/d", Place("a.b-c", "d")),
        ("a", None),
        ("/b", None),
        ("a/b/c", None),
        ("", None),
    ],
)
def test_only_what_can_be_a_lease_names_an_installation(installation, expected):
    assert Place.of(installation) == expected


def test_the_one_that_stands_back_names_the_holder_and_what_ends_it():
    said = managed_by_another("shop", THEIRS, OURS, "")
    assert THEIRS in said
    assert "takes over" in said
    unknown = managed_by_another("shop", THEIRS, OURS, "leases are forbidden")
    assert "leases are forbidden" in unknown
    assert f"{INSTALLATION_ANNOTATION} of ConfigMap shop-state" in unknown


@pytest.mark.parametrize(("contender", "words"), [(THEIRS, f"whose Lease is {THEIRS}"), (UNKNOWN, "older version")])
def test_the_one_that_manages_names_who_else_would(contender, words):
    trouble = contended(contender, OURS)
    assert (trouble.kind, trouble.reason) == (TroubleKind.OPERATOR_CONFLICT, Reason.MULTIPLE_INSTALLATIONS)
    assert words in trouble.message
    assert OURS in trouble.message


def test_a_slice_that_is_overwritten_three_times_is_left_alone_for_a_while():
    rivalry = Rivalry()
    for now in (0.0, 10.0):
        rivalry.note(now)
        assert rivalry.left_until(now) is None
    rivalry.note(20.0)
    assert rivalry.left_until(20.0) == 20.0 + FIRST_PAUSE_SECONDS
    assert rivalry.left_until(20.0 + FIRST_PAUSE_SECONDS) is None


def test_rivals_are_looked_at_again_and_again():
    assert Rivalry().deadlines(5.0) == []
    assert Rivalry(rivals=(contended(THEIRS, OURS),)).deadlines(5.0) == [5.0 + LOOK_SECONDS]
