"""A memory survives as Kubernetes objects, and a decision that was pushed and never stored is found again."""

import copy
import json
from dataclasses import replace

import pytest

from resilientslice.reconcile.memory import UnreadableMemoryError
from resilientslice.reconcile.observed import Proxies
from resilientslice.reconcile.plan import plan
from resilientslice.reconcile.record import STATE_KEY, memory_of, record_of, revision_names, same_templates
from resilientslice.reconcile.recovery import recovered
from resilientslice.render.proxy import cluster_topology


def stored(cluster):
    """As read back from an API server."""
    record = record_of(cluster.slice_(), cluster.observed.memory)
    return json.loads(json.dumps(record.state)), [
        json.loads(json.dumps(record.revision(name))) for name in record.known
    ]


def test_a_memory_survives(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    state, revisions = stored(cluster)
    assert memory_of(state, revisions) == cluster.observed.memory
    assert len(revisions) == 2
    assert revision_names(state) == tuple(revision["metadata"]["name"] for revision in revisions)


def test_history_survives(cluster):
    cluster.spec.pop("canary")
    cluster.edit(images={"payments": "2"}).settle()
    cluster.edit(images={"payments": "3"}).settle()
    state, revisions = stored(cluster)
    assert len(memory_of(state, revisions).history) == 2
    assert len(revisions) == 3


def test_what_is_not_compared_is_the_latest_though_the_revision_was_stored_before(cluster):
    _, older = stored(cluster)
    cluster.service("payments")["replicas"] = 7
    cluster.edit().settle()
    state, _ = stored(cluster)
    memory = memory_of(state, older)
    assert memory.stable.services["payments"].spec.replicas == 7
    assert memory == cluster.observed.memory


def test_a_stored_revision_stands_for_one_with_the_same_templates(cluster):
    _, (revision,) = stored(cluster)
    other = copy.deepcopy(revision)
    other["data"]["services"]["payments"]["spec"]["replicas"] = 9
    assert same_templates(other, revision)
    other["data"]["services"]["payments"]["template"]["spec"]["hostNetwork"] = True
    assert not same_templates(other, revision)
    assert not same_templates({}, revision)


@pytest.mark.parametrize("data", [None, "", "[]", "{}", '{"stable": null}'], ids=str)
def test_a_damaged_state_says_what_to_do(cluster, data):
    state, revisions = stored(cluster)
    state["data"] = {} if data is None else {STATE_KEY: data}
    with pytest.raises(UnreadableMemoryError, match="the ConfigMap"):
        memory_of(state, revisions)
    with pytest.raises(UnreadableMemoryError):
        revision_names(state)


def test_a_revision_that_is_missing_is_named(cluster):
    state, (revision,) = stored(cluster)
    with pytest.raises(UnreadableMemoryError, match=revision["metadata"]["name"]):
        memory_of(state, [])


class Operator:
    """Makes plans of a cluster's slice, as it is now."""

    def __init__(self, cluster):
        self.cluster = cluster

    def __call__(self, observed):
        return plan(self.cluster.slice_(), observed, self.cluster.now, place=cluster_topology)


@pytest.fixture
def raised(cluster):
    """Weight 30 is pushed and acknowledged; what is stored says 10."""
    cluster.edit(images={"payments": "2"}, canary={"weight": 10}).settle()
    before = cluster.observed.memory
    cluster.edit(canary={"weight": 30}).settle()
    cluster.see(memory=before)
    return cluster


def test_a_decision_that_the_envoys_prove_is_made_again(raised):
    observed, events = recovered(raised.observed, Operator(raised))
    assert observed.memory.state.weight == 30
    assert [event.reason for event in events] == ["CanaryWeight"]
    (digest,) = set(raised.observed.proxies.acked.values())
    assert observed.memory.config == digest
    assert Operator(raised)(observed).memory.config == digest


@pytest.mark.parametrize(
    "acked", [{}, {"proxy-0": "a", "proxy-1": "b"}, {"proxy-0": "unknown", "proxy-1": "unknown"}], ids=str
)
def test_what_they_do_not_prove_is_decided_anew(raised, acked):
    raised.see(proxies=Proxies(total=2, acked=acked))
    assert recovered(raised.observed, Operator(raised)) == (raised.observed, ())


def test_envoys_that_run_what_was_stored_prove_nothing_more(raised):
    memory = raised.observed.memory
    raised.see(proxies=Proxies(total=2, acked=dict.fromkeys(("proxy-0", "proxy-1"), memory.config)))
    assert recovered(raised.observed, Operator(raised)) == (raised.observed, ())


def test_nothing_is_recovered_of_a_slice_that_nobody_remembers(raised):
    observed = replace(raised.observed, memory=None)
    assert recovered(observed, Operator(raised)) == (observed, ())


def test_a_decision_that_was_taken_back_meanwhile_is_not_made_again(raised):
    raised.edit(canary={"weight": 5})
    assert recovered(raised.observed, Operator(raised)) == (raised.observed, ())


def test_envoys_that_do_not_all_run_the_same_prove_nothing(raised):
    (proven,) = set(raised.observed.proxies.acked.values())
    for other in ("unknown", raised.observed.memory.config):
        raised.see(proxies=Proxies(total=2, acked={"proxy-0": proven, "proxy-1": other}))
        assert recovered(raised.observed, Operator(raised)) == (raised.observed, ())
