"""Edits of the sample shop and failures of its writes, and what its status says of the canary."""

from resilientslice.kube.client import KubeClient
from testkit.files import service_of

LOOK = ("get", "Secret")
"""Nobody tells when a Secret is deleted: one request a store every 50 s."""


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


def more_replicas(document):
    service_of(document, "api").update(replicas=5)


def fewer_replicas(document):
    service_of(document, "api").update(replicas=1)


def fail_to_apply(patch, kind, error):
    """Every object of a kind, as the API server might."""
    apply = KubeClient.apply

    async def failing(self, obj, **options):
        if obj["kind"] == kind:
            raise error
        return await apply(self, obj, **options)

    patch.setattr(KubeClient, "apply", failing)
