"""A field that someone keeps setting is left to him, and nothing but that field: the slice's own edits continue."""

import pytest
from tests.kube.pass_edits import edit, tag

from resilientslice.kube.kinds import DEPLOYMENT, SERVICE
from testkit.files import sample, service_of
from testkit.pass_world import writes

NAME = "shop-api-stable"


@pytest.fixture
async def shop(world):
    """Without canaries: an edit is written to what serves."""
    world.document = sample("shop")
    del world.document["spec"]["canary"]
    await world.apply(world.document)
    await world.settle("shop")
    return world


def container(**fields):
    return {"template": {"spec": {"containers": [{"name": "api", **fields}]}}}


def value_of(obj, path):
    for part in path:
        obj = next(i for i in obj if part.items() <= i.items()) if isinstance(part, dict) else obj[part]
    return obj


API = ("spec", "template", "spec", "containers", {"name": "api"})
FIGHTS = {
    "replicas": ({"spec": {"replicas": 7}}, ("spec", "replicas"), 7, "spec.replicas"),
    "image": (
        {"spec": container(image="mine:1")},
        (*API, "image"),
        "mine:1",
        "spec.template.spec.containers[name=api].image",
    ),
    "variable": (
        {"spec": container(env=[{"name": "PAYMENTS_URL", "value": "http://mine"}])},
        (*API, "env", {"name": "PAYMENTS_URL"}, "value"),
        "http://mine",
        "spec.template.spec.containers[name=api].env[name=PAYMENTS_URL].value",
    ),
    "port": (
        {"spec": container(ports=[{"containerPort": 8080, "protocol": "TCP", "name": "mine"}])},
        (*API, "ports", {"containerPort": 8080, "protocol": "TCP"}, "name"),
        "mine",
        "spec.template.spec.containers[name=api].ports[containerPort=8080,protocol=TCP].name",
    ),
    "label": (
        {"metadata": {"labels": {"app.kubernetes.io/part-of": "mine"}}},
        ("metadata", "labels", "app.kubernetes.io/part-of"),
        "mine",
        "metadata.labels.app.kubernetes.io/part-of",
    ),
    "atomic list": (
        {"spec": container(securityContext={"capabilities": {"drop": ["NET_RAW"]}})},
        (*API, "securityContext", "capabilities", "drop"),
        ["NET_RAW"],
        "spec.template.spec.containers[name=api].securityContext.capabilities",
    ),
}


async def set_field(world, change, name=NAME, kind=DEPLOYMENT, manager="scaler"):
    body = {"apiVersion": kind.api_version, "kind": kind.kind, **change}
    body["metadata"] = {**change.get("metadata", {}), "name": name, "namespace": world.namespace}
    await world.others.apply(body, manager=manager, force=True)


async def fight(world, change, **where):
    """Until the field is left alone."""
    for _ in range(3):
        await set_field(world, change, **where)
        kind = where.get("kind", DEPLOYMENT).kind
        assert ("apply", kind) in writes(await world.reconcile("shop"))
        world.now += 10
    await set_field(world, change, **where)
    await world.settle("shop")


async def live(world, kind=DEPLOYMENT, name=NAME):
    return await world.others.get(kind, world.namespace, name)


@pytest.mark.parametrize("fought", FIGHTS)
async def test_only_the_contested_field_waits(shop, fought):
    change, path, theirs, field = FIGHTS[fought]
    ours = value_of(await live(shop), path)
    await fight(shop, change)
    assert value_of(await live(shop), path) == theirs
    message = (await shop.condition("shop", "FieldConflict"))[2]
    assert f"Deployment {NAME}: scaler keeps setting {field}," in message

    def more(document):
        service_of(document, "api").setdefault("env", []).append({"name": "LATER", "value": "edit"})

    await edit(shop, more)
    await shop.settle("shop")
    found = await live(shop)
    assert value_of(found, (*API, "env", {"name": "LATER"}, "value")) == "edit"
    assert value_of(found, path) == theirs
    for _ in range(3):
        shop.now += 20
        assert writes(await shop.reconcile("shop")) == []

    shop.now += 301
    await shop.settle("shop")
    assert value_of(await live(shop), path) == ours, "after the pause one try"
    assert value_of(await live(shop), (*API, "env", {"name": "LATER"}, "value")) == "edit"
    await set_field(shop, change)
    await shop.settle("shop")
    assert value_of(await live(shop), path) in (ours, theirs)
    await set_field(shop, change)
    await shop.settle("shop")
    assert value_of(await live(shop), path) == theirs, "and another, longer pause"


