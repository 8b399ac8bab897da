"""Edits of the sample shop, and what its status says of the canary."""

from testkit.files import service_of


async def edit(world, change):
    change(world.document)
    await world.apply(world.document)


def weigh(weight):
    def change(document):
        document["spec"].setdefault("canary", {})["weight"] = weight

    return change


def tag(name, value):
    def change(document):
        found = service_of(document, name)
        found["image"] = f"{found['image'].rpartition(':')[0]}:{value}"

    return change


async def canary(world):
    return (await world.slice("shop"))["status"]["canary"]
