"""Edits of the sample shop, and what its status says of the canary."""

import yaml
from tests.apiserver.conftest import ROOT


def sample(name):
    return yaml.safe_load((ROOT / "samples" / f"{name}.yaml").read_text())


def service(document, name):
    return next(found for found in document["spec"]["services"] if found["name"] == name)


async def edit(world, change):
    change(world.document)
    await world.apply(world.document)


def weigh(weight):
    def change(document):
        document["spec"].setdefault("canary", {})["weight"] = weight

    return change


def tag(name, value):
    def change(document):
        found = service(document, name)
        found["image"] = f"{found['image'].rpartition(':')[0]}:{value}"

    return change


async def canary(world):
    return (await world.slice("shop"))["status"]["canary"]
