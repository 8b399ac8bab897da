"""A service whose port or protocol moves: by a canary that nobody asked for, and back."""

import pytest
from tests.unit.planning.planned import GRACE, aimed_at, called_at, envoy, headers_matched, objects, opened

MOVES = [{"port": 9090}, {"protocol": "GRPC"}, {"port": 9090, "protocol": "GRPC"}]


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_a_port_moves_by_a_canary_that_nobody_asked_for(plain, move):
    after = (move.get("port", 8080), move.get("protocol", "HTTP"))
    plain.pods_start = False
    plain.service("payments").update(move)
    plain.edit().settle()
    assert plain.plan.status.canary.phase == "Starting"
    assert aimed_at(plain, "payments-stable") == (8080, "HTTP"), "its pods listen there"
    assert aimed_at(plain, "payments-canary") == after
    assert opened(plain) == sorted({8080, after[0]})
    assert set(called_at(plain)) == {8080, after[0]}, "callers of either revision find the port they were told"
    assert plain.condition("Ready") == ("True", "Serving")
    plain.pods_start = True
    plain.reconcile()
    plain.pods_start = False
    made = plain.settle()
    assert made.status.canary.phase == "Promoting"
    assert (made.desired.canary.weight, made.desired.canary.by_header) == (100, False)
    assert not headers_matched(plain)
    assert aimed_at(plain, "payments-stable") == (8080, "HTTP"), "its pods still listen there"
    plain.envoys_answer, plain.pods_start = False, True
    made = plain.settle()
    assert aimed_at(plain, "payments-stable") == after
    assert (made.status.canary.phase, made.desired.canary.weight) == ("Promoting", 100), "an Envoy sends to the former"
    assert "payments (not every Envoy knows its pods)" in made.status.canary.message
    plain.envoys_answer = True
    assert plain.settle().status.canary.phase == "Draining"
    plain.settle(seconds=1)
    assert plain.settle(seconds=2 * GRACE).next_deadline is None
    assert (plain.plan.status.canary.phase, aimed_at(plain, "payments-canary")) == ("Idle", after)
    assert (opened(plain), called_at(plain)) == ([after[0]], [after[0]])


def test_everything_else_stays_a_plain_rolling_update(plain):
    made = plain.edit(images={"payments": "2", "worker": "2"}).reconcile()
    assert (made.desired.canary, made.memory.leaving, made.memory.aims) == (None, (), {})


@pytest.mark.parametrize("gains", [True, False])
def test_a_service_that_gains_or_loses_its_port(plain, gains):
    """api begins, or ceases, to call it in the same edit."""
    worker, api = plain.service("worker"), plain.service("api")
    without, with_ = {"dependsOn": ["payments"]}, {"dependsOn": ["payments", "worker"]}
    if not gains:
        worker["port"] = 7070
        api.update(with_)
        plain.edit().settle()
        plain.settle(seconds=60)
        worker.pop("port")
        api.update(without)
    else:
        worker["port"] = 7070
        api.update(with_)
    plain.pods_start = False
    plain.edit().settle()
    assert (plain.plan.status.canary.phase, plain.plan.desired.canary.live) == ("Starting", False)
    assert ("shop-worker-canary" in plain.deployments()) == gains
    plain.pods_start = True
    plain.reconcile()
    plain.pods_start = False
    plain.settle()
    assert plain.plan.status.canary.phase == "Promoting"
    assert called_at(plain, "shop-worker") == [7070], "old pods of api may still call it"
    assert aimed_at(plain, "worker-stable") == (7070, "HTTP")
    assert envoy(plain, "listeners", "worker") is not None
    plain.pods_start = True
    plain.settle(seconds=1)
    plain.settle(seconds=2 * GRACE)
    assert ("shop-worker" in objects(plain, "Service")) == gains
    assert (envoy(plain, "listeners", "worker") is not None) == gains


def test_a_promotion_that_was_asked_for_moves_the_port_last_too(cluster):
    cluster.service("payments")["port"] = 9090
    cluster.edit(canary={"weight": 30}).settle()
    assert headers_matched(cluster)
    cluster.pods_start = False
    cluster.edit(canary={"weight": 100}).settle()
    assert (cluster.plan.status.canary.phase, aimed_at(cluster, "payments-stable")) == ("Promoting", (8080, "HTTP"))
    cluster.pods_start = True
    cluster.settle(seconds=1)
    assert (cluster.plan.status.canary.phase, aimed_at(cluster, "payments-stable")) == ("Idle", (9090, "HTTP"))
    assert cluster.plan.memory.aims == {}


def test_a_port_that_is_moved_back_before_its_promotion_leaves_no_trace(plain):
    before = plain.plan.desired.envoy.digest
    plain.pods_start = False
    plain.service("payments")["port"] = 9090
    plain.edit().settle()
    plain.service("payments")["port"] = 8080
    plain.edit().settle(seconds=2)
    assert (plain.plan.status.canary.phase, plain.plan.desired.envoy.digest) == ("Idle", before)
    assert (plain.plan.memory.leaving, plain.plan.memory.aims) == ((), {})


def test_a_port_that_is_moved_back_in_its_promotion_goes_back_the_same_way(plain):
    plain.service("payments")["port"] = 9090
    plain.edit().reconcile()
    plain.reconcile()
    plain.pods_start = False
    plain.settle()
    assert plain.plan.status.canary.phase == "Promoting"
    plain.service("payments")["port"] = 8080
    made = plain.edit().settle()
    assert (made.status.canary.phase, made.desired.canary.weight) == ("Promoting", 100)
    assert aimed_at(plain, "payments-stable") == (8080, "HTTP")
    assert aimed_at(plain, "payments-canary") == (9090, "HTTP")
    plain.pods_start = True
    plain.settle(seconds=1)
    assert (plain.plan.status.canary.phase, aimed_at(plain, "payments-stable")) == ("Idle", (8080, "HTTP"))
