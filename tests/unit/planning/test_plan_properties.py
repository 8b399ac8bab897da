"""What holds for any sequence of edits, passes and mishaps. `Cluster.reconcile` checks after each pass that the
resource was not written to and that a second pass changes nothing."""

from hypothesis import given, settings
from hypothesis import strategies as st

from resilientslice.render.names import Track

tags = st.sampled_from(["1", "2", "3"])
actions = st.lists(
    st.one_of(
        st.tuples(st.just("payments"), tags),
        st.tuples(st.just("worker"), tags),
        st.tuples(st.just("weight"), st.sampled_from([None, 0, 30, 100])),
        st.tuples(st.just("pods"), st.booleans()),
        st.tuples(st.just("envoys"), st.booleans()),
        st.tuples(st.just("promote"), st.booleans()),
        st.tuples(st.just("abort"), st.booleans()),
        st.tuples(st.just("section"), st.booleans()),
        st.tuples(st.just("wait"), st.sampled_from([1, 60])),
    ),
    max_size=14,
)


def act(cluster, action):
    kind, value = action
    if kind in {"payments", "worker"}:
        cluster.edit(images={kind: value})
    elif kind == "weight":
        cluster.edit(canary={"weight": value})
    elif kind in {"promote", "abort"}:
        canary = cluster.plan.status.revision.canary if cluster.plan and value else ""
        cluster.edit(canary={kind: canary})
    elif kind == "section":
        cluster.spec["canary"] = {} if value else None
        cluster.edit()
    elif kind == "wait":
        cluster.now += value
    elif kind == "pods":
        cluster.pods_start = value
    else:
        cluster.envoys_answer = value


def check(cluster, seen, before, running):
    """One pass: `seen` is what it was made from, `running` the traffic that some Envoy may still run."""
    made = cluster.reconcile()
    canary = made.desired.canary
    if canary and canary.live:
        for name in canary.services:
            workload = seen.workloads[name, Track.CANARY]
            assert workload.digest == canary.revision.services[name].digest, "traffic to hosts of another revision"
            assert workload.ready > 0, "traffic to a canary without hosts"
    if running:
        assert canary is not None, "a canary removed while an Envoy may send to it"
        assert canary.revision.name == running, "a canary replaced while an Envoy may send to it"
    if before and before.canary and before.canary.live and made.desired.stable.name != before.stable.name:
        assert canary is not None, "the canary has to serve while stable is updated"
        assert (canary.weight, canary.live) == (before.canary.weight, True)
    return made.desired


@settings(max_examples=15, deadline=None)
@given(script=actions)
def test_capacity_never_shrinks_and_traffic_goes_only_to_what_is_ready(new_cluster, script):
    cluster = new_cluster()
    cluster.settle()
    before, running = cluster.plan.desired, ""
    for action in script:
        act(cluster, action)
        before = check(cluster, cluster.observed, before, running)
        if before.canary and before.canary.live:
            running = before.canary.revision.name
        elif cluster.observed.envoys.proxies.all_run(before.envoy.digest):
            running = ""


@settings(max_examples=15, deadline=None)
@given(script=actions)
def test_it_converges_when_all_is_well_and_the_resource_stays(new_cluster, script):
    cluster = new_cluster()
    for action in script:
        act(cluster, action)
        cluster.reconcile()
    cluster.pods_start = cluster.envoys_answer = True
    for _ in range(8):
        made = cluster.settle(seconds=60)
    status = made.status
    assert made.next_deadline is None
    assert status.canary.phase in {"Idle", "Paused", "Progressing", "Aborted"}
    conditions = {condition.type: condition.status for condition in status.conditions}
    assert (conditions["Ready"], conditions["Reconciling"], conditions["Stalled"]) == ("True", "False", "False")
    assert (status.config.acked, status.config.total) == (2, 2)
    assert all(service.ready == service.desired for service in status.services)
