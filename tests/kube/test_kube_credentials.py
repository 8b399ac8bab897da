"""Credentials of stores and the volumes that they open: found again, kept together, and owned as the policy says."""

import copy

from tests.kube.pass_edits import fail_to_apply

from resilientslice.kube.errors import ForbiddenError
from resilientslice.kube.kinds import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    NETWORK_POLICY,
    RESILIENT_SLICE,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    VOLUME_CLAIM,
)
from testkit.files import sample


async def test_credentials_outlive_the_slice_and_are_found_again(shop):
    before = await shop.others.get(SECRET, shop.namespace, "shop-postgres")
    document = copy.deepcopy(shop.document)
    await shop.others.delete(RESILIENT_SLICE, shop.namespace, "shop")
    for kind in (DEPLOYMENT, SERVICE, CONFIG_MAP, STATEFUL_SET, NETWORK_POLICY, CONTROLLER_REVISION):
        for name in await shop.names(kind):  # nobody collects garbage here
            await shop.others.delete(kind, shop.namespace, name)
    await shop.reconcile("shop")
    await shop.apply(document)
    await shop.reconcile("shop")
    after = await shop.others.get(SECRET, shop.namespace, "shop-postgres")
    assert after["data"] == before["data"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


async def test_a_volume_without_its_credentials_is_said_and_the_store_not_started(world):
    await world.others.create(claim(world.namespace))
    await world.apply(sample("shop"))
    await world.settle("shop")
    status, reason, message = await world.condition("shop", "Stalled")
    assert (status, reason) == ("True", "CredentialsMissing")
    assert "PersistentVolumeClaim data-shop-postgres-0 holds data" in message
    assert await world.names(STATEFUL_SET) == {"shop-redis"}
    assert await world.others.find(SECRET, world.namespace, "shop-postgres") is None
    assert world.deadline is not None, "nobody tells when it was restored"
    keys = {"password": "p", "superuser-password": "s", "url": "u"}
    restored = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop-postgres"}, "stringData": keys}
    await world.others.create({**restored, "metadata": {**restored["metadata"], "namespace": world.namespace}})
    world.now = world.deadline
    await world.settle("shop")
    assert (await world.condition("shop", "Stalled"))[0] == "False"
    assert await world.names(STATEFUL_SET) == {"shop-postgres", "shop-redis"}


async def test_credentials_that_may_not_be_owned_keep_their_store_and_nothing_else(world, monkeypatch):
    """An admission plugin asks for rights that the operator hasn't."""
    said = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on"
    fail_to_apply(monkeypatch, "Secret", ForbiddenError("apply Secret", status=403, message=said))
    document = sample("shop")
    document["spec"]["deletionPolicy"] = "Delete"
    await world.apply(document)
    await world.settle("shop")
    status, _, message = await world.condition("shop", "Stalled")
    assert status == "True"
    assert "Secret shop-postgres" in message
    assert said in message
    assert await world.names(STATEFUL_SET) == set()
    assert "shop-api-stable" in await world.names(DEPLOYMENT), "services continue"
    monkeypatch.undo()
    world.now = world.deadline
    await world.settle("shop")
    assert await world.names(STATEFUL_SET) == {"shop-postgres", "shop-redis"}


async def test_credentials_and_volume_follow_the_policy_there_and_back(world):
    """Also a volume that comes to be after its store was started, as they all do."""
    document = sample("shop")
    document["spec"]["deletionPolicy"] = "Delete"
    await world.apply(document)
    await world.settle("shop")
    assert "shop-postgres" in await world.names(STATEFUL_SET)
    for store in ("postgres", "redis"):
        await world.others.create(claim(world.namespace, store))
    await world.reconcile("shop")
    assert await owned_stores(world) == [True, True]
    for policy, owned in (("Retain", False), ("Delete", True), ("Retain", False)):
        document["spec"]["deletionPolicy"] = policy
        await world.apply(document)
        await world.settle("shop")
        assert await owned_stores(world) == [owned, owned], policy
        made = await world.reconcile("shop")
        assert ("get", "Secret") not in made, "what is known is not asked for"


async def owned_stores(world):
    """Whether the Secret and the volume of PostgreSQL go with the slice."""
    found = [
        await world.others.get(SECRET, world.namespace, "shop-postgres"),
        await world.others.get(VOLUME_CLAIM, world.namespace, "data-shop-postgres-0"),
    ]
    return ["ownerReferences" in obj["metadata"] for obj in found]


def claim(namespace, store="postgres"):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": f"data-shop-{store}-0", "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
