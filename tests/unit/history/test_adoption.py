"""What is adopted of a slice that runs when its memory is gone: from Deployments, stored revisions and status alone."""

import json
from dataclasses import replace

import pytest

from resilientslice.canary.state import CanaryReason, Phase
from resilientslice.history.adoption import Found, adopt, memory_lost, proved
from resilientslice.history.record import record_of
from resilientslice.history.regained import configuration_digests
from resilientslice.history.running import Running
from resilientslice.history.second_copy import KEY, SecondCopy, read_copy
from resilientslice.planning.observed import Proxies
from resilientslice.planning.plan import plan
from resilientslice.render.envoy import render_envoy
from resilientslice.render.names import Track
from resilientslice.render.proxy import cluster_topology


def running(cluster):
    """The Deployments of the last plan."""
    desired = cluster.plan.desired
    found = [(Track.STABLE, desired.stable, desired.stable.services)]
    if desired.canary:
        found.append((Track.CANARY, desired.canary.revision, desired.canary.services))
    return tuple(
        Running(name, track, service.digest, service.template, 3, service.internal_port)
        for track, revision, names in found
        for name, service in revision.services.items()
        if name in names
    )


def stored(cluster):
    memory = cluster.observed.memory
    return {one.name: one for one in (memory.stable, memory.canary, *memory.history, *memory.leaving) if one}


def second_copy(cluster):
    """As it is read from the ConfigMap that the last pass applied."""
    return read_copy({"data": {KEY: record_of(cluster.slice_(), cluster.observed.memory).copy}})


def adopted(cluster, *, stored_too=True, copied=True):
    copy = second_copy(cluster) if copied else SecondCopy()
    found = Found(running(cluster), stored(cluster) if stored_too else {}, copy)
    return adopt(cluster.slice_(), found, cluster.now)


def digests_of(cluster):
    return lambda memory: configuration_digests(cluster.slice_(), memory, render_envoy)


def goes_on(cluster, memory):
    """What the next passes make of it."""
    before = cluster.deployments()
    cluster.see(memory=memory)
    cluster.events.clear()
    cluster.settle()
    return before


@pytest.fixture
def at_five(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 5}).settle()
    assert cluster.plan.status.canary.weight == 5
    return cluster


def test_nothing_runs_so_nothing_is_adopted(fresh):
    assert adopt(fresh.slice_(), Found((), {}), 1.0) is None


@pytest.mark.parametrize("stored_too", [True, False])
def test_a_slice_without_a_canary_is_what_it_was(cluster, stored_too):
    memory = adopted(cluster, stored_too=stored_too).memory
    was = cluster.observed.memory
    assert (memory.stable.name, memory.stable.services) == (was.stable.name, was.stable.services)
    assert goes_on(cluster, memory) == cluster.deployments()
    assert not cluster.events


@pytest.mark.parametrize("stored_too", [True, False])
def test_a_canary_goes_on_at_the_weight_that_envoys_prove(at_five, stored_too):
    found = adopted(at_five, stored_too=stored_too)
    assert (found.memory.state.phase, found.memory.state.weight) == (Phase.STARTING, 0)
    memory = proved(found, at_five.observed, digests_of(at_five))
    assert (memory.state.weight, memory.state.live) == (5, True)
    assert memory.sizes == at_five.observed.memory.sizes
    before = goes_on(at_five, memory)
    assert at_five.deployments() == before
    assert at_five.plan.status.canary.weight == 5


@pytest.mark.parametrize("acked", [{}, {"proxy-0": "unknown"}, "mixed"], ids=str)
def test_what_envoys_do_not_prove_starts_again(at_five, acked):
    found = adopted(at_five)
    if acked == "mixed":
        acked = {**at_five.observed.envoys.proxies.acked, "proxy-0": "unknown"}
    at_five.see(proxies=Proxies(total=2, acked=acked))
    memory = proved(found, at_five.observed, digests_of(at_five))
    assert memory == found.memory
    goes_on(at_five, memory)
    assert at_five.plan.status.canary.weight == 5, "the weight was set for this very revision"


def test_of_two_weights_that_envoys_draw_the_lower_one_is_gone_on_with(at_five):
    five = at_five.observed.envoys.proxies.acked["proxy-0"]
    at_five.edit(canary={"weight": 100}).pods_start = False
    found = adopted(at_five)
    hundred = min(digests_of(at_five)(replace(found.memory, state=replace(found.memory.state, weight=100, live=True))))
    at_five.see(proxies=Proxies(total=2, acked={"proxy-0": hundred, "proxy-1": five}))
    memory = proved(found, at_five.observed, digests_of(at_five))
    assert memory.state.weight == 5


