"""Replicas while revisions change: autoscalers' floors, and counts that are not to be trusted yet."""

import json
from dataclasses import replace

import pytest
from tests.unit.planning.planned import objects

from resilientslice.canary.state import Phase
from resilientslice.planning.memory import memory_from_json, memory_to_json
from resilientslice.planning.transit import SIZES_SECONDS
from resilientslice.render.names import Track


def scale(cluster, **sizes):
    """An autoscaler's doing: `stable=20` of payments."""
    found = dict(cluster.observed.workloads)
    for track, size in sizes.items():
        key = ("payments", Track(track))
        found[key] = replace(found[key], desired=size, ready=size, updated=size)
    return cluster.see(workloads=found)


def floors(cluster):
    found = objects(cluster, "HorizontalPodAutoscaler")
    return {name.removeprefix("shop-payments-"): one["spec"]["minReplicas"] for name, one in found.items()}


@pytest.fixture
def scaled(cluster):
    """payments is scaled by itself, and has 20 replicas."""
    payments = cluster.service("payments")
    payments.pop("replicas")
    payments["autoscaling"] = {"minReplicas": 2, "maxReplicas": 40}
    cluster.edit().settle()
    scale(cluster, stable=20)
    cluster.reconcile()
    return scale(cluster, stable=20)


def test_the_canary_has_stables_floor_and_it_never_shrinks(scaled):
    assert floors(scaled) == {"stable": 2}
    scaled.edit(images={"payments": "2"}, canary={"weight": 30}).reconcile()
    assert floors(scaled) == {"stable": 20, "canary": 20}
    scale(scaled, stable=30)
    scaled.reconcile()
    assert floors(scaled) == {"stable": 30, "canary": 30}
    scale(scaled, stable=20)
    scaled.reconcile()
    assert floors(scaled) == {"stable": 30, "canary": 30}
    scale(scaled, stable=99)
    scaled.reconcile()
    assert floors(scaled) == {"stable": 40, "canary": 40}, "the maximum holds"


def test_a_canary_smaller_than_stable_is_not_ready(scaled):
    scaled.edit(images={"payments": "2"}, canary={"weight": 30}).reconcile()
    scaled.reconcile()
    assert scaled.plan.status.canary.message.startswith(
        f"{scaled.plan.memory.canary.name} starts; waits for payments 2/20"
    )


@pytest.mark.parametrize("end", ["abort", "revert", "promote"])
def test_the_floor_outlives_the_canary_by_what_autoscalers_remember(scaled, end):
    name = scaled.edit(images={"payments": "2"}, canary={"weight": 30}).reconcile().memory.canary.name
    edits = {"abort": {"canary": {"abort": name}}, "revert": {"images": {"payments": "1"}}, "promote": {}}
    if end == "promote":
        scale(scaled, canary=20)
        for _ in range(4):
            scale(scaled, stable=20, canary=20)
            scaled.edit(canary={"weight": 100}).reconcile()
    else:
        scaled.edit(**edits[end]).reconcile()
    for _ in range(12):
        if not scaled.plan.memory.canary:
            break
        scale(scaled, stable=20, canary=20)
        scaled.now += 1
        scaled.reconcile()
    ended = scaled.now
    assert (scaled.plan.memory.canary, floors(scaled)) == (None, {"stable": 20})
    assert scaled.plan.next_deadline == ended + SIZES_SECONDS
    memory = scaled.observed.memory
    assert memory_from_json(json.loads(json.dumps(memory_to_json(memory)))) == memory
    scaled.now = ended + SIZES_SECONDS - 1
    scaled.reconcile()
    assert floors(scaled) == {"stable": 20}
    scaled.now = ended + SIZES_SECONDS
    assert scaled.reconcile().next_deadline is None
    assert floors(scaled) == {"stable": 2}
    assert (scaled.plan.memory.sizes, scaled.plan.memory.sizes_until) == ({}, None)


def test_stable_grows_to_what_carries_everything_before_it_takes_over(scaled):
    scaled.edit(images={"payments": "2"}, canary={"weight": 100}).reconcile()
    scale(scaled, canary=20)
    for _ in range(3):
        scaled.reconcile()
        scale(scaled, stable=20, canary=20)
    scale(scaled, stable=20, canary=33)
    while scaled.plan.status.canary.phase != "Promoting":
        scaled.reconcile()
        scale(scaled, stable=20, canary=33)
    for _ in range(3):
        scaled.reconcile()
        scale(scaled, stable=20, canary=33)
    assert (scaled.plan.status.canary.phase, floors(scaled)) == ("Promoting", {"stable": 33, "canary": 33})
    scale(scaled, stable=33, canary=33)
    scaled.reconcile()
    assert scaled.plan.status.canary.phase == "Draining"


