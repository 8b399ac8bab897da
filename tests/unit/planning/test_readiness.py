"""What Ready, Reconciling and Stalled say together, and what tools that read them conclude: kubectl, kstatus, Flux."""

from dataclasses import replace

import pytest

from resilientslice.api.reasons import Reason
from resilientslice.api.services import StoreName
from resilientslice.api.status import NEVER, WAITING, Condition, Status
from resilientslice.planning.events import transitions
from resilientslice.planning.memory import memory_from_json, memory_to_json
from resilientslice.planning.observed import Store, Trouble, TroubleKind, Volume
from resilientslice.planning.status import invalid_status, suspended_status
from resilientslice.render.names import Track

POSTGRES = StoreName.POSTGRES
STUCK = "ProgressDeadlineExceeded"


def kstatus(status, generation):
    """The generic rules of sigs.k8s.io/cli-utils v0.37.2, pkg/kstatus/status: `Compute` of a custom resource."""
    if status.observed_generation != generation:
        return "InProgress"
    for condition in status.conditions:
        if (condition.type, condition.status) == ("Reconciling", "True"):
            return "InProgress"
        if (condition.type, condition.status) == ("Stalled", "True"):
            return "Failed"
    ready = next((condition.status for condition in status.conditions if condition.type == "Ready"), None)
    return "InProgress" if ready in ("False", "Unknown") else "Current"


def condition(cluster, kind):
    found = next(c for c in cluster.plan.status.conditions if c.type == kind)
    return found.status, found.reason, found.message


def verdict(cluster):
    return kstatus(cluster.plan.status, cluster.generation)


def see_workload(cluster, service, track=Track.STABLE, **changed):
    workloads = cluster.observed.workloads
    cluster.see(workloads={**workloads, (service, track): replace(workloads[service, track], **changed)}).reconcile()


@pytest.fixture
def plain(cluster):
    """Without a canary: edits roll out at once. Pods don't start from now on."""
    cluster.spec.pop("canary")
    cluster.edit().settle()
    cluster.pods_start = False
    cluster.events.clear()
    return cluster


def names(cluster):
    memory = cluster.plan.memory
    return memory.former, memory.stable.name


def test_a_rolling_update_is_neither_done_nor_an_outage(plain):
    old = plain.plan.memory.stable.name
    plain.edit(images={"payments": "2"}).settle()
    _, new = names(plain)
    assert condition(plain, "Ready") == (
        "Unknown",
        "RollingOut",
        f"{old} serves; {new} is rolling out: payments 0/3.",
    )
    assert condition(plain, "Reconciling")[:2] == ("True", "RollingOut")
    assert (plain.plan.status.phase, verdict(plain)) == ("Progressing", "InProgress")
    plain.pods_start = True
    plain.settle()
    assert condition(plain, "Ready") == ("True", "Serving", f"{new} serves.")
    assert (plain.plan.status.phase, verdict(plain)) == ("Ready", "Current")


def test_workers_without_a_port_and_proxies_are_part_of_a_rollout(plain):
    plain.edit(images={"worker": "2"}).settle()
    assert condition(plain, "Ready")[:2] == ("Unknown", "RollingOut")
    plain.pods_start = True
    plain.settle()
    plain.see(proxies_roll=True).reconcile()
    new = plain.plan.memory.stable.name
    assert condition(plain, "Ready") == ("Unknown", "RollingOut", f"{new} serves; the proxies are rolling out.")
    plain.see(proxies_short=True).reconcile()
    assert condition(plain, "Ready")[:2] == ("True", "Serving"), "one that was lost is no rollout"
    assert condition(plain, "Reconciling")[:2] == ("True", "RollingOut")


def test_nobody_says_who_serves_while_that_is_not_known(plain):
    plain.edit(images={"payments": "2"}).settle()
    see_workload(plain, "payments", counted=False, outdated=0)
    new = plain.plan.memory.stable.name
    assert condition(plain, "Ready")[2] == f"{new} is rolling out: payments (not updated yet)."


def test_pods_of_several_revisions_are_not_called_by_the_name_of_one(plain):
    """The second edit comes before the first is rolled out: pods of both may be left."""
    plain.edit(images={"payments": "2"}).settle()
    plain.edit(images={"payments": "3"}).settle()
    former, new = names(plain)
    assert former == ""
    assert condition(plain, "Ready")[2] == f"The former pods serve; {new} is rolling out: payments 0/3."


def test_the_former_revision_outlives_the_operator_and_a_record_without_it(plain):
    plain.edit(images={"payments": "2"}).settle()
    stored = memory_to_json(plain.plan.memory)
    assert memory_from_json(stored).former == plain.plan.memory.former != ""
    del stored["former"]
    assert memory_from_json(stored).former == ""


