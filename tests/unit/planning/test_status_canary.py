"""What the resource says of a canary, and of replicas while there is one."""

from dataclasses import replace

from tests.unit.planning.told import READY, conditions, message

from resilientslice.planning.observed import Workload
from resilientslice.render.names import Track


def test_a_canary_that_an_envoy_has_not_found_yet_is_asked_after(cluster):
    cluster.see(hostless=frozenset({"payments-canary"}))
    cluster.edit(images={"payments": "2"}).settle()
    assert cluster.plan.status.canary.phase == "Starting"
    assert cluster.plan.awaits_envoys
    assert cluster.condition("Ready") == ("True", "Serving")
    cluster.see(hostless=frozenset()).settle()
    assert cluster.plan.status.canary.phase != "Starting"
    assert not cluster.plan.awaits_envoys


def test_a_pinned_canary_rests(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    assert (cluster.plan.status.phase, conditions(cluster)) == ("Ready", {**READY, "CanaryHealthy": "True"})
    assert cluster.condition("CanaryHealthy") == ("True", "Pinned")
    canary = cluster.plan.status.canary
    assert (canary.phase, canary.weight, canary.step, canary.since) == (
        "Progressing",
        30,
        0,
        "1970-01-01T00:16:40Z",
    )
    revision = cluster.plan.status.revision
    assert revision.canary == cluster.plan.memory.canary.name
    assert (canary.pin.weight, canary.pin.revision) == (30, revision.canary)
    assert message(cluster) == f"{revision.stable} serves. {canary.message}"
    assert [(s.name, s.canary_ready) for s in cluster.plan.status.services] == [
        ("api", 0),
        ("payments", 3),
        ("worker", 0),
    ]


def test_a_pinned_canary_on_its_way_is_progress(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    cluster.envoys_answer = False
    cluster.edit(canary={"weight": 50}).settle()
    assert cluster.plan.desired.canary.weight == 50
    assert cluster.plan.status.canary.weight == 30, "what every Envoy draws, not what was asked"
    assert cluster.plan.status.phase == "Progressing"
    assert cluster.condition("Reconciling") == ("True", "CanaryProgressing")


def test_a_stale_weight_rests_and_says_so(cluster):
    cluster.edit(canary={"weight": 30}).settle()
    cluster.edit(images={"payments": "2"}).settle()
    assert cluster.plan.status.canary.phase == "Paused"
    assert cluster.condition("Reconciling") == ("False", "StaleWeight")
    assert cluster.condition("CanaryHealthy") == ("True", "StaleWeight")
    assert "Change the value to arm it again" in message(cluster)


def test_a_canary_that_starts_is_not_judged_yet(cluster):
    cluster.pods_start = False
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    assert cluster.condition("CanaryHealthy") == ("Unknown", "Starting")
    assert cluster.condition("Reconciling") == ("True", "CanaryStarting")
    assert cluster.condition("Ready") == ("True", "Serving")


def test_a_canary_that_lost_its_hosts_is_unhealthy(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    key = ("payments", Track.CANARY)
    workloads = {**cluster.observed.workloads, key: replace(cluster.observed.workloads[key], ready=0)}
    cluster.see(workloads=workloads).reconcile()
    assert cluster.condition("CanaryHealthy") == ("False", "NoReadyHosts")


def test_an_aborted_canary_drains_then_rests_with_ready_true(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    cluster.edit(canary={"abort": cluster.plan.status.revision.canary}).settle()
    assert cluster.condition("CanaryHealthy") == ("Unknown", "Aborted")
    assert cluster.condition("Reconciling") == ("True", "CanaryDraining")
    cluster.settle(seconds=1)
    assert (cluster.plan.status.phase, conditions(cluster)) == ("Ready", {**READY, "CanaryHealthy": "False"})
    assert cluster.condition("CanaryHealthy") == ("False", "Aborted")
    assert cluster.plan.status.canary.phase == "Aborted"


def test_steps_are_progress_and_counted(cluster):
    steps = [{"weight": 5}, {"weight": 25}]
    cluster.edit(images={"payments": "2"}, canary={"steps": steps}).settle()
    assert cluster.plan.status.canary.step == 1
    assert cluster.condition("Reconciling") == ("True", "CanaryProgressing")
    assert cluster.condition("CanaryHealthy") == ("True", "Steps")


def test_a_service_that_is_only_being_added_has_no_stable_replicas(cluster):
    cluster.spec["services"].append({"name": "ledger", "image": "example.org/ledger:1", "port": 8080})
    cluster.edit(canary={"weight": 30}).settle()
    ledger = next(s for s in cluster.plan.status.services if s.name == "ledger")
    assert (ledger.ready, ledger.desired, ledger.canary_ready) == (0, 0, 2)


def test_canary_replicas_that_are_left_over_are_not_counted(cluster):
    left = Workload(3, 3, 3, "old")
    workloads = {**cluster.observed.workloads, ("payments", Track.CANARY): left}
    services = cluster.see(workloads=workloads).reconcile().status.services
    assert [s.canary_ready for s in services] == [0, 0, 0]
