"""Stores on a real API server: volumes that grow, credentials that are kept, and what is said when they are gone."""

import json
from collections.abc import AsyncIterator

import pytest
import yaml

from resilientslice.kube.kinds import EVENT, POD, SECRET, STATEFUL_SET, VOLUME_CLAIM
from resilientslice.kube.session import Session
from resilientslice.stores.volume_claims import GROWTH_SECONDS
from testkit.files import ROOT
from testkit.pass_world import World, writes

CLAIM = "data-shop-postgres-0"
LOOK = ("get", "Secret")


@pytest.fixture
async def world(api, namespace, client) -> AsyncIterator[World]:
    log: list[tuple[str, str]] = []
    async with Session(api.login, observe=lambda verb, kind, status, seconds: log.append((verb, kind))) as session:
        yield World(session, client, namespace, log)


@pytest.fixture
def storage_class(api):
    """One whose volumes may grow, and one whose may not."""
    for name, grows in (("grows", True), ("stays", False)):
        made = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name},
            "provisioner": "example.org/none",
            "allowVolumeExpansion": grows,
        }
        api.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(made))


def document(**managed):
    found = yaml.safe_load((ROOT / "samples" / "shop.yaml").read_text())
    found["spec"]["stores"]["postgres"]["managed"].update(managed)
    return found


async def provision(world, storage="1Gi", name=CLAIM, class_name="grows"):
    """What the StatefulSet's controller and a driver do. The labels are those of the template, as it copies them."""
    templates = (await stateful_set(world))["spec"]["volumeClaimTemplates"]
    made = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": world.namespace, "labels": templates[0]["metadata"]["labels"]},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": class_name,
            "volumeName": f"pv-{world.namespace}",
            "resources": {"requests": {"storage": storage}},
        },
    }
    await world.others.create(made)
    await has_grown(world, storage, name)


