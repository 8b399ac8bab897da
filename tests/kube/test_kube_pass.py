"""The pass on a real API server: what is applied, what is left alone, and what it costs."""

import pytest
from tests.kube.pass_edits import LOOK, canary, edit, more_replicas, tag, weigh

from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import NotLeadingError
from resilientslice.kube.kinds import CONFIG_MAP, CONTROLLER_REVISION, DEPLOYMENT, EVENT, SERVICE, STATEFUL_SET
from resilientslice.kube.session import Session
from testkit.files import sample, service_of
from testkit.pass_world import writes


@pytest.mark.parametrize("name", ["minimal", "shop", "external-stores"])
async def test_a_sample_comes_up_and_costs_nothing_at_rest(world, name):
    document = sample(name)
    name = document["metadata"]["name"]
    await world.apply(document)
    await world.settle(name)
    assert (await world.slice(name))["status"]["phase"] == "Ready"
    assert await world.condition(name, "ConfigAccepted") == ("True", "Acknowledged", "")
    for _ in range(3):
        world.now += 3600
        made = await world.reconcile(name)
        assert made == [LOOK] * len(await world.names(STATEFUL_SET)), "only whether the stores' Secrets are still there"
        assert await world.reconcile(name) == []


async def test_a_restarted_operator_writes_nothing(shop):
    await edit(shop, tag("payments", "2"))
    await edit(shop, weigh(30))
    await shop.settle("shop")
    shop.restart()
    pushes = len(shop.agents.pushed)
    assert writes(await shop.reconcile("shop")) == []
    assert len(shop.agents.pushed) == pushes
    assert await shop.reconcile("shop") == []


async def test_a_weight_moves_traffic_and_writes_three_objects(shop):
    await edit(shop, tag("payments", "2"))
    await edit(shop, weigh(10))
    await shop.settle("shop")
    assert ((await canary(shop))["weight"], (await canary(shop))["phase"]) == (10, "Progressing")
    await edit(shop, weigh(30))
    made = writes(await shop.reconcile("shop"))
    changed = [request for request in made if request[1] != "Event"]
    assert sorted(changed) == [("apply", "ConfigMap"), ("apply", "ConfigMap"), ("patch_status", "ResilientSlice")]
    assert (await canary(shop))["weight"] == 30
    assert writes(await shop.reconcile("shop")) == []


