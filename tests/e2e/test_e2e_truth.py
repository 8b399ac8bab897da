"""What the status says while something fails: a store that doesn't come up, a rollout that doesn't end, a volume that
can't grow. What served before continues, and traffic is counted."""

import asyncio
import json

import pytest

from testkit.files import sample, service_of
from testkit.live_cluster import KubectlError, gets, none_failed, uids, until, version_of

pytestmark = pytest.mark.e2e

DEADLINE_SECONDS = 300
"""`progressDeadlineSeconds` of every Deployment that is rendered."""


def with_store(**managed):
    """A small service with a PostgreSQL that it doesn't ask anything."""
    document = sample("minimal")
    service = service_of(document, "web")
    service.update(replicas=2, stores=["postgres"])
    document["spec"].update({"resilience": {"timeout": "15s"}, "stores": {"postgres": {"managed": managed}}})
    return document


def set_store(**managed):
    return {"stores": {"postgres": {"managed": managed}}}


async def storage_class(cluster, name):
    """One whose claims may ask for more. Its provisioner makes volumes and makes none larger."""
    made = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "rancher.io/local-path",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
    }
    await cluster.apply(made)


async def test_a_store_that_is_pending_is_not_ready_and_says_why(a_slice):
    slice_ = a_slice("minimal")
    await slice_.apply(with_store(storage="1Gi", storageClassName="not-there"))
    status = await slice_.wait(
        lambda s: any(c["type"] == "Ready" and "postgres 0/1" in c["message"] for c in s.get("conditions", [])),
        "the store is missed",
        120,
    )
    await slice_.wait(lambda s: "not-there" in json.dumps(s["conditions"]), "with the reason of its claim", 120)
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "False"
    await storage_class(slice_.cluster, "not-there")
    try:
        await slice_.ready(300)
    finally:
        await slice_.cluster.kubectl("delete", "storageclass", "not-there")


async def test_a_volume_that_cannot_grow_says_so_and_the_size_can_be_taken_back(a_slice):
    slice_ = a_slice("minimal")
    await slice_.apply(with_store(storage="1Gi"))
    await slice_.ready(300)
    before = uids(await slice_.pods())
    async with slice_.traffic(gets(), per_second=20) as load:
        await slice_.patch(set_store(storage="2Gi"))
        message = await slice_.said("Stalled", "VolumeExpansionFailed", 60)
        assert "allowVolumeExpansion" in message
        assert (await slice_.status())["stores"][0]["storage"] == "1Gi"
        await slice_.patch(set_store(storage="1Gi"))
        await slice_.ready(120)
    none_failed(load.tally, 100)
    assert uids(await slice_.pods()) == before


async def test_a_volume_grows_around_the_pod_that_uses_it(a_slice):
    slice_ = a_slice("minimal")
    name = f"grows-{slice_.namespace}"[:50].strip("-")
    await storage_class(slice_.cluster, name)
    try:
        await slice_.apply(with_store(storage="1Gi", storageClassName=name))
        await slice_.ready(300)
        before = uids(await slice_.pods())
        async with slice_.traffic(gets(), per_second=20) as load:
            await slice_.patch(set_store(storage="2Gi"))

            async def asked() -> bool:
                claims = await slice_.cluster.list("persistentvolumeclaims", slice_.namespace)
                sets = await slice_.cluster.list("statefulsets", slice_.namespace)
                sizes = {claim["spec"]["resources"]["requests"]["storage"] for claim in claims}
                sizes |= {
                    template["spec"]["resources"]["requests"]["storage"]
                    for found in sets
                    for template in found["spec"]["volumeClaimTemplates"]
                }
                return bool(sets) and sizes == {"2Gi"}

            await until(asked, "claim and StatefulSet ask for 2Gi", 60)
            assert "grows from 1Gi to 2Gi" in await slice_.said("Reconciling", "VolumeExpanding", 60)
            store = (await slice_.status())["stores"][0]
            assert (store["storage"], store["requestedStorage"]) == ("1Gi", "2Gi"), "nothing here makes it larger"
        none_failed(load.tally, 100)
        assert uids(await slice_.pods()) == before, "nothing was restarted"
    finally:
        await slice_.cluster.kubectl("delete", "storageclass", name)


async def test_a_rollout_that_fails_is_never_taken_for_done(a_slice):
    slice_ = a_slice("minimal")
    document = with_store()
    document["spec"].pop("stores")
    service_of(document, "web").pop("stores")
    await slice_.apply(document)
    await slice_.ready()
    old = (await slice_.status())["revision"]["stable"]

    def missing_image(document):
        service = service_of(document, "web")
        service["image"] = version_of(service["image"], "not-there")

    def good_image(document):
        service = service_of(document, "web")
        service["image"] = version_of(service["image"], "1.1.0")

    async def waited(seconds):
        arguments = ("wait", "--for=condition=Ready", f"rslice/{slice_.name}", "-n", slice_.namespace)
        try:
            await slice_.cluster.kubectl(*arguments, f"--timeout={seconds}s")
        except KubectlError:
            return False
        return True

    async with slice_.traffic(gets(), per_second=10) as load:
        await slice_.edit(missing_image)
        assert not await waited(20), "kubectl wait right after the edit is not met"
        ready = await slice_.condition("Ready")
        assert ready["status"] != "True"
        assert old in ready["message"], "it says what serves"
        await asyncio.wait_for(slice_.said("Stalled", "ProgressDeadlineExceeded", DEADLINE_SECONDS + 90), None)
        stalled = await slice_.condition("Stalled")
        assert "not-there" in stalled["message"]
        assert old in stalled["message"]
        assert (await slice_.condition("Reconciling"))["status"] == "False"
        await slice_.edit(good_image)
        assert await waited(180), "and after what mends it, it is"
        assert (await slice_.condition("Stalled"))["status"] == "False"
    none_failed(load.tally, 100)