async def has_grown(world, storage, name=CLAIM, conditions=()):
    status = {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": storage}}
    found = {**status, "conditions": list(conditions)}
    await world.others.patch_status(VOLUME_CLAIM, world.namespace, name, found, manager="driver")


async def claim(world):
    return await world.others.get(VOLUME_CLAIM, world.namespace, CLAIM)


async def stateful_set(world):
    return await world.others.get(STATEFUL_SET, world.namespace, "shop-postgres")


async def store(world, name="postgres"):
    return next(found for found in (await world.slice("shop"))["status"]["stores"] if found["name"] == name)


def template_size(found):
    return found["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]


@pytest.fixture
async def shop(world, storage_class):
    """Up, with a volume of 1Gi that may grow. The pod of PostgreSQL is an object that nobody may touch."""
    await world.apply(document())
    await world.reconcile("shop")
    await provision(world)
    template = (await stateful_set(world))["spec"]["template"]
    metadata = {"name": "shop-postgres-0", "namespace": world.namespace, "labels": template["metadata"]["labels"]}
    containers = [{"name": "postgres", "image": "postgres"}]
    await world.others.create(
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}
    )
    await world.settle("shop")
    assert (await world.slice("shop"))["status"]["phase"] == "Ready"
    return world


async def test_a_larger_volume_is_asked_for_and_its_stateful_set_created_again_around_the_pod(shop):
    pod = await shop.others.get(POD, shop.namespace, "shop-postgres-0")
    before = await stateful_set(shop)
    assert (await store(shop))["storage"] == "1Gi"
    await shop.apply(document(storage="5Gi"))
    for _ in range(3):
        await shop.reconcile("shop")
    assert (await claim(shop))["spec"]["resources"]["requests"]["storage"] == "5Gi"
    leaving = await stateful_set(shop)
    assert "deletionTimestamp" in leaving["metadata"]
    assert leaving["metadata"]["finalizers"] == ["orphan"], "its pod is let go of, not deleted"
    ready, reconciling = await shop.condition("shop", "Ready"), await shop.condition("shop", "Reconciling")
    assert ready[0] == "True"
    assert "its StatefulSet is created again, its pod continues" in reconciling[2]
    await shop.settle("shop")
    after = await stateful_set(shop)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert (template_size(after), after["spec"]["selector"]) == ("5Gi", before["spec"]["selector"])
    assert after["spec"]["template"] == before["spec"]["template"], "the pod is the one that it wants: no restart"
    assert (await shop.others.get(POD, shop.namespace, "shop-postgres-0"))["metadata"] == pod["metadata"]
    status = await store(shop)
    assert (status["storage"], status["requestedStorage"], status["ready"]) == ("1Gi", "5Gi", 1)
    assert (await shop.condition("shop", "Reconciling"))[:2] == ("True", "VolumeExpanding")
    waits = [{"type": "FileSystemResizePending", "status": "True"}]
    await has_grown(shop, "1Gi", conditions=waits)
    await later(shop)
    assert "delete pod shop-postgres-0" in (await shop.condition("shop", "Reconciling"))[2]
    await has_grown(shop, "5Gi")
    await later(shop)
    assert (await store(shop))["storage"] == "5Gi"
    assert (await shop.slice("shop"))["status"]["phase"] == "Ready"


async def later(world):
    """When the operator looks at a volume that grows again."""
    world.now += GROWTH_SECONDS
    await world.settle("shop")


@pytest.mark.parametrize("change", [{"storage": "5Gi"}, {"image": "postgres:18.9"}], ids=str)
async def test_an_edit_of_a_store_is_never_called_done_before_it_is(shop, change):
    """Its StatefulSet was not counted since."""
    await shop.apply(document(**change))
    for _ in range(4):
        await shop.reconcile("shop")
        found = await shop.slice("shop")
        says = {condition["type"]: condition["status"] for condition in found["status"]["conditions"]}
        current = found["status"]["observedGeneration"] == found["metadata"]["generation"]
        assert not (current and says["Ready"] == "True" and says["Reconciling"] == "False")


async def test_an_operator_that_dies_in_between_creates_it_again(shop):
    await shop.apply(document(storage="5Gi"))
    for _ in range(3):
        await shop.reconcile("shop")
    assert "deletionTimestamp" in (await stateful_set(shop))["metadata"]
    shop.restart()
    await shop.settle("shop")
    assert template_size(await stateful_set(shop)) == "5Gi"
    shop.restart()
    await shop.control()
    await shop.others.merge(
        STATEFUL_SET, shop.namespace, "shop-postgres", {"metadata": {"finalizers": None}}, manager="x"
    )
    await shop.others.delete(STATEFUL_SET, shop.namespace, "shop-postgres", propagation="Orphan")
    await shop.settle("shop")
    assert template_size(await stateful_set(shop)) == "5Gi"


async def test_a_size_that_its_class_refuses_is_said_the_rest_of_the_edit_acts_and_it_can_be_taken_back(
    world, storage_class
):
    await world.apply(document())
    await world.reconcile("shop")
    await provision(world, class_name="stays")
    await world.settle("shop")
    before = await stateful_set(world)
    await world.apply(document(storage="5Gi", image="postgres:18.9"))
    await world.settle("shop")
    status, reason, message = await world.condition("shop", "Stalled")
    assert (status, reason) == ("True", "VolumeExpansionFailed")
    assert "PersistentVolumeClaim data-shop-postgres-0 stays at 1Gi and does not grow to 5Gi" in message
    assert "allowVolumeExpansion: true on StorageClass stays" in message
    assert "spec.stores.postgres.managed.storage back to 1Gi" in message
    after = await stateful_set(world)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["template"]["spec"]["containers"][0]["image"] == "postgres:18.9"
    for _ in range(3):
        made = writes(await world.reconcile("shop"))
        assert made == [], "it isn't tried in every pass"
    await world.apply(document(image="postgres:18.9"))
    await world.settle("shop")
    assert (await world.condition("shop", "Stalled"))[0] == "False"
    assert (await world.slice("shop"))["status"]["phase"] == "Ready"


async def test_a_class_that_comes_to_allow_it_is_noticed(world, storage_class, api):
    await world.apply(document())
    await world.reconcile("shop")
    await provision(world, class_name="stays")
    await world.apply(document(storage="5Gi"))
    await world.settle("shop")
    assert (await world.condition("shop", "Stalled"))[1] == "VolumeExpansionFailed"
    api.cluster.kubectl("patch", "storageclass", "stays", "-p", json.dumps({"allowVolumeExpansion": True}))
    world.now += 31
    await world.settle("shop")
    assert (await world.condition("shop", "Stalled"))[0] == "False"
    assert template_size(await stateful_set(world)) == "5Gi"


async def test_a_volume_never_shrinks_below_what_it_has(shop):
    """Refused by the API server, as long as the status tells what it has."""
    await shop.apply(document(storage="5Gi"))
    await shop.settle("shop")
    await has_grown(shop, "3Gi")
    await later(shop)
    assert (await store(shop))["storage"] == "3Gi"
    with pytest.raises(Exception, match="storage can only grow"):
        await shop.apply(document(storage="2Gi"))
    await shop.apply(document(storage="4Gi"))


async def test_a_volume_that_is_larger_than_the_slice_says_is_left_and_said(world, storage_class):
    """It was there before its slice."""
    await world.apply(document())
    await world.reconcile("shop")
    await provision(world, "5Gi")
    await world.settle("shop")
    status, reason, message = await world.condition("shop", "Stalled")
    assert (status, reason) == ("True", "VolumeShrinkForbidden")
    assert (
        "has 5Gi, and volumes never shrink: 1Gi does not act. Set spec.stores.postgres.managed.storage to 5Gi"
        in message
    )
    assert (await world.condition("shop", "Ready"))[0] == "True"
    await world.apply(document(storage="5Gi"))
    await world.settle("shop")
    assert (await world.condition("shop", "Stalled"))[0] == "False"


async def test_a_volume_that_was_there_before_its_slice_grows_too(world, storage_class):
    await world.apply(document(storage="5Gi"))
    await world.reconcile("shop")
    await provision(world, "1Gi")
    await world.settle("shop")
    assert (await claim(world))["spec"]["resources"]["requests"]["storage"] == "5Gi"


async def test_a_volume_of_another_class_is_said(world, storage_class):
    await world.apply(document(storageClassName="grows"))
    await world.reconcile("shop")
    await provision(world, class_name="stays")
    await world.settle("shop")
    status, reason, message = await world.condition("shop", "Stalled")
    assert (status, reason) == ("True", "StorageClassImmutable")
    assert "storageClassName: stays" in message


async def test_why_a_volume_is_not_provisioned_is_said_where_its_store_is_missed(world, storage_class):
    world.stuck.add("shop-postgres")
    await world.apply(document())
    await world.reconcile("shop")
    await provision(world)
    status = {"phase": "Pending"}
    await world.others.patch_status(VOLUME_CLAIM, world.namespace, CLAIM, status, manager="driver")
    pending = await claim(world)
    for reason, type_, note in (
        ("ProvisioningFailed", "Warning", "no disk of that kind"),
        ("WaitForFirstConsumer", "Normal", "waiting"),
    ):
        await world.others.event(
            pending, reason=reason, note=note, action="Provision", type_=type_, controller="x", instance="y"
        )
    assert len(await world.others.list_all(EVENT, world.namespace)) >= 2
    await world.settle("shop", seconds=30)
    status, reason, message = await world.condition("shop", "Ready")
    assert (status, reason) == ("False", "VolumePending")
    assert "PersistentVolumeClaim data-shop-postgres-0 has no volume: no disk of that kind" in message


ARGO = {"argocd.argoproj.io/sync-options": "Prune=false", "argocd.argoproj.io/compare-options": "IgnoreExtraneous"}


async def test_credentials_and_volumes_carry_nothing_that_others_track_by(shop):
    for kind, name in ((SECRET, "shop-postgres"), (SECRET, "shop-redis"), (VOLUME_CLAIM, CLAIM)):
        metadata = (await shop.others.get(kind, shop.namespace, name))["metadata"]
        assert "app.kubernetes.io/instance" not in metadata["labels"]
        assert metadata["labels"]["resilientslice.dev/slice"] == "shop"
        assert ARGO.items() <= metadata["annotations"].items()
        assert metadata["annotations"]["kustomize.toolkit.fluxcd.io/prune"] == "disabled"
        assert metadata["annotations"]["helm.sh/resource-policy"] == "keep"


OLD = {
    "app.kubernetes.io/name": "postgres",
    "app.kubernetes.io/instance": "shop",
    "app.kubernetes.io/component": "store",
    "app.kubernetes.io/part-of": "shop",
    "app.kubernetes.io/managed-by": "resilientslice",
    "resilientslice.dev/slice": "shop",
}


async def test_credentials_of_an_earlier_operator_are_changed_once_and_not_in_their_data(shop):
    made = await shop.others.get(SECRET, shop.namespace, "shop-postgres")
    metadata = {"name": "shop-postgres", "namespace": shop.namespace, "labels": {**OLD, "team": "blue"}}
    await shop.others.delete(SECRET, shop.namespace, "shop-postgres")
    await shop.others.create({**made, "metadata": metadata})
    shop.restart()
    await shop.settle("shop")
    found = await shop.others.get(SECRET, shop.namespace, "shop-postgres")
    assert found["data"] == made["data"]
    assert found["metadata"]["labels"] == {
        "app.kubernetes.io/name": "postgres",
        "app.kubernetes.io/component": "store",
        "resilientslice.dev/slice": "shop",
        "team": "blue",
    }
    assert ARGO.items() <= found["metadata"]["annotations"].items()
    shop.restart()
    assert writes(await shop.reconcile("shop")) == []


async def test_credentials_that_somebody_else_made_are_left_as_they_are(shop):
    made = await shop.others.get(SECRET, shop.namespace, "shop-postgres")
    labels = {"app.kubernetes.io/instance": "somebodys-app"}
    await shop.others.delete(SECRET, shop.namespace, "shop-postgres")
    metadata = {"name": "shop-postgres", "namespace": shop.namespace, "labels": labels}
    await shop.others.create({**made, "metadata": metadata})
    shop.restart()
    await shop.settle("shop")
    found = (await shop.others.get(SECRET, shop.namespace, "shop-postgres"))["metadata"]
    assert (found["labels"], found.get("annotations")) == (labels, None)
    assert (await shop.slice("shop"))["status"]["phase"] == "Ready"


async def test_a_deleted_secret_is_said_within_a_minute_while_its_store_runs_and_nothing_restarts_into_it(shop):
    made = await shop.others.get(SECRET, shop.namespace, "shop-postgres")
    await shop.others.delete(SECRET, shop.namespace, "shop-postgres")
    began = shop.now
    while (await shop.condition("shop", "Stalled"))[0] != "True":
        assert shop.deadline is not None
        shop.now = max(shop.now, shop.deadline)
        assert shop.now - began <= 60
        await shop.reconcile("shop")
    _, reason, message = await shop.condition("shop", "Stalled")
    assert reason == "CredentialsMissing"
    assert "postgres still runs" in message
    assert "pod shop-postgres-0 has its keys as files in /run/secrets/resilientslice" in message
    assert (await shop.condition("shop", "Ready"))[0] == "True", "it serves"
    before = await stateful_set(shop)
    await shop.apply(document(image="postgres:18.9"))
    await shop.settle("shop")
    assert (await stateful_set(shop))["metadata"]["generation"] == before["metadata"]["generation"]
    assert await shop.others.find(SECRET, shop.namespace, "shop-postgres") is None, "another password opens nothing"
    await shop.others.create({**made, "metadata": {"name": "shop-postgres", "namespace": shop.namespace}})
    shop.now += 31
    await shop.settle("shop")
    assert (await shop.condition("shop", "Stalled"))[0] == "False"
    assert (await stateful_set(shop))["spec"]["template"]["spec"]["containers"][0]["image"] == "postgres:18.9"


async def test_a_secret_that_lost_a_key_is_said_within_a_minute(shop):
    change = {"data": {"superuser-password": None}}
    await shop.others.merge(SECRET, shop.namespace, "shop-postgres", change, manager="someone")
    shop.now += 60
    await shop.settle("shop")
    assert (await shop.condition("shop", "Stalled"))[:2] == ("True", "CredentialsInvalid")


async def test_what_is_looked_at_every_minute_holds_no_password(shop):
    secret = await shop.client.find_metadata(SECRET, shop.namespace, "shop-postgres")
    assert secret["kind"] == "PartialObjectMetadata"
    assert set(secret) == {"kind", "apiVersion", "metadata"}
    shop.now += 60
    assert await shop.reconcile("shop") == [LOOK, LOOK]
    assert shop.deadline is not None
    assert 0 < shop.deadline - shop.now <= 50
