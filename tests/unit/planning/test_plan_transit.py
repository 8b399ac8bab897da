"""What former pods call, which stays until the last of them has ended."""

import json

from tests.unit.planning.planned import GRACE, envoy, objects

from resilientslice.history.record import memory_of, read_state, record_of, revision_of_object
from resilientslice.planning.memory import memory_from_json, memory_to_json
from resilientslice.render.names import allocate_ports


def drop_payments(cluster):
    """payments goes, and api calls it no more; worker gives up nothing that it had."""
    cluster.spec["services"] = [
        {**cluster.service("api"), "dependsOn": []},
        cluster.service("worker"),
    ]
    return cluster.edit()


def allowed(cluster):
    """What old pods of api need in order to call payments."""
    proxies = objects(cluster, "NetworkPolicy").get("shop-proxy", {"spec": {"ingress": []}})
    ports = {service.spec.port for service in cluster.plan.desired.stable.services.values()}
    edges = json.dumps(proxies["spec"]["ingress"])
    return {
        "service": "shop-payments" in objects(cluster, "Service"),
        "listener": envoy(cluster, "listeners", "payments") is not None,
        "routes": envoy(cluster, "routes", "payments") is not None,
        "hosts": "shop-payments-stable" in objects(cluster, "Deployment") and bool(ports),
        "edge": '"resilientslice.dev/service": "api"' in edges,
        "policy": "shop-payments" in objects(cluster, "NetworkPolicy"),
    }


ALL = dict.fromkeys(("service", "listener", "routes", "hosts", "edge", "policy"), True)

NONE = dict.fromkeys(ALL, False)


def test_what_old_pods_call_stays_until_the_last_of_them_has_ended_and_then_ends_in_turn(plain):
    templates = plain.deployments()
    plain.pods_start = False
    drop_payments(plain).settle()
    plain.now += 3600
    plain.settle()
    assert allowed(plain) == ALL
    assert plain.deployments()["shop-payments-stable"] == templates["shop-payments-stable"], "it must not restart"
    plain.pods_start = True
    made = plain.settle()
    began = plain.now
    assert (allowed(plain), made.next_deadline) == (ALL, began + GRACE)
    plain.now = began + GRACE - 0.1
    assert (plain.settle().next_deadline, allowed(plain)) == (began + GRACE, ALL)
    plain.now = began + GRACE
    assert plain.settle().next_deadline == began + 2 * GRACE
    assert allowed(plain) == ALL | {"hosts": False}, "its own pods end, and finish what they do"
    plain.now = began + 2 * GRACE
    assert plain.settle().next_deadline is None
    assert (allowed(plain), plain.plan.memory.leaving, plain.plan.memory.rolled_at) == (NONE, (), None)


def test_it_is_the_same_over_a_restart_at_any_moment(plain):
    """Revisions are stored once; what is edited of them later is not in there."""
    first = record_of(plain.slice_(), plain.observed.memory)
    revisions = {name: first.revision(name) for name in first.known}
    plain.service("payments")["replicas"] = 5
    plain.edit().settle()
    plain.pods_start = False
    drop_payments(plain).settle()
    for _ in range(3):
        memory = plain.observed.memory
        assert memory_from_json(json.loads(json.dumps(memory_to_json(memory)))) == memory
        record = record_of(plain.slice_(), memory)
        assert set(read_state(record.state).names) == set(record.known)
        revisions |= {name: record.revision(name) for name in record.known if name not in revisions}
        stored = memory_of(
            read_state(record.state), {name: revision_of_object(revisions[name]) for name in record.known}
        )
        assert [r.name for r in stored.leaving] == [r.name for r in memory.leaving]
        plain.see(memory=stored).settle()
        assert objects(plain, "Deployment")["shop-payments-stable"]["spec"]["replicas"] == 5
        assert allowed(plain)["edge"]
        plain.pods_start = True
        plain.now += 30


def test_a_memory_from_before_there_was_any_of_this_is_read(plain):
    data = memory_to_json(plain.observed.memory)
    assert not {"leaving", "rolled_at", "aims", "sizes_until"} & data.keys()
    memory = memory_from_json(data)
    assert (memory.leaving, memory.rolled_at, memory.aims, memory.sizes_until) == ((), None, {}, None)


