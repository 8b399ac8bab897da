"""Which counts of replicas, and which acknowledgements, mean what to the canary."""

import pytest

from resilientslice.api.services import Autoscaling
from resilientslice.canary.state import NO_TRAFFIC, Attempts, Traffic
from resilientslice.planning.observed import Proxies, Workload
from resilientslice.planning.signals import least_ready, pending, signals_of
from resilientslice.render.names import Track

KEY = ("payments", Track.STABLE)


@pytest.mark.parametrize(
    ("desired", "ready", "updated", "outdated", "said"),
    [
        (3, 3, 3, 0, None),
        (0, 0, 0, 0, "payments 0/3"),
        (2, 2, 2, 0, "payments 2/3"),
        (2, 3, 3, 0, None),
        (3, 2, 3, 0, "payments 2/3"),
        (3, 3, 2, 0, "payments 2/3"),
        (3, 3, 1, 2, "payments 1/3"),
        (3, 4, 3, 1, "payments (1 old replicas left)"),
        (3, 3, 3, 1, "payments 2/3"),
        (3, 0, 3, 2, "payments 0/3"),
    ],
)
def test_a_workload_is_there_when_all_replicas_run_the_new_template_and_are_ready(
    cluster, desired, ready, updated, outdated, said
):
    stable = cluster.plan.memory.stable
    digest = stable.services["payments"].digest
    workloads = {KEY: Workload(desired, ready, updated, digest, outdated)}
    assert pending(workloads, stable, Track.STABLE, ["payments"]) == (() if said is None else (said,))


def test_counts_of_another_template_say_nothing(cluster):
    stable = cluster.plan.memory.stable
    assert pending({}, stable, Track.STABLE, ["payments"]) == ("payments (not there yet)",)
    for workload in (
        Workload(3, 3, 3, "another"),
        Workload(3, 3, 3, stable.services["payments"].digest, counted=False),
    ):
        assert pending({KEY: workload}, stable, Track.STABLE, ["payments"]) == ("payments (not updated yet)",)


def canary_with(cluster, workload):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    memory = cluster.observed.memory
    digest = memory.canary.services["payments"].digest
    observed = cluster.see(workloads={("payments", Track.CANARY): workload(digest)}).observed
    return memory, signals_of(memory, observed)


@pytest.mark.parametrize(
    ("counts", "ready", "healthy"),
    [
        ((3, 3, 3), True, True),
        ((3, 1, 3), False, True),
        ((3, 0, 3), False, False),
        ((0, 0, 0), False, False),
        ((2, 2, 2), False, True),
        ((3, 1, 3, 1), False, True),
        ((3, 3, 0, 3), False, False),
        ((3, 3, 0, 3, False), False, True),
        ((3, 0, 0, 0, False), False, False),
    ],
    ids=str,
)
def test_a_canary_is_healthy_with_one_replica_and_ready_with_all(cluster, counts, ready, healthy):
    memory, seen = canary_with(cluster, lambda digest: Workload(counts[0], counts[1], counts[2], digest, *counts[3:]))
    assert bool(seen.canary_ready) == ready
    assert bool(seen.canary_healthy) == healthy
    assert {seen.canary_ready, seen.canary_healthy} <= {"", memory.canary.name}


def test_stable_scaled_to_nothing_by_whoever_asks_for_it_is_whole(cluster):
    stable = cluster.plan.memory.stable
    none = {KEY: Workload(0, 0, 0, stable.services["payments"].digest)}
    asked = {"payments": stable.services["payments"].spec.model_copy(update={"replicas": 0})}
    assert pending(none, stable, Track.STABLE, ["payments"], asked=asked) == ()
    assert pending({("payments", Track.CANARY): none[KEY]}, stable, Track.CANARY, ["payments"], asked=asked) == (
        "payments 0/1",
    )