def test_a_rollout_that_failed_says_what_serves_what_fails_and_why_and_ends_by_itself(plain):
    old = plain.plan.memory.stable.name
    plain.edit(images={"payments": "2"}).settle()
    plain.see(troubles=(Trouble(TroubleKind.PODS, "ImagePullFailed", "shop-payments: no such image."),))
    see_workload(plain, "payments", stuck=True)
    new = plain.plan.memory.stable.name
    for kind, status in (("Ready", "False"), ("Stalled", "True")):
        assert condition(plain, kind) == (
            status,
            STUCK,
            f"{old} serves; {new} fails to roll out: payments 0/3 made no progress in time. "
            "shop-payments: no such image. Correct what fails, or go back to what ran before.",
        )
    assert condition(plain, "Reconciling")[:2] == ("False", STUCK)
    assert (plain.plan.status.phase, verdict(plain)) == ("Stalled", "Failed")
    see_workload(plain, "payments", stuck=False)
    assert condition(plain, "Stalled")[0] == "False"
    assert verdict(plain) == "InProgress"
    see_workload(plain, "payments", stuck=True)
    plain.edit(images={"payments": "3"}).reconcile()
    assert condition(plain, "Stalled")[0] == "False", "the edit has not failed"


def test_a_rollout_that_failed_and_became_ready_after_all_is_no_failure(plain):
    """The controller's word is older than its counts."""
    plain.pods_start = True
    plain.edit(images={"payments": "2"}).settle()
    see_workload(plain, "payments", stuck=True)
    assert (condition(plain, "Stalled")[0], verdict(plain)) == ("False", "Current")


def test_proxies_that_fail_to_roll_out_are_said_too(plain):
    plain.see(proxies_roll=True, proxies_stuck=True).reconcile()
    assert condition(plain, "Stalled")[:2] == ("True", STUCK)
    assert "the proxies made no progress in time" in condition(plain, "Ready")[2]


def test_one_transition_is_told_once(plain):
    before = plain.plan.status
    plain.edit(images={"payments": "2"}).settle()
    rolling = plain.plan.status
    see_workload(plain, "payments", stuck=True)
    failed = plain.plan.status
    plain.pods_start = True
    plain.edit(images={"payments": "3"}).settle()
    done = plain.plan.status
    told = [[event.reason for event in transitions(*turn)] for turn in ((before, rolling), (rolling, failed))]
    assert told == [[], [STUCK]]
    assert [event.reason for event in transitions(failed, done)] == ["Resumed", "Ready"]
    assert [event.reason for event in transitions(rolling, done)] == ["Ready"]


def test_a_canary_on_its_way_leaves_ready_alone_and_one_that_fails_is_what_stalls(cluster):
    stable = cluster.plan.memory.stable.name
    cluster.pods_start = False
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    assert condition(cluster, "Ready")[:2] == ("True", "Serving")
    assert condition(cluster, "Reconciling")[:2] == ("True", "CanaryStarting")
    assert verdict(cluster) == "InProgress"
    see_workload(cluster, "payments", Track.CANARY, stuck=True)
    canary = cluster.plan.memory.canary.name
    assert condition(cluster, "Ready")[:2] == ("True", "Serving")
    said = f"{stable} serves; {canary} fails to roll out: payments 0/3 made no progress in time. "
    advice = f"Correct what fails, or set spec.canary.abort: {canary}."
    assert condition(cluster, "Stalled") == ("True", STUCK, said + advice)
    assert condition(cluster, "CanaryHealthy") == ("False", STUCK, said + advice)
    assert condition(cluster, "Reconciling")[:2] == ("False", STUCK)
    assert verdict(cluster) == "Failed"
    cluster.edit(canary={"abort": canary}).settle()
    assert (condition(cluster, "Stalled")[0], verdict(cluster)) == ("False", "Current")


