"""Random histories of edits on a cluster whose controllers and Envoys lag. `World.check` traces every call of every pod
after each event; `World._rises` watches the weights."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.planning.rolling_world import World

from resilientslice.canary.state import Phase

NAMES = ("api", "payments", "ledger", "worker")
edits = st.one_of(
    st.tuples(st.just("image"), st.sampled_from(NAMES), st.sampled_from(["1", "2", "bad"])),
    st.tuples(st.just("port"), st.sampled_from(NAMES[:3]), st.sampled_from([8080, 9090, 7070])),
    st.tuples(st.just("protocol"), st.sampled_from(NAMES[1:3]), st.sampled_from(["HTTP", "GRPC"])),
    st.tuples(st.just("ledger"), st.booleans()),
    st.tuples(st.just("replicas"), st.sampled_from(NAMES), st.sampled_from([2, 3])),
    st.tuples(st.just("autoscaled"), st.sampled_from(NAMES[1:3])),
    st.tuples(st.just("section"), st.sampled_from([None, {}, {"weight": 0}, {"weight": 30}, {"weight": 100}])),
)
events = st.one_of(
    edits,
    st.tuples(st.just("abort")),
    st.tuples(st.just("scale"), st.sampled_from(NAMES[1:3]), st.integers(2, 6)),
    st.tuples(st.just("deaf"), st.sampled_from([0, 0, 1, 2])),
    st.tuples(st.just("pass")),
    st.tuples(st.just("control")),
    st.tuples(st.just("start")),
    st.tuples(st.just("run"), st.integers(1, 8)),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 40.0, 400.0])),
)


def ledger(world, there):
    """The service that payments calls: it goes with the call, and comes with it."""
    payments = world.service("payments")
    world.spec["services"] = [one for one in world.spec["services"] if one["name"] != "ledger"]
    payments["dependsOn"] = ["ledger"] if there else []
    if there:
        world.spec["services"].append({"name": "ledger", "image": "ledger:1", "port": 8080})


def edit(world, kind, name, value):
    service = world.service(name)
    if service is None:
        return
    if kind == "image":
        service["image"] = f"{name}:{value}"
    elif kind == "replicas" and "autoscaling" not in service:
        service["replicas"] = value
    elif kind in {"port", "protocol"}:
        service[kind] = value


def abort(world):
    """Returns once it was seen: it acts in that very pass, unless the promotion is final."""
    state = world.plan.memory.state if world.plan else None
    if state is None or not state.canary or world.spec.get("canary") is None:
        return
    world.spec["canary"] = {**world.spec["canary"], "abort": state.canary}
    world.reconcile()
    after = world.plan.memory.state
    assert after.traffic.weight == 0 or after.stable == state.canary or after.phase is Phase.PROMOTING


def act(world, kind, *values):
    if kind == "section":
        world.spec["canary"] = values[0]
    elif kind == "ledger":
        ledger(world, *values)
    elif kind == "autoscaled":
        service = world.service(values[0])
        if service is not None:
            service.pop("replicas", None)
            service["autoscaling"] = {"minReplicas": 2, "maxReplicas": 5}
    elif kind == "deaf":
        world.deaf = values[0]
    elif kind == "scale" and world.plan:
        world.scale(*values)
    elif kind == "abort":
        abort(world)
    elif kind in {"pass", "control", "start", "run", "wait"}:
        does = {"pass": world.reconcile, "control": world.control, "start": world.start_pods}
        does.get(kind, getattr(world, kind, None))(*values)
    elif kind in {"image", "replicas", "port", "protocol"}:
        edit(world, kind, *values)


@settings(max_examples=20, deadline=None)
@given(script=st.lists(events, max_size=30))
def test_every_call_of_every_pod_finds_its_way_through_any_history(script):
    world = World()
    world.run(8)
    for event in script:
        act(world, *event)
    world.deaf = 0
    for name in NAMES:
        edit(world, "image", name, "3")
    world.spec["canary"] = None
    world.rest()
    for _ in range(3):
        world.wait(400.0)
        world.rest()
    state, memory = world.plan.memory.state, world.plan.memory
    assert (state.phase, state.canary, state.stable) == (Phase.IDLE, "", world.wanted())
    assert (memory.leaving, memory.aims, memory.sizes, world.plan.next_deadline) == ((), {}, {}, None)


@pytest.mark.parametrize("section", [None, {"weight": 100}], ids=["plain", "canary"])
@pytest.mark.parametrize(
    "edits",
    [
        [("port", "payments", 9090)],
        [("protocol", "payments", "GRPC")],
        [("port", "payments", 9090), ("protocol", "payments", "GRPC"), ("port", "ledger", 7070)],
        [("port", "api", 9090)],
        [("ledger", False)],
        [("ledger", False), ("port", "payments", 9090)],
    ],
    ids=str,
)
def test_an_edit_that_moves_or_removes_costs_no_call(section, edits):
    world = World()
    world.run(8)
    world.spec["canary"] = section and {"weight": 1}
    world.run(2)
    for kind, *values in edits:
        act(world, kind, *values)
    world.spec["canary"] = section
    world.rest()
    world.wait(400.0)
    world.rest()
    assert (world.plan.memory.state.phase, world.plan.memory.state.stable) == (Phase.IDLE, world.wanted())
    assert world.plan.memory.leaving == ()


@pytest.mark.parametrize("after", [("port", "payments", 8080), ("port", "payments", 7070), ("image", "ledger", "2")])
@pytest.mark.parametrize("rounds", range(0, 14, 2))
def test_another_edit_at_any_moment_of_a_move_costs_no_call(rounds, after):
    world = World()
    world.run(8)
    act(world, "port", "payments", 9090)
    world.run(rounds)
    act(world, *after)
    world.rest()
    assert (world.plan.memory.state.phase, world.plan.memory.state.stable) == (Phase.IDLE, world.wanted())


@pytest.mark.parametrize("base", [2, 3, 4])
def test_an_autoscaler_that_never_rests_keeps_no_promotion_from_its_end(base):
    world = World()
    act(world, "autoscaled", "payments")
    world.run(8)
    world.spec["canary"] = {}
    act(world, "image", "payments", "2")
    world.spec["canary"] = {"weight": 100}
    for number in range(40):
        world.scale("payments", base + number % 2)
        world.reconcile()
        world.control()
        world.scale("payments", base + (number + 1) % 2)
        world.start_pods()
        world.reconcile()
        world.wait(1.0)
    assert (world.plan.memory.state.phase, world.plan.memory.state.stable) == (Phase.IDLE, world.wanted())
