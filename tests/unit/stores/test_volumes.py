"""What is asked of a store's volume claim and what is said of it, for every pair of sizes."""

import pytest

from resilientslice.api.services import StoreName
from resilientslice.stores.volume_sizes import (
    Claim,
    claim_of,
    grows,
    not_resized,
    other_class,
    sizing_of,
    volume_of,
)

POSTGRES = StoreName.POSTGRES


def claim(requested="1Gi", capacity="1Gi", **fields):
    return Claim("data-shop-postgres-0", requested, capacity, "fast", **fields)


@pytest.mark.parametrize(
    ("asked", "found", "in_force", "request_", "reason"),
    [
        ("1Gi", None, "1Gi", "", ""),
        ("1Gi", claim(), "1Gi", "", ""),
        ("1024Mi", claim(), "1024Mi", "", ""),  # the same, in the slice's own words
        ("5Gi", claim(), "5Gi", "5Gi", ""),
        ("5Gi", claim("5Gi", "1Gi"), "5Gi", "", ""),  # grows
        ("3Gi", claim("5Gi", "1Gi"), "3Gi", "3Gi", ""),  # taken back in part
        ("1Gi", claim("5Gi", "1Gi"), "1Gi", "", ""),  # taken back
        ("1Gi", claim("5Gi", "5Gi"), "5Gi", "", "VolumeShrinkForbidden"),
        ("1Gi", claim("5Gi", "3Gi"), "5Gi", "", "VolumeShrinkForbidden"),
        ("1Gi", claim("5Gi", ""), "5Gi", "", "VolumeShrinkForbidden"),  # no volume yet, and it can't be changed
        ("5Gi", claim("1Gi", ""), "5Gi", "5Gi", ""),
        ("5Gi", claim("5Gi", "1Gi", infeasible=True), "5Gi", "", "VolumeExpansionFailed"),
        ("5Gi", claim("5Gi", "5Gi", infeasible=True), "5Gi", "", ""),  # an earlier attempt
    ],
)
def test_sizes(asked, found, in_force, request_, reason):
    sizing = sizing_of(POSTGRES, asked, found)
    assert (sizing.in_force, sizing.request) == (in_force, request_)
    assert (sizing.trouble.reason if sizing.trouble else "") == reason


def test_a_size_that_is_refused_keeps_what_is_and_says_what_to_do():
    sizing = not_resized(POSTGRES, "5Gi", claim(), "only dynamic")
    assert sizing.in_force == "1Gi"
    assert sizing.trouble.message == (
        "PersistentVolumeClaim data-shop-postgres-0 stays at 1Gi and does not grow to 5Gi: only dynamic. "
        "Set allowVolumeExpansion: true on StorageClass fast, or set spec.stores.postgres.managed.storage back to 1Gi."
    )
    quota = not_resized(POSTGRES, "5Gi", claim(), "exceeded quota: few")
    assert "Raise the ResourceQuota" in quota.trouble.message
    pending = not_resized(POSTGRES, "5Gi", claim(capacity=""), "is immutable")
    assert "delete it and its pod" in pending.trouble.message


def test_one_that_can_not_be_taken_back_may_still_come():
    assert not_resized(POSTGRES, "3Gi", claim("5Gi", "1Gi"), "forbidden").trouble is None


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (claim(), ""),
        (claim("5Gi", "1Gi"), "PersistentVolumeClaim data-shop-postgres-0 grows from 1Gi to 5Gi."),
        (claim("5Gi", "1Gi", conditions={"FileSystemResizePending": ""}), "delete pod shop-postgres-0"),
        (claim("5Gi", "1Gi", conditions={"NodeResizeError": "no tool"}), "NodeResizeError: no tool"),
    ],
)
def test_growth_is_told_in_words(found, words):
    volume = volume_of(POSTGRES, "shop", found)
    assert words in volume.growth
    assert bool(volume.growth) is grows(found)


def test_a_class_can_not_be_changed():
    assert other_class(POSTGRES, "fast", claim()) is None
    assert other_class(POSTGRES, None, claim()) is None
    assert other_class(POSTGRES, "slow", None) is None
    assert other_class(POSTGRES, "slow", claim()).reason == "StorageClassImmutable"


def test_a_claim_is_read_as_it_is_stored():
    stored = {
        "metadata": {"name": "data-shop-postgres-0"},
        "spec": {"resources": {"requests": {"storage": "5e9"}}, "storageClassName": "fast"},
        "status": {
            "capacity": {"storage": "1Gi"},
            "allocatedResourceStatuses": {"storage": "NodeResizeInfeasible"},
            "conditions": [
                {"type": "Resizing", "status": "True", "message": "at it"},
                {"type": "FileSystemResizePending", "status": "False"},
            ],
        },
    }
    found = claim_of(stored)
    assert (found.requested, found.capacity, found.storage_class) == ("5e9", "1Gi", "fast")
    assert (found.conditions, found.infeasible, grows(found)) == ({"Resizing": "at it"}, True, True)
    bare = claim_of({**stored, "status": None})
    assert (bare.capacity, bare.conditions, bare.infeasible) == ("", {}, False)