def test_a_promotions_update_of_stable_is_a_rollout(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    canary = cluster.plan.memory.canary.name
    cluster.pods_start = False
    cluster.edit(canary={"weight": 100}).settle()
    assert cluster.plan.status.canary.phase == "Promoting"
    status, reason, message = condition(cluster, "Ready")
    assert (status, reason) == ("Unknown", "RollingOut")
    assert f"{canary} keeps serving" in message
    see_workload(cluster, "payments", stuck=True)
    status, reason, message = condition(cluster, "Ready")
    assert (status, reason) == ("False", STUCK)
    assert message.startswith(f"{canary} serves on the canary track; {canary} fails to roll out: payments 0/3")


MANAGED = {"postgres": {"managed": {}}, "redis": {"managed": {}}}


@pytest.fixture
def stored(cluster):
    """PostgreSQL is used by payments, Redis by nobody; both are ready."""
    cluster.spec["stores"] = MANAGED
    cluster.service("payments")["stores"] = ["postgres"]
    cluster.spec.pop("canary")
    stores = {StoreName.POSTGRES: Store(1), StoreName.REDIS: Store(1)}
    cluster.edit().see(stores=stores).settle()
    assert verdict(cluster) == "Current"
    return cluster


def see_store(cluster, store, name=POSTGRES):
    cluster.see(stores={**cluster.observed.stores, name: store}).reconcile()


def test_a_store_that_services_use_belongs_to_ready_with_the_pods_reason(stored):
    see_store(stored, Store(0))
    assert condition(stored, "Ready") == ("False", "StoreNotReady", "Not ready: postgres 0/1.")
    assert condition(stored, "Reconciling")[:2] == ("True", "RollingOut")
    assert (stored.plan.status.phase, verdict(stored)) == ("Degraded", "InProgress")
    said = "shop-postgres: no node takes its pod: no room"
    stored.see(troubles=(Trouble(TroubleKind.PODS, "Unschedulable", said),)).reconcile()
    assert condition(stored, "Ready") == ("False", "Unschedulable", f"Not ready: postgres 0/1. {said}")
    stored.see(troubles=(), stores={}).reconcile()
    assert condition(stored, "Ready")[2] == "Not ready: postgres 0/1.", "its StatefulSet isn't there"
    assert [(s.name, s.ready, s.desired) for s in stored.plan.status.stores] == [("postgres", 0, 1), ("redis", 0, 1)]


def test_a_slice_whose_store_never_came_up_was_never_ready(fresh):
    fresh.spec["stores"] = MANAGED
    fresh.service("payments")["stores"] = ["postgres"]
    fresh.settle()
    assert (fresh.plan.status.phase, fresh.plan.memory.served) == ("Pending", False)


def test_a_store_that_no_service_uses_is_under_way_and_stands_in_nobodys_way(stored):
    see_store(stored, Store(0), StoreName.REDIS)
    assert condition(stored, "Ready")[:2] == ("True", "Serving")
    assert condition(stored, "Reconciling") == ("True", "RollingOut", "Waiting for redis 0/1.")
    assert verdict(stored) == "InProgress"


def test_a_store_that_is_restarted_or_remade_is_under_way(stored):
    see_store(stored, Store(1, rolling=True))
    assert condition(stored, "Reconciling") == ("True", "RollingOut", "Waiting for postgres (not updated yet).")
    see_store(stored, Store(0, remade=True))
    assert condition(stored, "Ready")[:2] == ("True", "Serving")
    assert "created again, its pod continues" in condition(stored, "Reconciling")[2]


def test_an_external_store_has_no_pods_and_one_elsewhere_is_not_counted(stored):
    stored.spec["stores"] = {"postgres": {"external": {"secretName": "db"}}}
    stored.edit().see(stores={}).settle()
    assert (stored.plan.status.stores, verdict(stored)) == ((), "Current")
    stored.spec["stores"] = {"postgres": {"cnpg": {"instances": 3}}}
    stored.edit().see(stores={POSTGRES: Store(None)}).settle()
    assert (stored.plan.status.stores, verdict(stored)) == ((), "Current")
    see_store(stored, Store(2))
    assert condition(stored, "Ready")[2] == "Not ready: postgres 2/3."


def test_the_size_that_is_stands_beside_the_one_that_is_asked_for(stored):
    waits = "PersistentVolumeClaim data-shop-postgres-0 grows from 1Gi to 5Gi."
    stored.see(volumes={POSTGRES: Volume("5Gi", "1Gi", waits)}).reconcile()
    found = stored.plan.status.stores[0]
    assert (found.storage, found.requested_storage) == ("1Gi", "5Gi")
    assert condition(stored, "Reconciling") == ("True", "VolumeExpanding", waits)
    assert condition(stored, "Ready")[0] == "True"
    stored.see(volumes={POSTGRES: Volume("5Gi", "5Gi")}).reconcile()
    assert verdict(stored) == "Current"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(TroubleKind.REFUSED, Reason.REFUSED), (TroubleKind.NAME_CONFLICT, Reason.OBJECT_NOT_OWNED)],
)
def test_stalled_and_reconciling_are_never_both_true(plain, kind, reason):
    plain.see(troubles=(Trouble(kind, reason, "because"),))
    plain.edit(images={"payments": "2"}).settle()
    assert condition(plain, "Reconciling")[:2] == ("False", reason)
    assert verdict(plain) == "Failed"


def test_a_slice_that_nobody_has_looked_at_is_not_current(fresh):
    assert kstatus(WAITING, 1) == "InProgress"
    slice_ = fresh.slice_().model_copy(update={"status": WAITING})
    for status in (suspended_status(slice_, 2000.0), invalid_status(WAITING, 1, "no", 2000.0)):
        assert kstatus(status, 1) != "Current"
        assert {c.last_transition_time for c in status.conditions} == {"1970-01-01T00:33:20Z"}
        assert "Pending" not in {c.reason for c in status.conditions}


def test_what_was_set_at_creation_is_no_observation(fresh):
    """Its time is not kept, and leaving it is no transition."""
    assert {condition.last_transition_time for condition in WAITING.conditions} == {NEVER}
    fresh.pods_start = False
    status = fresh.reconcile().status
    assert all(c.last_transition_time != NEVER for c in status.conditions)
    bad = Condition(type="Ready", status="False", reason="ProxiesNotReady", last_transition_time="now")
    assert transitions(WAITING, Status(conditions=(bad,))) == ()
