"""Objects of a slice that others delete, change, fight over or own, and those that the slice no longer needs."""

import pytest
from tests.kube.pass_edits import edit, more_replicas

from resilientslice.kube.kinds import (
    AUTOSCALER,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    NETWORK_POLICY,
    SECRET,
    SERVICE,
    STATEFUL_SET,
)
from testkit.files import sample, service_of
from testkit.pass_world import writes


@pytest.mark.parametrize(
    ("kind", "name"),
    [(DEPLOYMENT, "shop-api-stable"), (SERVICE, "shop-api"), (NETWORK_POLICY, "shop"), (CONFIG_MAP, "shop-state")],
    ids=str,
)
async def test_a_child_that_is_deleted_comes_back(shop, kind, name):
    await shop.others.delete(kind, shop.namespace, name)
    assert ("apply", kind.kind) in writes(await shop.reconcile("shop"))
    assert name in await shop.names(kind)


async def test_a_field_that_is_changed_or_removed_by_hand_is_taken_back(shop):
    for spec in ({"replicas": 7}, {"template": {"spec": {"containers": [{"name": "api", "image": "evil:1"}]}}}):
        changed = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "shop-api-stable", "namespace": shop.namespace},
            "spec": spec,
        }
        await shop.others.apply(changed, manager="hand", force=True)
        assert ("apply", "Deployment") in writes(await shop.reconcile("shop"))
        live = await shop.others.get(DEPLOYMENT, shop.namespace, "shop-api-stable")
        assert live["spec"]["replicas"] != 7
        assert live["spec"]["template"]["spec"]["containers"][0]["image"] != "evil:1"
    live = await shop.others.get(SERVICE, shop.namespace, "shop-api")
    del live["metadata"]["labels"]["app.kubernetes.io/part-of"]
    await shop.others.replace(live)
    assert ("apply", "Service") in writes(await shop.reconcile("shop"))
    live = await shop.others.get(SERVICE, shop.namespace, "shop-api")
    assert live["metadata"]["labels"]["app.kubernetes.io/part-of"] == "shop"


async def test_two_who_fight_over_a_field_are_named_and_left_alone(shop):
    changed = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop-api-stable", "namespace": shop.namespace},
        "spec": {"replicas": 7},
    }
    for _ in range(3):
        await shop.others.apply(changed, manager="scaler", force=True)
        assert ("apply", "Deployment") in writes(await shop.reconcile("shop"))
        shop.now += 10
    await shop.others.apply(changed, manager="scaler", force=True)
    await shop.settle("shop")
    status, reason, message = await shop.condition("shop", "FieldConflict")
    assert (status, reason) == ("True", "FieldManagerConflict")
    assert "Deployment shop-api-stable: scaler keeps setting spec.replicas" in message
    live = await shop.others.get(DEPLOYMENT, shop.namespace, "shop-api-stable")
    assert live["spec"]["replicas"] == 7
    shop.now += 301
    assert ("apply", "Deployment") in writes(await shop.reconcile("shop"))
    shop.now += 1201
    await shop.settle("shop")
    assert await shop.condition("shop", "FieldConflict") is None


@pytest.mark.parametrize("labelled", [False, True])
async def test_an_object_of_somebody_else_is_named_and_never_touched(world, labelled):
    document = sample("minimal")
    name = document["metadata"]["name"]
    first = document["spec"]["services"][0]["name"]
    labels = {"labels": {"resilientslice.dev/slice": name}} if labelled else {}
    other = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{name}-{first}", "namespace": world.namespace, **labels},
        "spec": {"ports": [{"port": 9}]},
    }
    before = await world.others.create(other)
    await world.apply(document)
    await world.settle(name)
    after = await world.others.get(SERVICE, world.namespace, f"{name}-{first}")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    status, reason, message = await world.condition(name, "NameConflict")
    assert (status, reason) == ("True", "ObjectNotOwned")
    assert f"Service {name}-{first} exists and is not controlled by this slice" in message
    assert (await world.condition(name, "Stalled"))[:2] == ("True", "ObjectNotOwned")
    await world.others.delete(SERVICE, world.namespace, f"{name}-{first}")
    world.now += 31
    await world.settle(name)
    assert await world.condition(name, "NameConflict") is None
    assert (await world.slice(name))["status"]["phase"] == "Ready"


async def test_a_service_that_is_removed_takes_its_objects_with_it(shop):
    def change(document):
        document["spec"].pop("canary", None)
        document["spec"]["services"] = [s for s in document["spec"]["services"] if s["name"] != "worker"]

    await edit(shop, change)
    await shop.settle("shop")
    assert "shop-worker-stable" not in await shop.names(DEPLOYMENT)
    assert "shop-worker" in await shop.names(NETWORK_POLICY), "its pods take a while to end"
    for _ in range(3):
        shop.now += 60
        await shop.settle("shop")
    assert "shop-worker" not in await shop.names(NETWORK_POLICY)


async def test_a_service_that_old_pods_call_outlives_them_also_over_a_restart(shop):
    """catalog goes, and api calls it no more, in one edit without a canary."""

    def change(document):
        document["spec"].pop("canary", None)
        document["spec"]["services"] = [s for s in document["spec"]["services"] if s["name"] != "catalog"]
        for found in document["spec"]["services"]:
            found["dependsOn"] = [name for name in found.get("dependsOn", ()) if name != "catalog"]

    shop.stuck = {"shop-api-stable"}
    await edit(shop, change)
    await shop.settle("shop")
    shop.restart()
    shop.now += 3600
    await shop.settle("shop")
    assert "shop-catalog-stable" in await shop.names(DEPLOYMENT)
    assert "shop-catalog" in await shop.names(SERVICE)
    shop.stuck = set()
    for _ in range(4):
        await shop.settle("shop")
        shop.now += 60
    assert "shop-catalog-stable" not in await shop.names(DEPLOYMENT)
    assert "shop-catalog" not in await shop.names(SERVICE)
    assert writes(await shop.reconcile("shop")) == []


async def test_everything_is_owned_but_the_credentials(shop):
    uid = (await shop.slice("shop"))["metadata"]["uid"]
    for kind in (DEPLOYMENT, SERVICE, CONFIG_MAP, STATEFUL_SET, NETWORK_POLICY, CONTROLLER_REVISION):
        for obj in await shop.others.list_all(kind, shop.namespace, label_selector="resilientslice.dev/slice=shop"):
            assert [owner["uid"] for owner in obj["metadata"]["ownerReferences"]] == [uid], obj["metadata"]["name"]
    for name in ("shop-postgres", "shop-redis"):
        secret = await shop.others.get(SECRET, shop.namespace, name)
        assert "ownerReferences" not in secret["metadata"]


async def test_replicas_are_handed_to_the_autoscaler_and_back_without_a_dip(shop):
    def scaled(document):
        service_of(document, "api").pop("replicas", None)
        service_of(document, "api")["autoscaling"] = {"minReplicas": 2, "maxReplicas": 6}

    def fixed(document):
        service_of(document, "api").pop("autoscaling")
        service_of(document, "api")["replicas"] = 4

    async def replicas():
        return (await shop.others.get(DEPLOYMENT, shop.namespace, "shop-api-stable"))["spec"]["replicas"]

    await edit(shop, more_replicas)
    await shop.settle("shop")
    await edit(shop, scaled)
    await shop.settle("shop")
    assert (await replicas(), "shop-api-stable" in await shop.names(AUTOSCALER)) == (5, True)
    await edit(shop, fixed)
    await shop.settle("shop")
    assert (await replicas(), await shop.names(AUTOSCALER)) == (4, set())