@pytest.mark.parametrize(("floor", "least"), [(0, 2), (2, 2), (5, 5), (9, 7)])
def test_what_an_autoscaler_asks_for_at_the_moment_is_no_condition(cluster, floor, least):
    autoscaling = Autoscaling(min_replicas=2, max_replicas=7)
    service = cluster.plan.memory.stable.services["payments"].spec.model_copy(update={"autoscaling": autoscaling})
    assert [least_ready(service, track, floor) for track in Track] == [least, least]


def test_replicas_of_another_template_are_not_the_canary(cluster):
    _, seen = canary_with(cluster, lambda _: Workload(3, 3, 3, "another"))
    assert (seen.canary_ready, seen.canary_healthy) == ("", "")


def test_a_canary_without_workloads_is_not_there(cluster):
    memory, _ = canary_with(cluster, lambda digest: Workload(3, 3, 3, digest))
    seen = signals_of(memory, cluster.see(workloads={}).observed)
    assert (seen.canary_ready, seen.canary_healthy) == ("", "")


def test_hosts_that_an_envoy_has_not_found_are_told_where_there_are_any(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    memory = cluster.observed.memory
    cluster.see(hostless=frozenset({"payments-canary", "api-stable", "api-canary"}))
    assert signals_of(memory, cluster.observed).canary_unfound == ("payments",)
    asleep = Workload(0, 0, 0, memory.canary.services["payments"].digest)
    workloads = {**cluster.observed.workloads, ("payments", Track.CANARY): asleep}
    assert signals_of(memory, cluster.see(workloads=workloads).observed).canary_unfound == ()


def test_stable_is_ready_for_traffic_by_the_canarys_services_and_settled_by_all(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    name = cluster.observed.memory.stable.name
    worker = cluster.observed.workloads["worker", Track.STABLE]
    broken = {**cluster.observed.workloads, ("worker", Track.STABLE): Workload(1, 0, 1, worker.digest)}
    seen = signals_of(cluster.observed.memory, cluster.see(workloads=broken).observed)
    assert (seen.stable_ready, seen.stable_pending, seen.settled) == (name, (), "")
    payments = cluster.observed.workloads["payments", Track.STABLE]
    broken["payments", Track.STABLE] = Workload(3, 2, 3, payments.digest)
    seen = signals_of(cluster.observed.memory, cluster.see(workloads=broken).observed)
    assert (seen.stable_ready, seen.stable_pending) == ("", ("payments 2/3",))


def test_stable_is_not_ready_for_traffic_before_every_envoy_has_found_it(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    seen = signals_of(cluster.observed.memory, cluster.see(hostless=frozenset({"payments-stable"})).observed)
    assert (seen.stable_ready, seen.stable_pending) == ("", ("payments (not every Envoy knows its pods)",))


@pytest.mark.parametrize(
    ("total", "instances", "known"),
    [(2, 2, True), (2, 1, False), (0, 0, False), (1, 2, True)],
    ids=["all", "one missing", "none there", "one just left"],
)
def test_traffic_is_acknowledged_when_every_envoy_runs_the_last_configuration(cluster, total, instances, known):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    memory = cluster.observed.memory
    acked = {f"proxy-{number}": memory.config for number in range(instances)} | {"proxy-9": "older"}
    seen = signals_of(memory, cluster.see(proxies=Proxies(total, acked)).observed)
    assert seen.acked == (Traffic(memory.canary.name, 30, live=True) if known else None)


def test_without_a_canary_there_is_no_traffic_to_acknowledge(cluster):
    seen = signals_of(cluster.observed.memory, cluster.observed)
    assert seen.acked == NO_TRAFFIC
    assert (seen.canary_ready, seen.canary_healthy, seen.canary_pending) == ("", "", ())


def test_figures_are_passed_on(cluster):
    cluster.see(attempts=Attempts(1, 2, 3.0), active=4, budget=False)
    seen = signals_of(cluster.observed.memory, cluster.observed)
    assert (seen.attempts, seen.active, seen.budget) == (Attempts(1, 2, 3.0), 4, False)