def test_an_edit_while_nobody_looked_is_a_new_revision_and_an_old_weight_does_not_ship_it(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 100}).settle(60)
    cluster.settle(60)
    assert cluster.plan.status.revision.canary == ""
    stable = cluster.plan.status.revision.stable
    cluster.edit(images={"payments": "3"})
    memory = adopted(cluster, stored_too=False).memory
    assert memory.state.pin is not None
    before = goes_on(cluster, memory)
    assert cluster.plan.status.canary.weight == 0
    assert cluster.plan.desired.canary.weight == 0
    assert cluster.observed.memory.state.reason is CanaryReason.STALE_WEIGHT
    # nobody knows what the running payments was made from, but it runs on
    assert {name: cluster.deployments()[name] for name in before} == before
    assert cluster.plan.status.revision.stable not in ("", cluster.plan.status.revision.canary)
    assert stable


def test_what_runs_of_two_revisions_is_composed(cluster):
    cluster.spec.pop("canary")
    first = {one.service: one for one in running(cluster)}
    known = stored(cluster)
    cluster.edit(images={"payments": "2", "api": "2"}).settle()
    second = {one.service: one for one in running(cluster)}
    known |= stored(cluster)
    half = (first["api"], second["payments"], second["worker"])
    memory = adopt(cluster.slice_(), Found(half, known), 1.0).memory
    assert memory.stable.name not in known
    assert {name: one.digest for name, one in memory.stable.services.items()} == {
        one.service: one.digest for one in half
    }
    goes_on(cluster, memory)
    assert cluster.plan.status.revision.stable in known, "and the rest of the update is made"


def test_a_service_that_nobody_knows_is_read_off_its_deployment(cluster):
    known = adopted(cluster).memory.stable.services
    cluster.spec["services"] = [one for one in cluster.spec["services"] if one["name"] != "worker"]
    cluster.service("api")["image"] = "example.org/api:2"
    cluster.edit()
    memory = adopt(cluster.slice_(), Found(tuple(running(cluster)), {}), 1.0).memory
    assert {name: one.template for name, one in memory.stable.services.items()} == {
        name: one.template for name, one in known.items()
    }
    api = memory.stable.services["api"]
    assert (api.spec.image, api.spec.port, api.spec.depends_on) == ("example.org/api:1", 8080, ("payments",))
    assert api.internal_port == known["api"].internal_port
    assert memory.stable.services["worker"].spec.port is None


@pytest.mark.parametrize("same_generation", [True, False])
def test_an_aborted_revision_is_not_tried_again(at_five, same_generation):
    name = at_five.plan.status.revision.canary
    at_five.edit(canary={"abort": name}).settle(40)
    at_five.settle(40)
    at_five.edit(canary={"abort": ""}).settle()
    assert at_five.plan.status.canary.phase == "Aborted"
    if not same_generation:
        at_five.edit(canary={"weight": 50})
    memory = adopted(at_five).memory
    assert [abortion.revision for abortion in memory.state.aborted] == [name]
    goes_on(at_five, memory)
    assert at_five.plan.status.canary.phase == "Aborted"
    assert at_five.observed.memory.canary is None


def test_a_canary_that_drains_goes_on_draining_and_stays_aborted(at_five):
    name = at_five.plan.status.revision.canary
    at_five.envoys_answer = False
    at_five.edit(canary={"abort": name}).settle()
    assert at_five.plan.status.canary.phase == "Draining"
    at_five.edit(canary={"abort": ""})
    memory = adopted(at_five).memory
    assert (memory.state.phase, memory.state.live) == (Phase.DRAINING, False)
    at_five.envoys_answer = True
    goes_on(at_five, memory)
    at_five.settle(40)
    assert at_five.plan.status.canary.phase == "Aborted"


def test_a_promotion_is_final_and_goes_on(at_five):
    name = at_five.plan.status.revision.canary
    at_five.pods_start = False
    at_five.edit(canary={"promote": name}).settle()
    assert at_five.plan.status.canary.phase == "Promoting"
    found = adopted(at_five)
    assert found.memory.stable.name == name
    memory = proved(found, at_five.observed, digests_of(at_five))
    assert (memory.state.phase, memory.state.weight, memory.state.live) == (Phase.PROMOTING, 100, True)
    at_five.pods_start = True
    goes_on(at_five, memory)
    at_five.settle(40)
    assert at_five.plan.status.revision.stable == name
    assert at_five.plan.status.revision.canary == ""


