"""The sample shop with a canary: what is looked at of it when its memory is taken away or refused."""

from resilientslice.kube.kinds import DEPLOYMENT, EVENT
from resilientslice.render.names import LABEL_SLICE
from testkit.files import sample

STATE = "shop-state"


async def shop_with_canary(world):
    """With the canary at weight 5, at rest."""
    world.document = sample("shop")
    await world.apply(world.document)
    await world.settle("shop")
    world.first = await revisions(world)
    tag(world.document, "2")
    await weigh(world, 5)
    await world.settle("shop")
    canary = (await world.slice("shop"))["status"]["canary"]
    assert canary["weight"] == 5, canary
    return world


def tag(document, value):
    found = next(service for service in document["spec"]["services"] if service["name"] == "payments")
    found["image"] = f"{found['image'].rpartition(':')[0]}:{value}"


async def weigh(world, weight, **more):
    world.document["spec"]["canary"] |= {"weight": weight} | more
    await world.apply(world.document)


async def revisions(world):
    return (await world.slice("shop"))["status"]["revision"]


async def generations(world):
    """Of Deployments: one that changes restarts pods, or loses its canary."""
    found = await world.others.list_all(DEPLOYMENT, world.namespace)
    return {made["metadata"]["name"]: made["metadata"]["generation"] for made in found}


async def templates(world):
    found = await world.others.list_all(DEPLOYMENT, world.namespace)
    return {made["metadata"]["name"]: made["spec"]["template"] for made in found}


async def images(world):
    found = await templates(world)
    return {name: template["spec"]["containers"][0]["image"].rpartition(":")[2] for name, template in found.items()}


async def events(world, reason):
    found = await world.others.list_all(EVENT, world.namespace)
    return [event["note"] for event in found if event["reason"] == reason]


async def delete(world, kind, name):
    assert await world.others.delete(kind, world.namespace, name)


async def strip(world, kind, name, *, label=False, owner=False):
    change = {"metadata": {}}
    if label:
        change["metadata"]["labels"] = {LABEL_SLICE: None}
    if owner:
        change["metadata"]["ownerReferences"] = None
    await world.others.merge(kind, world.namespace, name, change, manager="someone")


async def is_whole(world, kind, name):
    """It is there, with its label and its owner."""
    found = await world.others.get(kind, world.namespace, name)
    owners = found["metadata"].get("ownerReferences", [])
    return found["metadata"]["labels"].get(LABEL_SLICE) == "shop" and [one["kind"] for one in owners] == [
        "ResilientSlice"
    ]


async def same_as_before(world, before, canary):
    """Nothing was promoted, restarted or given traffic; the canary continues where it was."""
    assert await templates(world) == before
    status = (await world.slice("shop"))["status"]
    assert status["revision"] == canary
    assert (status["canary"]["weight"], status["canary"]["phase"]) == (5, "Progressing")