async def test_a_hundred_promotes_and_the_canary_goes(shop):
    await edit(shop, tag("payments", "2"))
    await edit(shop, weigh(30))
    await shop.settle("shop")
    assert "shop-payments-canary" in await shop.names(DEPLOYMENT)
    await edit(shop, weigh(100))
    for _ in range(5):
        await shop.settle("shop", seconds=60)
    assert (await canary(shop))["phase"] == "Idle"
    assert "shop-payments-canary" not in await shop.names(DEPLOYMENT)
    stable = await shop.others.get(DEPLOYMENT, shop.namespace, "shop-payments-stable")
    assert stable["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":2")


async def test_the_old_image_again_ends_the_canary_and_its_revision_is_forgotten(shop):
    before = service_of(shop.document, "payments")["image"].rpartition(":")[2]
    await edit(shop, tag("payments", "2"))
    await edit(shop, weigh(30))
    await shop.settle("shop")
    assert len(await shop.names(CONTROLLER_REVISION)) == 2
    await edit(shop, tag("payments", before))
    for _ in range(3):
        await shop.settle("shop", seconds=60)
    assert "shop-payments-canary" not in await shop.names(DEPLOYMENT)
    assert len(await shop.names(CONTROLLER_REVISION)) == 1
    assert (await shop.slice("shop"))["status"]["phase"] == "Ready"


async def test_a_weight_left_behind_does_not_ship_the_next_image(shop):
    await edit(shop, tag("payments", "2"))
    await edit(shop, weigh(100))
    for _ in range(5):
        await shop.settle("shop", seconds=60)
    await edit(shop, tag("payments", "3"))
    await shop.settle("shop")
    found = await canary(shop)
    assert (found["phase"], found["weight"]) == ("Paused", 0)
    assert "StaleWeight" in found["message"]
    assert (await shop.condition("shop", "Reconciling"))[1] == "StaleWeight"


async def test_a_port_that_moves_without_a_canary_section_is_moved_by_one_and_back_to_rest(shop):
    def change(document):
        document["spec"].pop("canary", None)
        service_of(document, "payments")["port"] = 9191

    shop.stuck = {"shop-payments-canary"}
    await edit(shop, change)
    await shop.settle("shop")
    assert (await canary(shop))["phase"] == "Starting"
    assert (await shop.condition("shop", "Ready"))[0] == "True"
    shop.stuck = set()
    for _ in range(4):
        await shop.settle("shop")
        shop.now += 60
    assert (await canary(shop))["phase"] == "Idle"
    assert "shop-payments-canary" not in await shop.names(DEPLOYMENT)
    ports = (await shop.others.get(SERVICE, shop.namespace, "shop-payments"))["spec"]["ports"]
    assert [port["port"] for port in ports] == [9191]
    assert writes(await shop.reconcile("shop")) == []


async def test_a_change_of_replicas_takes_nothing_from_a_live_canary(shop):
    await edit(shop, tag("payments", "2"))
    await edit(shop, weigh(50))
    await shop.settle("shop")
    await edit(shop, lambda document: service_of(document, "payments").update(replicas=4))
    for _ in range(3):
        await shop.reconcile("shop")
        assert ((await canary(shop))["weight"], (await canary(shop))["phase"]) == (50, "Progressing")
        assert (await shop.condition("shop", "CanaryHealthy"))[0] == "True"
    events = await shop.others.list_all(EVENT, shop.namespace)
    assert not [event for event in events if event["reason"] == "CanaryUnhealthy"]


async def test_suspended_nothing_is_touched(shop):
    def change(document):
        document["spec"]["suspend"] = True
        service_of(document, "api")["replicas"] = 9

    await edit(shop, change)
    made = writes(await shop.reconcile("shop"))
    assert {kind for _, kind in made} == {"ResilientSlice"}
    assert (await shop.slice("shop"))["status"]["phase"] == "Suspended"
    await shop.others.delete(DEPLOYMENT, shop.namespace, "shop-api-stable")
    assert await shop.reconcile("shop") == []


async def test_a_refused_configuration_is_neither_stored_nor_pushed_again(shop):
    good = (await shop.others.get(CONFIG_MAP, shop.namespace, "shop-proxy"))["data"]
    shop.agents.refuse = "no such filter"

    def change(document):
        document["spec"].setdefault("resilience", {})["timeout"] = "5s"

    pushes = len(shop.agents.pushed)
    await edit(shop, change)
    await shop.settle("shop")
    assert len(shop.agents.pushed) == pushes + 1
    assert await shop.condition("shop", "ConfigAccepted") == ("False", "ConfigRejected", "Envoy says: no such filter")
    assert (await shop.others.get(CONFIG_MAP, shop.namespace, "shop-proxy"))["data"] == good
    shop.agents.refuse = ""
    await edit(shop, lambda document: document["spec"]["resilience"].update(timeout="6s"))
    await shop.settle("shop")
    assert (await shop.slice("shop"))["status"]["phase"] == "Ready"


async def test_a_decision_that_was_pushed_and_never_stored_is_made_again(shop):
    await edit(shop, tag("payments", "2"))
    await edit(shop, weigh(10))
    await shop.settle("shop")
    state = await shop.others.get(CONFIG_MAP, shop.namespace, "shop-state")
    await edit(shop, weigh(30))
    await shop.settle("shop")
    thirty = shop.agents.pushed[-1].digest
    now = await shop.others.get(CONFIG_MAP, shop.namespace, "shop-state")
    now["data"] = state["data"]
    now["metadata"]["annotations"] = state["metadata"]["annotations"]
    await shop.others.replace(now)
    pushes = len(shop.agents.pushed)
    shop.restart()
    await shop.settle("shop")
    assert len(shop.agents.pushed) == pushes
    assert [set(ran.values()) for ran in shop.agents.running.values()] == [{thirty}]
    assert (await canary(shop))["weight"] == 30


async def test_a_process_that_does_not_lead_writes_nothing(shop, api):
    def check():
        raise NotLeadingError("not sent", message="frozen")

    async with Session(api.login) as session:
        shop.client = KubeClient(session, guard=check)
        shop.restart()
        await edit(shop, more_replicas)
        with pytest.raises(NotLeadingError):
            await shop.reconcile("shop")
    live = await shop.others.get(DEPLOYMENT, shop.namespace, "shop-api-stable")
    assert live["spec"]["replicas"] != 5
