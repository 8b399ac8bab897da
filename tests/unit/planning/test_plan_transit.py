"""What stays for a while: the former port of a service that moves, what former pods call, and autoscalers' floors."""

import json
from dataclasses import replace

import pytest

from resilientslice.canary.state import Phase
from resilientslice.history.record import memory_of, read_state, record_of, revision_of_object
from resilientslice.planning.memory import memory_from_json, memory_to_json
from resilientslice.planning.transit import SIZES_SECONDS
from resilientslice.render.names import Track, allocate_ports

GRACE = 35 + 2
"""Seconds that a pod may take to end, preStop included, and some slack."""


@pytest.fixture
def plain(cluster):
    """No canary section."""
    cluster.spec.pop("canary")
    cluster.edit().settle()
    return cluster


def objects(cluster, kind):
    return {o["metadata"]["name"]: o for o in cluster.plan.desired.objects if o["kind"] == kind}


def envoy(cluster, kind, name):
    return next((r for r in getattr(cluster.plan.desired.envoy, kind) if r["name"] == name), None)


def aimed_at(cluster, name):
    made = envoy(cluster, "clusters", name)
    (locality,) = made["load_assignment"]["endpoints"]
    (host,) = locality["lb_endpoints"]
    (options,) = made["typed_extension_protocol_options"].values()
    protocol = "GRPC" if "http2_protocol_options" in options["explicit_http_config"] else "HTTP"
    return host["endpoint"]["address"]["socket_address"]["port_value"], protocol


def opened(cluster, policy="shop-payments"):
    """Ports that the proxies may reach the service's pods at."""
    rules = objects(cluster, "NetworkPolicy")[policy]["spec"]["ingress"]
    return sorted(port["port"] for rule in rules for port in rule["ports"])


def called_at(cluster, name="shop-payments"):
    return [port["port"] for port in objects(cluster, "Service")[name]["spec"]["ports"]]


def headers_matched(cluster):
    routes = json.dumps([envoy(cluster, "routes", name) for name in ("front", "payments")])
    return "X-Canary" in routes or "x-canary" in routes


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
