"""Stores that are not the slice's own: a shop on databases that someone else runs, and the sample that shows how."""

import base64
import copy

import pytest

from testkit.files import sample, service_of
from testkit.live_cluster import SMALL, KubectlError, gets, none_failed, orders, uids, until

pytestmark = pytest.mark.e2e

RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 999,
    "runAsGroup": 999,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
PASSWORD = "only-for-this-test"


def store(name, image, port, *, env, arguments=(), ready):
    """A database of someone else's: one pod without a volume, and its Service."""
    labels = {"app": name}
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": list(arguments),
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "ports": [{"containerPort": port}],
        "resources": SMALL,
        "readinessProbe": {"exec": {"command": ready}, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 60},
        "securityContext": RESTRICTED,
    }
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": labels, "ports": [{"port": port}]},
    }
    return [deployment, service]


def secret(name, **data):
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}


async def databases(cluster, namespace):
    """PostgreSQL and Redis that no slice made."""
    objects = [
        *store(
            "their-postgres",
            "postgres:18",
            5432,
            env={"POSTGRES_USER": "app", "POSTGRES_DB": "app", "POSTGRES_PASSWORD": PASSWORD, "PGDATA": "/tmp/pgdata"},
            ready=["pg_isready", "--host=127.0.0.1", "--username=app"],
        ),
        *store(
            "their-redis",
            "redis:7",
            6379,
            env={},
            arguments=["redis-server", "--requirepass", PASSWORD, "--dir", "/tmp"],
            ready=["redis-cli", "-a", PASSWORD, "ping"],
        ),
    ]
    for made in objects:
        await cluster.apply(made, namespace)
    for name in ("their-postgres", "their-redis"):
        await cluster.kubectl("rollout", "status", f"deployment/{name}", "-n", namespace, "--timeout=120s")


def urls(namespace):
    return {
        "postgres": f"postgresql://app:{PASSWORD}@their-postgres.{namespace}.svc:5432/app",
        "redis": f"redis://:{PASSWORD}@their-redis.{namespace}.svc:6379/0",
    }


async def test_a_shop_on_stores_of_others(a_slice, namespace):
    slice_ = a_slice("shop")
    await databases(slice_.cluster, namespace)
    document = sample("shop")
    document["spec"].pop("backup", None)
    document["spec"]["stores"] = {}
    for kind, url in urls(namespace).items():
        await slice_.cluster.apply(secret(f"their-{kind}", url=url), namespace)
        document["spec"]["stores"][kind] = {"external": {"secretName": f"their-{kind}"}}
    await slice_.apply(document)
    await slice_.ready(240)
    async with slice_.client() as client:
        taken = await client.paced([orders(prefix="external")(number) for number in range(20)], per_second=10)
        none_failed(taken, 20)
        order = next(iter(taken.answers)).body["order_id"]

        async def settled() -> bool:
            asked = gets(f"/orders/{order}")(0)
            answer = await client.send(type(asked)("GET", asked.path, asked.headers, keep_body=True))
            return answer.status == 200 and answer.body["status"] == "settled"

        await until(settled, "an order is settled by the worker", 120)
    assert not await slice_.cluster.list("statefulsets", namespace), "the slice has no stores of its own"
    await slice_.delete()
    kept = {found["metadata"]["name"] for found in await slice_.cluster.list("secrets", namespace)}
    assert kept >= {"their-postgres", "their-redis"}, "what is someone else's stays"