def test_a_call_and_a_store_that_are_given_up_stay_open_as_long(plain):
    plain.spec["stores"] = {"redis": {"managed": {}}}
    plain.service("worker").update(stores=["redis"])
    plain.edit().settle()
    plain.settle(seconds=60)
    assert "worker" in json.dumps(objects(plain, "NetworkPolicy")["shop-redis"])
    plain.pods_start = False
    plain.service("worker").update(stores=[])
    plain.service("api").update(dependsOn=[])
    plain.edit().settle()
    assert "worker" in json.dumps(objects(plain, "NetworkPolicy")["shop-redis"])
    assert allowed(plain) == ALL
    plain.pods_start = True
    plain.settle(seconds=GRACE)
    assert "worker" not in json.dumps(objects(plain, "NetworkPolicy")["shop-redis"])
    assert allowed(plain) == ALL | {"edge": False}


def test_they_stay_at_a_promotion_as_well(cluster):
    cluster.spec["services"] = [{**cluster.service("api"), "dependsOn": []}, cluster.service("worker")]
    cluster.edit(canary={"weight": 30}).settle()
    cluster.pods_start = False
    cluster.edit(canary={"weight": 100}).settle()
    assert (cluster.plan.status.canary.phase, allowed(cluster)) == ("Promoting", ALL)
    cluster.pods_start = True
    cluster.settle(seconds=1)
    assert (cluster.plan.status.canary.phase, allowed(cluster)) == ("Idle", ALL)
    for _ in range(3):
        cluster.settle(seconds=GRACE)
    assert allowed(cluster) == NONE


def test_edits_in_quick_succession_keep_what_the_oldest_pods_call(plain):
    plain.pods_start = False
    drop_payments(plain).settle()
    for number in range(9):
        plain.spec["services"].append({"name": f"s{number}", "image": "example.org/s:1", "port": 8000})
        plain.edit(images={"worker": str(number + 2)}).settle()
        plain.spec["services"].pop()
        plain.edit().settle()
    assert allowed(plain) == ALL
    assert len(plain.plan.memory.leaving) <= 3


def test_what_comes_back_is_the_stable_revisions_again(plain):
    services, listener = list(plain.spec["services"]), envoy(plain, "listeners", "payments")
    plain.pods_start = False
    drop_payments(plain).settle()
    plain.spec["services"] = services
    plain.edit().settle()
    assert envoy(plain, "listeners", "payments") == listener
    plain.pods_start = True
    assert plain.settle().next_deadline is None
    assert plain.plan.memory.leaving == ()


def test_nobody_waits_for_pods_of_a_revision_that_never_was_ready(fresh):
    fresh.spec.pop("canary")
    fresh.pods_start = False
    fresh.settle()
    drop_payments(fresh).settle()
    assert allowed(fresh) == NONE


def test_a_listener_in_use_is_nobody_elses(plain):
    taken = allocate_ports(["later"], {})["later"]
    data = memory_to_json(plain.observed.memory)
    data["stable"]["services"]["payments"]["internalPort"] = taken
    plain.see(memory=memory_from_json(data))
    plain.pods_start = False
    drop_payments(plain).settle()
    assert plain.plan.desired.stable.services["payments"].internal_port == taken
    plain.spec["services"].append({"name": "later", "image": "example.org/later:1", "port": 1234})
    services = plain.edit().reconcile().desired.stable.services
    assert (services["payments"].internal_port, services["later"].internal_port) == (taken, taken + 1)


def test_a_path_goes_to_its_former_service_until_the_next_one_is_there(plain):
    def first():
        hosts = envoy(plain, "routes", "front")["virtual_hosts"]
        return next(r["route"]["cluster"] for r in hosts[0]["routes"] if "route" in r)

    plain.pods_start = False
    plain.spec["services"] = [{**s, "name": "aaa"} if s["name"] == "api" else s for s in plain.spec["services"]]
    plain.edit().settle()
    assert first() == "api-stable"
    plain.pods_start = True
    plain.settle()
    assert first() == "aaa-stable"


def test_a_removed_service_that_nobody_could_call_ends_at_once_and_may_go_on_calling_meanwhile(plain):
    plain.service("worker")["dependsOn"] = ["payments"]
    plain.edit().settle()
    plain.settle(seconds=60)
    plain.spec["services"] = [one for one in plain.spec["services"] if one["name"] != "worker"]
    plain.edit().reconcile()
    assert "shop-worker-stable" not in plain.deployments()
    assert "worker" in json.dumps(objects(plain, "NetworkPolicy")["shop-proxy"])
    assert "shop-worker" in objects(plain, "NetworkPolicy")
    for _ in range(3):
        plain.settle(seconds=GRACE)
    assert "shop-worker" not in objects(plain, "NetworkPolicy")