def test_status_gone_too_a_weight_of_unknown_age_is_not_armed(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 100})
    slice_ = cluster.slice_()
    bare = slice_.model_copy(update={"status": type(slice_.status)()})
    memory = adopt(bare, Found(running(cluster), stored(cluster)), 1.0).memory
    made = plan(bare, replace(cluster.observed, memory=memory), 2.0, place=cluster_topology)
    assert made.memory.canary is not None
    assert not made.memory.state.pin.armed


def test_a_pin_that_status_knows_to_be_of_the_canary_is_armed(at_five):
    assert adopted(at_five).memory.state.pin.armed


def test_what_was_adopted_is_said(at_five):
    found = adopted(at_five)
    text = memory_lost(proved(found, at_five.observed, digests_of(at_five)), "The ConfigMap is gone").message
    assert text.startswith("The ConfigMap is gone. Adopted what runs: shop-")
    assert "at weight 5, which the Envoys draw" in text
    assert "is Starting, at weight 0" in memory_lost(found.memory, "Gone").message


def test_running_templates_are_the_ones_that_are_applied(at_five):
    """As the API server gives them back."""
    again = json.loads(json.dumps({one.service: one.template for one in running(at_five) if one.track is Track.STABLE}))
    memory = adopted(at_five, stored_too=False).memory
    assert {name: service.template for name, service in memory.stable.services.items()} == again


@pytest.fixture
def rejected(at_five):
    """A canary at 5, and an edit that every Envoy rejects."""
    at_five.refuses = lambda config: "no such filter" if "3.333s" in config.text else ""
    at_five.spec["resilience"] = {"timeout": "3333ms"}
    at_five.edit().settle()
    assert at_five.condition("ConfigAccepted")[0] == "False"
    return at_five


def forget(cluster):
    """The memory is deleted; what the Envoys run and what is stored beside their configuration stays."""
    found = adopted(cluster)
    cluster.see(memory=proved(found, cluster.observed, digests_of(cluster)))
    return cluster


def test_a_canary_goes_on_at_its_weight_while_an_edit_is_rejected(rejected):
    assert forget(rejected).observed.memory.state.weight == 5
    rejected.settle()
    assert (rejected.plan.status.canary.weight, rejected.condition("ConfigAccepted")[0]) == (5, "False")


@pytest.mark.parametrize("edit", [{"abort": True}, {"weight": 0}, {"weight": 40}], ids=str)
def test_decisions_act_though_the_memory_was_lost_while_an_edit_is_rejected(rejected, edit):
    canary = forget(rejected).observed.memory.canary.name
    rejected.edit(canary={"abort": canary} if "abort" in edit else edit).settle()
    ran = next(config for config in rejected.offered if config.digest == rejected.ran["proxy-0"])
    assert ran.digest == rejected.plan.desired.envoy.digest, "every Envoy runs what was decided"
    weight = edit.get("weight", 0)
    assert rejected.plan.status.canary.weight == weight
    assert (rejected.plan.status.canary.phase in ("Draining", "Aborted")) == ("abort" in edit)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"accepted": null}', '{"format": 2, "xz": "AAAA"}', "null"])
def test_a_copy_that_can_not_be_read_is_as_good_as_none(text):
    assert read_copy({"data": {KEY: text}}) == SecondCopy() == read_copy({}) == read_copy({"data": None})


def test_where_envoys_send_while_a_port_moves_is_not_lost(cluster):
    cluster.spec.pop("canary")
    cluster.edit().settle()
    cluster.service("payments")["port"] = 9090
    cluster.edit().reconcile()
    cluster.reconcile()
    cluster.pods_start = False
    cluster.settle()
    before = cluster.observed.memory
    assert (before.state.phase, before.aims["payments"].port) == (Phase.PROMOTING, 8080)
    memory = proved(adopted(cluster), cluster.observed, digests_of(cluster))
    assert (memory.aims, memory.leaving) == (before.aims, before.leaving)
    assert (memory.state.phase, memory.state.weight, memory.state.live) == (Phase.PROMOTING, 100, True)
    config = cluster.plan.desired.envoy.digest
    cluster.see(memory=memory).settle()
    assert cluster.plan.desired.envoy.digest == config, "no Envoy is told anything else"