def uncounted(cluster, **sizes):
    """The Deployment was written a moment ago, and its controller has not counted since."""
    scale(cluster, **sizes)
    found = dict(cluster.observed.workloads)
    for track in sizes:
        key = ("payments", Track(track))
        found[key] = replace(found[key], counted=False)
    return cluster.see(workloads=found)


def test_replicas_that_change_all_the_time_keep_no_promotion_from_its_end(scaled):
    scaled.edit(images={"payments": "2"}, canary={"weight": 100}).reconcile()
    for number in range(60):
        found = dict(scaled.observed.workloads)
        for track, floor in floors(scaled).items():
            asked, there = max(floor, 22 + number % 3), max(floor, 22 + (number - 1) % 3)
            one = found["payments", Track(track)]
            ready = min(asked, there) - (number % 2 and there > floor)
            found["payments", Track(track)] = replace(one, desired=asked, ready=ready, updated=asked, outdated=0)
        scaled.see(workloads=found)
        scaled.now += 1
        scaled.reconcile()
    assert scaled.plan.status.canary.phase == "Idle"
    assert scaled.plan.memory.stable.content["payments"]["image"].endswith(":2")


def test_a_change_of_replicas_takes_nothing_from_a_live_canary(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 50}).settle()
    cluster.events.clear()
    cluster.service("payments")["replicas"] = 4
    cluster.pods_start = False
    made = cluster.edit().settle()
    assert (made.desired.canary.weight, made.status.canary.phase) == (50, "Progressing")
    found = {key: replace(one, counted=False) for key, one in cluster.observed.workloads.items()}
    made = cluster.see(workloads=found).reconcile()
    assert (made.desired.canary.weight, made.status.canary.phase, cluster.events) == (50, "Progressing", [])
    assert cluster.condition("CanaryHealthy")[0] == "True"


def test_a_promotion_does_not_end_on_counts_of_the_former_template(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    cluster.pods_start = False
    cluster.edit(canary={"weight": 100}).settle()
    assert cluster.plan.status.canary.phase == "Promoting"
    key = ("payments", Track.STABLE)
    digest = cluster.plan.memory.stable.services["payments"].digest
    former = replace(cluster.observed.workloads[key], desired=3, ready=3, updated=3, outdated=0, digest=digest)
    cluster.see(workloads={**cluster.observed.workloads, key: replace(former, counted=False)})
    assert cluster.reconcile().status.canary.phase == "Promoting"


def test_a_promotion_does_not_end_on_a_stable_track_that_somebody_scaled_to_nothing(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    cluster.pods_start = False
    cluster.edit(canary={"weight": 100}).settle()
    key = ("payments", Track.STABLE)
    digest = cluster.plan.memory.stable.services["payments"].digest
    none = replace(cluster.observed.workloads[key], desired=0, ready=0, updated=0, outdated=0, digest=digest)
    cluster.see(workloads={**cluster.observed.workloads, key: none})
    assert cluster.reconcile().status.canary.phase == "Promoting"


def test_a_service_that_is_to_have_no_replicas_is_ready_without(cluster):
    cluster.service("worker")["replicas"] = 0
    cluster.edit().settle()
    key = ("worker", Track.STABLE)
    none = replace(cluster.observed.workloads[key], desired=0, ready=0, updated=0)
    cluster.see(workloads={**cluster.observed.workloads, key: none}).reconcile()
    assert cluster.condition("Ready") == ("True", "Serving")
    assert cluster.condition("Reconciling") == ("False", "UpToDate")


def test_a_first_revision_that_never_was_ready_is_replaced_at_once(fresh):
    fresh.spec["canary"] = {"weight": 100}
    fresh.pods_start = False
    fresh.settle()
    for tag in ("2", "3"):
        made = fresh.edit(images={"payments": tag}).settle()
        assert (made.desired.canary, made.status.canary.phase) == (None, Phase.IDLE.value)
        assert made.memory.stable.content["payments"]["image"].endswith(f":{tag}")
    fresh.pods_start = True
    fresh.settle()
    made = fresh.edit(images={"payments": "4"}).settle()
    assert made.memory.stable.content["payments"]["image"].endswith(":3"), "now there is something to protect"
    assert made.status.canary.phase == "Paused"


def test_an_edit_of_replicas_is_not_called_done_before_its_deployment_was_counted(cluster):
    key = ("payments", Track.STABLE)
    late = replace(cluster.observed.workloads[key], current=False)
    cluster.see(workloads={**cluster.observed.workloads, key: late}).reconcile()
    assert cluster.condition("Reconciling") == ("True", "RollingOut")
    assert cluster.condition("Ready") == ("True", "Serving")
