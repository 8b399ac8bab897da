"""When a status is written, and which Events its transitions make."""

import pytest

from resilientslice.api.reasons import Reason
from resilientslice.api.status import Condition, SloStatus, Status
from resilientslice.planning.events import LIVE_SECONDS, transitions, write_at
from resilientslice.planning.observed import Trouble, TroubleKind
from resilientslice.planning.status import invalid_status

REASONS = {
    ("Ready", "False"): "PodsNotReady",
    ("ConfigAccepted", "False"): "ConfigRejected",
    ("Stalled", "True"): "InvalidSpec",
    ("NameConflict", "True"): "ObjectNotOwned",
    ("FieldConflict", "True"): "FieldManagerConflict",
}


def status(**conditions):
    return Status(
        conditions=tuple(
            Condition(type=kind, status=value, reason=REASONS.get((kind, value), ""), last_transition_time="now")
            for kind, value in conditions.items()
        )
    )


def test_the_same_is_not_written():
    assert write_at(status(Ready="True"), status(Ready="True"), written=0.0, now=10.0) is None


def test_a_change_is_written_at_once():
    assert write_at(status(Ready="True"), status(Ready="False"), written=9.0, now=10.0) == 10.0


def test_figures_alone_are_written_once_a_minute():
    before, after = Status(), Status(slo=SloStatus(sli="99.9", budget_remaining="80"))
    assert write_at(before, after, written=9.0, now=10.0) == 9.0 + LIVE_SECONDS
    assert write_at(before, after, written=9.0, now=9.0 + LIVE_SECONDS) == 9.0 + LIVE_SECONDS
    assert write_at(before, Status(slo=SloStatus(state="Burning")), written=9.0, now=10.0) == 10.0


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, {"Ready": "False"}, []),
        ({}, {"Ready": "True"}, [("Normal", "Ready")]),
        ({"Ready": "False"}, {"Ready": "True"}, [("Normal", "Ready")]),
        ({"Ready": "True"}, {"Ready": "True"}, []),
        ({"Ready": "True"}, {"Ready": "False"}, [("Warning", "PodsNotReady")]),
        ({"Ready": "False"}, {"Ready": "False"}, []),
        ({"ConfigAccepted": "Unknown"}, {"ConfigAccepted": "True"}, []),
        ({"ConfigAccepted": "Unknown"}, {"ConfigAccepted": "False"}, [("Warning", "ConfigRejected")]),
        ({"ConfigAccepted": "False"}, {"ConfigAccepted": "True"}, [("Normal", "ConfigAccepted")]),
        ({}, {"Stalled": "False"}, []),
        ({}, {"Stalled": "True"}, [("Warning", "InvalidSpec")]),
        ({"Stalled": "True"}, {"Stalled": "False"}, [("Normal", "Resumed")]),
        ({}, {"NameConflict": "True"}, [("Warning", "ObjectNotOwned")]),
        ({"NameConflict": "True"}, {}, [("Normal", "NameConflictResolved")]),
        ({"FieldConflict": "True"}, {}, [("Normal", "FieldConflictResolved")]),
        (
            {"Ready": "False"},
            {"Ready": "True", "FieldConflict": "True"},
            [("Warning", "FieldManagerConflict"), ("Normal", "Ready")],
        ),
    ],
    ids=str,
)
def test_each_turn_is_told_once(before, after, told):
    assert [(event.type, event.reason) for event in transitions(status(**before), status(**after))] == told


def conditions(found):
    return {condition.type: (condition.status, condition.reason) for condition in found.conditions}


def test_a_resource_that_is_not_understood_keeps_what_was_observed(cluster):
    before = cluster.plan.status
    after = invalid_status(before, 7, "spec.services: is required", 2000.0)
    assert (after.phase, after.observed_generation) == ("Stalled", 7)
    assert conditions(after)["Ready"] == ("True", "Serving")
    assert conditions(after)["Stalled"] == ("True", "InvalidSpec")
    assert after.config == before.config
    assert "spec.services: is required" in next(c.message for c in after.conditions if c.type == "Stalled")
    assert invalid_status(after, 7, "spec.services: is required", 3000.0) == after


@pytest.mark.parametrize(
    ("kind", "reason", "found"),
    [
        (TroubleKind.REFUSED, Reason.REFUSED, {"Stalled": ("True", "Refused"), "Ready": ("True", "Serving")}),
        (
            TroubleKind.NAME_CONFLICT,
            Reason.OBJECT_NOT_OWNED,
            {"Stalled": ("True", "ObjectNotOwned"), "NameConflict": ("True", "ObjectNotOwned")},
        ),
        (
            TroubleKind.FIELD_CONFLICT,
            Reason.FIELD_MANAGER_CONFLICT,
            {"Stalled": ("False", "NotStalled"), "FieldConflict": ("True", "FieldManagerConflict")},
        ),
        (TroubleKind.PODS, Reason.CRASH_LOOP, {"Stalled": ("False", "NotStalled"), "Ready": ("True", "Serving")}),
    ],
)
def test_troubles_become_conditions_and_go_with_them(cluster, kind, reason, found):
    status = cluster.see(troubles=(Trouble(kind, reason, "because"),)).reconcile().status
    assert found.items() <= conditions(status).items()
    after = conditions(cluster.see(troubles=()).reconcile().status)
    assert after["Stalled"] == ("False", "NotStalled")
    assert not {"NameConflict", "FieldConflict"} & after.keys()


def test_why_pods_are_missing_is_said_where_they_are_missed(fresh):
    fresh.pods_start = False
    fresh.see(troubles=(Trouble(TroubleKind.PODS, "ImagePullFailed", "shop-api: no such image"),)).reconcile()
    ready = next(c for c in fresh.plan.status.conditions if c.type == "Ready")
    assert ready.reason == "ImagePullFailed"
    assert ready.message.endswith("shop-api: no such image")
    moving = next(c for c in fresh.plan.status.conditions if c.type == "Reconciling")
    assert moving.message.endswith("shop-api: no such image")
