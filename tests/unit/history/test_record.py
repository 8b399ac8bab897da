"""A memory survives as Kubernetes objects, and a decision that was pushed and never stored is found again."""

import base64
import copy
import json
import lzma
from dataclasses import replace

import pytest

from resilientslice.history.packing import LARGEST_UNPACKED
from resilientslice.history.record import (
    PACKED_KEY,
    STATE_KEY,
    memory_of,
    read_state,
    record_of,
    revision_of_object,
    same_templates,
)
from resilientslice.history.recovery import recovered
from resilientslice.planning.memory import DamagedMemoryError, UnreadableMemoryError
from resilientslice.planning.observed import Proxies
from resilientslice.planning.plan import plan
from resilientslice.render.proxy import cluster_topology


def stored(cluster):
    """As read back from an API server."""
    record = record_of(cluster.slice_(), cluster.observed.memory)
    return json.loads(json.dumps(record.state)), [
        json.loads(json.dumps(record.revision(name))) for name in record.known
    ]


def read(state, revisions):
    found = [revision_of_object(revision) for revision in revisions]
    return memory_of(read_state(state), {revision.name: revision for revision in found})


def test_a_memory_survives(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    state, revisions = stored(cluster)
    assert read(state, revisions) == cluster.observed.memory
    assert len(revisions) == 2
    assert read_state(state).names == tuple(revision["metadata"]["name"] for revision in revisions)


def test_history_survives(cluster):
    cluster.spec.pop("canary")
    cluster.edit(images={"payments": "2"}).settle()
    cluster.edit(images={"payments": "3"}).settle()
    state, revisions = stored(cluster)
    assert len(read(state, revisions).history) == 2
    assert len(revisions) == 3


def test_what_is_not_compared_is_the_latest_though_the_revision_was_stored_before(cluster):
    _, older = stored(cluster)
    cluster.service("payments")["replicas"] = 7
    cluster.edit().settle()
    state, _ = stored(cluster)
    memory = read(state, older)
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


@pytest.mark.parametrize("data", [None, "", "[]", "{}", '{"stable": null}', '{"version": 1, "stable": 7}'], ids=str)
def test_a_damaged_state_is_told_from_one_of_a_later_version(cluster, data):
    state, _ = stored(cluster)
    state["data"] = {} if data is None else {STATE_KEY: data}
    with pytest.raises(DamagedMemoryError):
        read_state(state)


def test_a_state_of_a_later_version_is_not_called_damaged(cluster):
    state, _ = stored(cluster)
    state["data"] = {STATE_KEY: json.dumps(json.loads(state["data"][STATE_KEY]) | {"version": 2})}
    with pytest.raises(UnreadableMemoryError, match="version 2") as error:
        read_state(state)
    assert not isinstance(error.value, DamagedMemoryError)


def test_a_state_may_have_more_fields_and_lack_those_with_a_default(cluster):
    state, revisions = stored(cluster)
    fields = json.loads(state["data"][STATE_KEY])
    fields = {
        key: value for key, value in fields.items() if key not in ("slice", "sizes", "config", "history", "canary")
    }
    state["data"][STATE_KEY] = json.dumps(fields | {"later": [1], "state": fields["state"] | {"later": 1}})
    assert read(state, revisions) == replace(cluster.observed.memory, config="")


def test_a_stable_revision_that_is_missing_is_named(cluster):
    state, (revision,) = stored(cluster)
    with pytest.raises(DamagedMemoryError, match=revision["metadata"]["name"]):
        read(state, [])


def test_a_former_revision_that_is_missing_is_left_out(cluster):
    cluster.spec.pop("canary")
    cluster.edit(images={"payments": "2"}).settle()
    state, revisions = stored(cluster)
    former = cluster.observed.memory.history[0].name
    memory = read(state, [revision for revision in revisions if revision["metadata"]["name"] != former])
    assert memory == replace(cluster.observed.memory, history=())


LONG = "".join(chr(33 + number * 7919 % 94) for number in range(4000))
"""Takes no less room when it is packed with itself alone."""


def large(cluster):
    env = [{"name": f"V{number}", "value": f"{LONG[number:]}{LONG[:number]}"} for number in range(60)]
    cluster.service("payments")["env"] = env
    return cluster.edit().settle()


def test_a_large_revision_is_packed_and_small_ones_read_as_they_are(cluster):
    _, (small,) = stored(cluster)
    assert small["data"]["name"] == small["metadata"]["name"]
    large(cluster)
    state, revisions = stored(cluster)
    packed = next(one for one in revisions if one["metadata"]["name"] == cluster.observed.memory.canary.name)
    assert packed["data"].keys() == {"format", "xz"}
    assert read(state, revisions) == cluster.observed.memory
    assert same_templates(packed, packed)
    assert not same_templates(packed, small)


@pytest.mark.parametrize("xz", ["", "AAAA", None, 7, "not base64"], ids=str)
def test_a_damaged_pack_is_damage(cluster, xz):
    _, (revision,) = stored(cluster)
    with pytest.raises(DamagedMemoryError, match=revision["metadata"]["name"]):
        revision_of_object(revision | {"data": {"format": 2, "xz": xz}})


def test_a_pack_that_would_take_much_memory_is_damage(cluster):
    _, (revision,) = stored(cluster)
    bomb = base64.b64encode(lzma.compress(b" " * (LARGEST_UNPACKED + 1))).decode()
    with pytest.raises(DamagedMemoryError, match="more than"):
        revision_of_object(revision | {"data": {"format": 2, "xz": bomb}})


def test_a_revision_of_a_later_format_is_not_called_damaged(cluster):
    _, (revision,) = stored(cluster)
    with pytest.raises(UnreadableMemoryError, match="format 3") as error:
        revision_of_object(revision | {"data": {"format": 3}})
    assert not isinstance(error.value, DamagedMemoryError)


def test_of_a_large_state_what_revisions_hold_is_left_out(cluster):
    large(cluster)
    state, revisions = stored(cluster)
    assert len(state["data"][STATE_KEY]) < 10_000
    cluster.service("payments")["replicas"] = 7
    cluster.edit().settle()
    state, _ = stored(cluster)
    assert read(state, revisions) == cluster.observed.memory
    assert read(state, revisions).canary.services["payments"].spec.replicas == 7


def test_a_state_that_is_still_large_is_packed(cluster):
    egress = [{"cidr": f"10.{n}.0.0/16", "ports": [*range(10_000 + n, 10_032 + n)]} for n in range(32)]
    for number in range(40):
        cluster.spec["services"].append({"name": f"s{number}", "image": f"i:{number}", "egress": egress})
    cluster.edit().settle()
    cluster.edit(images={"payments": "2"}).settle()
    state, revisions = stored(cluster)
    assert state["binaryData"].keys() == {PACKED_KEY}
    assert read(state, revisions) == cluster.observed.memory


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
    (digest,) = set(raised.observed.envoys.proxies.acked.values())
    assert observed.memory.config == digest
    assert Operator(raised)(observed).memory.config == digest


@pytest.mark.parametrize("stored_too", [True, False], ids=["others run what was stored", "others don't answer"])
def test_one_envoy_that_was_reached_proves_a_decision(raised, stored_too):
    """The operator ended in the midst of a push."""
    (digest,) = set(raised.observed.envoys.proxies.acked.values())
    others = {"proxy-1": raised.observed.memory.config} if stored_too else {}
    raised.see(proxies=Proxies(total=2, acked={"proxy-0": digest} | others))
    observed, events = recovered(raised.observed, Operator(raised))
    assert observed.memory.config == digest
    assert [event.reason for event in events] == ["CanaryWeight"]


def test_an_abort_that_reached_one_envoy_stays_an_abort(raised):
    before = raised.observed.memory
    name = before.canary.name
    raised.edit(canary={"abort": name}).settle()
    (digest,) = set(raised.observed.envoys.proxies.acked.values())
    raised.see(memory=before, proxies=Proxies(total=2, acked={"proxy-0": digest, "proxy-1": before.config}))
    observed, events = recovered(raised.observed, Operator(raised))
    assert not observed.memory.state.live
    assert [event.reason for event in events] == ["CanaryAborted"]


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


def test_one_envoy_that_was_reached_proves_the_decision_whatever_the_others_run(raised):
    (proven,) = set(raised.observed.envoys.proxies.acked.values())
    for other in ("unknown", raised.observed.memory.config):
        raised.see(proxies=Proxies(total=2, acked={"proxy-0": proven, "proxy-1": other}))
        found, events = recovered(raised.observed, Operator(raised))
        assert found.memory.config == proven
        assert [event.reason for event in events] == ["CanaryWeight"]
