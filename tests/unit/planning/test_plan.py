"""The plan as a whole: what is to exist, what is remembered, and what stays as it was."""

import json
from dataclasses import replace

import pytest

from resilientslice.canary.state import Phase
from resilientslice.planning.memory import HISTORY, memory_from_json, memory_to_json
from resilientslice.render import revision as rendering
from resilientslice.render.names import Track
from resilientslice.render.revision import revision_of

CANARY = "shop-payments-canary"


def images(deployments):
    return {name: template["spec"]["containers"][0]["image"].split(":")[1] for name, template in deployments.items()}


def test_the_first_apply_makes_the_wanted_revision_stable(fresh):
    fresh.spec["canary"] = {"weight": 100}
    made = fresh.reconcile()
    assert made.memory.stable == revision_of(fresh.slice_())
    assert made.desired.canary is None
    assert set(fresh.deployments()) == {"shop-api-stable", "shop-payments-stable", "shop-worker-stable"}
    assert made.status.config.digest == made.desired.envoy.digest == made.memory.config
    assert made.events == ()


def test_an_unchanged_slice_changes_nothing(cluster):
    before = cluster.plan
    cluster.now += 3600
    after = cluster.reconcile()
    assert (after.memory, after.status, after.events) == (before.memory, before.status, ())
    assert (after.desired.objects, after.desired.envoy) == (before.desired.objects, before.desired.envoy)


def test_what_is_not_in_pods_acts_at_once_without_a_revision(cluster):
    name, digest = cluster.plan.memory.stable.name, cluster.plan.desired.envoy.digest
    cluster.spec["resilience"] = {"timeout": "3s"}
    cluster.service("payments")["replicas"] = 7
    made = cluster.edit().reconcile()
    assert made.memory.stable.name == name
    assert made.memory.stable.services["payments"].spec.replicas == 7
    assert made.desired.envoy.digest != digest
    assert made.events == ()


def test_changed_services_get_a_canary_and_the_others_are_left_alone(cluster):
    before = cluster.deployments()
    made = cluster.edit(images={"payments": "2", "worker": "2"}, canary={"weight": 30}).reconcile()
    after = cluster.deployments()
    assert images(after) == {
        "shop-api-stable": "1",
        "shop-payments-stable": "1",
        "shop-worker-stable": "1",
        CANARY: "2",
    }
    assert {name: after[name] for name in before} == before
    assert (made.desired.canary.live, made.desired.canary.weight) == (False, 0)


def test_weight_reaches_the_proxies_once_the_canary_is_ready_and_they_know_it(cluster):
    cluster.pods_start = False
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    assert cluster.plan.status.canary.phase == "Starting"
    cluster.pods_start = True
    cluster.reconcile()
    cluster.envoys_answer = False
    made = cluster.settle()
    assert (made.desired.canary.live, made.desired.canary.weight) == (True, 0)
    cluster.envoys_answer = True
    made = cluster.settle()
    assert (made.desired.canary.live, made.desired.canary.weight) == (True, 30)
    assert made.status.canary.weight == 30