async def test_another_field_that_is_changed_by_hand_is_taken_back_meanwhile(shop):
    await fight(shop, {"spec": {"replicas": 7}})
    await set_field(shop, {"metadata": {"labels": {"app.kubernetes.io/part-of": "mine"}}}, manager="hand")
    await shop.settle("shop")
    found = await live(shop)
    assert found["metadata"]["labels"]["app.kubernetes.io/part-of"] == "shop"
    assert found["spec"]["replicas"] == 7
    message = (await shop.condition("shop", "FieldConflict"))[2]
    assert "part-of" not in message


async def test_another_value_of_the_field_itself_is_a_new_wish_and_tried_at_once_once(shop):
    await fight(shop, {"spec": {"replicas": 7}})
    await edit(shop, lambda document: service_of(document, "api").update(replicas=4))
    await shop.settle("shop")
    assert (await live(shop))["spec"]["replicas"] == 4
    await set_field(shop, {"spec": {"replicas": 7}})
    await shop.settle("shop")
    assert (await live(shop))["spec"]["replicas"] == 7, "once"
    assert await shop.condition("shop", "FieldConflict") is not None
    for _ in range(3):
        assert writes(await shop.reconcile("shop")) == []


async def test_who_asks_for_what_the_other_sets_has_no_conflict_left(shop):
    await fight(shop, {"spec": {"replicas": 7}})
    await edit(shop, lambda document: service_of(document, "api").update(replicas=7))
    await shop.settle("shop")
    shop.now += 700
    await shop.settle("shop")
    assert await shop.condition("shop", "FieldConflict") is None
    assert (await live(shop))["spec"]["replicas"] == 7


async def test_a_field_that_the_other_gives_up_is_taken_at_once(shop):
    """Else nobody's default would hold for as long as the pause: one replica."""
    await fight(shop, {"spec": {"replicas": 7}})
    await edit(shop, tag("api", "9"))
    await shop.settle("shop")
    await set_field(shop, {})
    assert (await live(shop))["spec"]["replicas"] == 1
    await shop.settle("shop")
    assert (await live(shop))["spec"]["replicas"] == 2
    assert await shop.condition("shop", "FieldConflict") is None


async def test_a_field_that_the_slice_no_longer_sets_is_no_conflict(shop):
    """An autoscaler of the slice's own decides from now on."""

    def scaled(document):
        service_of(document, "api").pop("replicas", None)
        service_of(document, "api")["autoscaling"] = {"minReplicas": 2, "maxReplicas": 9}

    await fight(shop, {"spec": {"replicas": 7}})
    await edit(shop, scaled)
    await shop.settle("shop")
    await shop.settle("shop")
    assert await shop.condition("shop", "FieldConflict") is None
    assert (await live(shop))["spec"]["replicas"] == 7


async def test_an_object_that_is_deleted_is_made_whole(shop):
    await fight(shop, FIGHTS["image"][0])
    await shop.others.delete(DEPLOYMENT, shop.namespace, NAME)
    await shop.settle("shop")
    assert value_of(await live(shop), (*API, "image")) != "mine:1"


async def test_a_service_with_a_contested_port_takes_other_edits(shop):
    port = {"ports": [{"port": 80, "protocol": "TCP", "name": "mine", "targetPort": 1}]}
    found = await live(shop, SERVICE, "shop-api")
    port["ports"][0] |= {"port": found["spec"]["ports"][0]["port"]}
    await fight(shop, {"spec": port}, kind=SERVICE, name="shop-api")
    assert (await live(shop, SERVICE, "shop-api"))["spec"]["ports"][0]["name"] == "mine"
    await set_field(
        shop, {"metadata": {"labels": {"app.kubernetes.io/part-of": "x"}}}, kind=SERVICE, name="shop-api", manager="h"
    )
    await shop.settle("shop")
    found = await live(shop, SERVICE, "shop-api")
    assert found["spec"]["ports"][0]["name"] == "mine"
    assert found["metadata"]["labels"]["app.kubernetes.io/part-of"] == "shop"