@pytest.mark.smoke
async def test_the_sample_with_stores_of_others_is_ready(a_slice, namespace):
    """As it stands, but for its images and its machine: nothing of `ledger` exists but its description."""
    slice_ = a_slice("ledger")
    document = copy.deepcopy(sample("external-stores"))
    for service in document["spec"]["services"]:
        service["image"] = "example.org/web:1.0.0"
        service.pop("scheduling", None)
    # what answers here speaks no gRPC, and the kubelet would ask for it
    service_of(document, "audit")["probes"] = {"readiness": {"tcpSocket": {}}}
    front = copy.deepcopy(document["spec"]["front"])
    for kind, url in urls(namespace).items():
        await slice_.cluster.apply(secret(f"ledger-{kind}", url=url), namespace)
    await slice_.cluster.apply(secret("ledger-signing", key="k"), namespace)
    templates = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ledger-templates"}, "data": {"a": "b"}}
    await slice_.cluster.apply(templates, namespace)
    await slice_.apply(document)
    await slice_.ready(240)
    ingress = await slice_.cluster.get("ingress", "ledger-front", namespace)
    assert ingress is not None
    assert ingress["spec"]["ingressClassName"] == front["class"]
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == front["hosts"]
    assert not await slice_.cluster.list("statefulsets", namespace)


def with_a_class(name, storage="1Gi"):
    document = copy.deepcopy(sample("shop"))
    document["spec"]["stores"]["postgres"]["managed"] |= {"storageClassName": name, "storage": storage}
    return document


def storage_class(name, provisioner, *, grows=False):
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
        "allowVolumeExpansion": grows,
        "volumeBindingMode": "WaitForFirstConsumer" if grows else "Immediate",
    }


async def test_a_store_without_a_volume_is_missed_and_its_reason_said(a_slice):
    slice_ = a_slice("shop")
    await slice_.apply(with_a_class("no-such-class"))

    def missed(status):
        ready = next((c for c in status.get("conditions", []) if c["type"] == "Ready"), {})
        return ready.get("status") == "False" and "no-such-class" in ready.get("message", "")

    status = await slice_.wait(missed, "the class that is missing is named", 120)
    assert status["phase"] != "Ready"
    assert next(store for store in status["stores"] if store["name"] == "postgres")["ready"] == 0


async def test_a_larger_volume_is_asked_for_and_nothing_restarts(a_slice):
    """The provisioner of the test's cluster grows nothing: the claim may ask, and the size that is stays."""
    slice_ = a_slice("shop")
    await slice_.cluster.apply(storage_class("may-grow", "rancher.io/local-path", grows=True), slice_.namespace)
    await slice_.apply(with_a_class("may-grow"))
    await slice_.ready()
    pods = uids(await slice_.pods(component="store"))
    before = await slice_.cluster.get("statefulset", f"{slice_.name}-postgres", slice_.namespace)
    async with slice_.traffic(orders()) as load:
        await slice_.apply(with_a_class("may-grow", "2Gi"))
        await slice_.said("Reconciling", "VolumeExpanding", 120)

        async def remade():
            found = await slice_.cluster.get("statefulset", f"{slice_.name}-postgres", slice_.namespace)
            return found if found and found["metadata"]["uid"] != before["metadata"]["uid"] else None

        await until(remade, "the StatefulSet is another one", 60)
        await slice_.wait(lambda s: all(store["ready"] == 1 for store in s["stores"]), "its pod was taken over", 60)
        status = await slice_.status()
        assert next(store for store in status["stores"] if store["name"] == "postgres")["requestedStorage"] == "2Gi"
    none_failed(load.tally)
    assert uids(await slice_.pods(component="store")) == pods


async def test_a_rollout_that_is_under_way_keeps_kubectl_waiting(a_slice):
    slice_ = a_slice("minimal")
    await slice_.apply(sample("minimal"))
    await slice_.ready()
    await slice_.edit(lambda document: service_of(document, "web").update(command=["sleep", "infinity"]))
    await slice_.said("Ready", "RollingOut", 60)
    async with slice_.traffic(gets()) as load:
        with pytest.raises(KubectlError, match="timed out"):
            await slice_.cluster.kubectl(
                "wait", "--for=condition=Ready", "--timeout=5s", "-n", slice_.namespace, f"rslice/{slice_.name}"
            )
    none_failed(load.tally)