def test_a_configuration_edit_under_way_holds_the_weight_back(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    cluster.envoys_answer = False
    cluster.spec["resilience"] = {"timeout": "3s"}
    cluster.edit().settle()
    assert cluster.edit(canary={"weight": 50}).settle().desired.canary.weight == 30
    cluster.envoys_answer = True
    assert cluster.settle().desired.canary.weight == 50


def test_promotion_rolls_out_byte_for_byte_what_the_canary_proved(cluster):
    cluster.edit(images={"payments": "2", "worker": "2"}, canary={"weight": 30}).settle()
    proved = json.dumps(cluster.deployments()[CANARY]).replace("canary", "stable")
    cluster.settle()
    cluster.edit(canary={"weight": 100}).settle(seconds=1)
    assert images(cluster.deployments()) == {
        "shop-api-stable": "1",
        "shop-payments-stable": "2",
        "shop-worker-stable": "2",
    }
    assert json.dumps(cluster.deployments()["shop-payments-stable"]) == proved
    assert cluster.plan.status.canary.phase == "Idle"


def test_while_stable_is_updated_both_tracks_are_the_same_revision_and_the_canary_serves(cluster):
    cluster.edit(images={"payments": "2", "worker": "2"}, canary={"weight": 30}).settle()
    cluster.pods_start = False
    made = cluster.edit(canary={"weight": 100}).settle()
    assert made.status.canary.phase == "Promoting"
    assert images(cluster.deployments())["shop-payments-stable"] == "2"
    assert (made.desired.canary.weight, made.desired.canary.services) == (100, frozenset({"payments"}))
    assert made.status.revision.stable == made.status.revision.canary


def test_a_service_may_be_added_and_removed_by_a_canary(cluster):
    cluster.spec["services"] = [
        {**cluster.service("api"), "dependsOn": ["ledger"]},
        {"name": "ledger", "image": "example.org/ledger:1", "port": 8080},
        cluster.service("worker"),
    ]
    cluster.edit(canary={"weight": 20}).settle()
    assert set(images(cluster.deployments())) == {
        "shop-api-stable",
        "shop-api-canary",
        "shop-ledger-canary",
        "shop-payments-stable",
        "shop-worker-stable",
    }
    cluster.edit(canary={"weight": 100}).settle(seconds=1)
    cluster.settle(seconds=60)
    assert set(images(cluster.deployments())) == {"shop-api-stable", "shop-ledger-stable", "shop-worker-stable"}


def test_only_portless_services_changed_need_no_canary(cluster):
    made = cluster.edit(images={"worker": "2"}, canary={"weight": 30}).reconcile()
    assert made.desired.canary is None
    assert images(cluster.deployments())["shop-worker-stable"] == "2"
    assert [event.reason for event in made.events] == ["Updated"]


def test_no_canary_section_is_a_plain_rolling_update(cluster):
    cluster.spec.pop("canary")
    made = cluster.edit(images={"payments": "2"}).reconcile()
    assert made.desired.canary is None
    assert images(cluster.deployments())["shop-payments-stable"] == "2"


def test_the_stable_content_again_ends_the_canary(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    cluster.edit(images={"payments": "1"}).settle(seconds=1)
    assert CANARY not in cluster.deployments()
    assert cluster.plan.memory.canary is None


@pytest.fixture
def newer_operator(monkeypatch):
    """From now on every template is rendered in another way."""

    def render():
        before = rendering.render_pod_template

        def newer(*arguments, **keywords):
            template = before(*arguments, **keywords)
            return {**template, "spec": {**template["spec"], "newer": True}}

        monkeypatch.setattr(rendering, "render_pod_template", newer)

    return render


def rendered_anew(cluster):
    return {name for name, template in cluster.deployments().items() if "newer" in template["spec"]}


def test_a_new_operator_version_restarts_no_service_pod(cluster, newer_operator):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    before = cluster.deployments()
    newer_operator()
    cluster.settle()
    assert cluster.deployments() == before


def test_a_new_revision_renders_anew_only_what_was_edited(cluster, newer_operator):
    newer_operator()
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    assert rendered_anew(cluster) == {CANARY}
    cluster.edit(canary={"weight": 100}).settle(seconds=1)
    assert rendered_anew(cluster) == {"shop-payments-stable"}


def test_a_formerly_stable_revision_comes_back_as_it_ran(cluster, newer_operator):
    before, first = cluster.deployments(), cluster.plan.memory.stable.name
    cluster.edit(images={"payments": "2"}, canary={"promote": "", "weight": 30}).settle()
    cluster.edit(canary={"weight": 100}).settle(seconds=1)
    assert [revision.name for revision in cluster.plan.memory.history] == [first]
    newer_operator()
    cluster.edit(images={"payments": "1"}).settle(seconds=1)
    assert cluster.plan.memory.stable.name == first, "a leftover weight does not hold up a return"
    assert cluster.deployments() == before


def test_ports_of_a_formerly_stable_revision_give_way_to_those_in_use(cluster):
    cluster.spec.pop("canary")
    first = cluster.plan.memory.stable
    taken = first.services["payments"].internal_port
    cluster.edit(images={"worker": "2"}).settle()
    memory = cluster.observed.memory
    data = memory_to_json(memory)
    data["stable"]["services"]["api"]["internalPort"] = taken
    data["stable"]["services"]["payments"]["internalPort"] = taken + 1
    cluster.see(memory=memory_from_json(data))
    back = cluster.edit(images={"worker": "1"}).settle().memory.stable
    assert back.name == first.name
    assert (back.services["api"].internal_port, back.services["payments"].internal_port) == (taken, taken + 1)


def test_a_revision_that_never_was_ready_is_nothing_to_return_to(cluster):
    cluster.spec.pop("canary")
    first = cluster.plan.memory.stable.name
    cluster.pods_start = False
    cluster.edit(images={"payments": "2"}).settle()
    cluster.edit(images={"payments": "3"}).settle()
    assert [revision.name for revision in cluster.plan.memory.history] == [first]


def test_a_revision_seen_ready_only_now_is_remembered(cluster):
    cluster.spec.pop("canary")
    second = cluster.edit(images={"payments": "2"}).reconcile().memory.stable.name
    cluster.edit(images={"payments": "3"}).reconcile()
    assert cluster.plan.memory.history[0].name == second


def test_a_revision_that_was_ready_once_is_remembered_whatever_it_is_like_now(cluster):
    cluster.spec.pop("canary")
    first = cluster.plan.memory.stable.name
    worker = replace(cluster.observed.workloads["worker", Track.STABLE], ready=0)
    cluster.see(workloads={**cluster.observed.workloads, ("worker", Track.STABLE): worker})
    made = cluster.edit(images={"payments": "2"}).reconcile()
    assert [revision.name for revision in made.memory.history] == [first]


def test_ten_revisions_are_remembered_newest_first(cluster):
    cluster.spec.pop("canary")
    tags = ["1", *map(str, range(2, 14)), "5"]
    names = [cluster.edit(images={"payments": tag}).settle().memory.stable.name for tag in tags]
    history = [revision.name for revision in cluster.plan.memory.history]
    assert len(history) == HISTORY
    assert history[:9] == names[-2:-11:-1]
    assert len(set(history)) == HISTORY


def test_the_size_of_stable_at_the_start_is_kept_until_the_canary_ends(cluster):
    made = cluster.edit(images={"payments": "2"}, canary={"weight": 30}).reconcile()
    assert made.desired.canary.stable_sizes == {"payments": 3}
    shrunk = replace(cluster.observed.workloads["payments", Track.STABLE], desired=1)
    cluster.see(workloads={**cluster.observed.workloads, ("payments", Track.STABLE): shrunk})
    assert cluster.reconcile().desired.canary.stable_sizes == {"payments": 3}
    cluster.settle()
    cluster.edit(canary={"weight": 100}).settle(seconds=1)
    assert cluster.plan.memory.sizes == {}


def test_an_added_service_has_no_size_yet(cluster):
    cluster.spec["services"].append({"name": "ledger", "image": "example.org/ledger:1", "port": 8080})
    assert cluster.edit(canary={"weight": 30}).reconcile().desired.canary.stable_sizes == {}


def test_a_suspended_slice_is_left_as_it_is(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    memory = cluster.observed.memory
    cluster.spec["suspend"] = True
    made = cluster.edit(canary={"weight": 100}).reconcile()
    assert (made.desired, made.memory, made.events, made.next_deadline) == (None, memory, (), None)
    cluster.spec["suspend"] = False
    assert cluster.edit().settle().status.canary.phase in {"Promoting", "Draining"}


def test_a_slice_that_was_suspended_from_the_start_is_not_remembered(fresh):
    fresh.spec["suspend"] = True
    assert fresh.reconcile().memory is None


def test_memory_survives_a_restart_of_the_operator_at_any_moment(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 100})
    for _ in range(8):
        cluster.reconcile()
        stored = json.loads(json.dumps(memory_to_json(cluster.observed.memory)))
        assert memory_from_json(stored) == cluster.observed.memory
        cluster.see(memory=memory_from_json(stored))
        cluster.now += 1
    assert cluster.plan.status.canary.phase == Phase.IDLE.value
    assert images(cluster.deployments())["shop-payments-stable"] == "2"


def test_next_deadline_is_when_to_look_again(cluster):
    cluster.edit(images={"payments": "2"}, canary={"steps": [{"weight": 5}], "analysis": {"deadline": "90s"}})
    assert cluster.settle().next_deadline == cluster.now + 90
