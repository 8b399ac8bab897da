"""Calls that aren't declared are refused by the network. Only where the cluster enforces NetworkPolicies at all."""

import pytest

from testkit.files import sample
from testkit.live_cluster import SMALL, is_ready, until

pytestmark = pytest.mark.isolation

CONNECT = """
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
try:
    socket.create_connection((host, port), 3).close()
except OSError as error:
    print(f"refused {error}")
else:
    print("connected")
"""


def bystander(name):
    """A pod of the namespace that belongs to no slice."""
    security = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {
        "name": "web",
        "image": "example.org/web:1.0.0",
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "PORT", "value": "8080"}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "resources": SMALL,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    metadata = {"name": name, "labels": {"bystander": name}}
    spec = {"containers": [container], "securityContext": security, "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


async def running(cluster, namespace, name):
    async def probe():
        pod = await cluster.get("pod", name, namespace)
        return pod if pod and is_ready(pod) else None

    return await until(probe, f"the pod {name} is ready", 60)


async def connects(slice_, pod, host, port) -> bool:
    name = pod["metadata"]["name"]
    out = await slice_.cluster.kubectl(
        "exec", "-n", slice_.namespace, name, "--", "python", "-c", CONNECT, host, str(port)
    )
    return out.strip() == "connected"


async def policies_are_enforced(slice_, one, two) -> None:
    """A policy that nobody may pass has an effect, judged without anything of ours: else what follows would say
    nothing."""
    host = two["status"]["podIP"]
    assert await connects(slice_, one, host, 8080), "without a policy they reach each other"
    nobody = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "nobody"},
        "spec": {"podSelector": {"matchLabels": two["metadata"]["labels"]}, "policyTypes": ["Ingress"]},
    }
    await slice_.cluster.apply(nobody, slice_.namespace)

    async def refused() -> bool:
        return not await connects(slice_, one, host, 8080)

    await until(refused, "this cluster enforces NetworkPolicies", 30)


async def test_undeclared_calls_are_refused_by_the_network(a_slice, namespace):
    slice_ = a_slice("shop")
    for name in ("one", "two"):
        await slice_.cluster.apply(bystander(name), namespace)
    stranger, other = [await running(slice_.cluster, namespace, name) for name in ("one", "two")]
    await policies_are_enforced(slice_, stranger, other)
    await slice_.apply(sample("shop"))
    await slice_.ready(240)
    postgres = await running(slice_.cluster, namespace, "shop-postgres-0")
    proxy = (await slice_.pods(component="proxy"))[0]["status"]["podIP"]
    api, payments, worker = [(await slice_.pods(name))[0] for name in ("api", "payments", "worker")]
    port = await internal_port(slice_, "payments")
    store, straight = postgres["status"]["podIP"], payments["status"]["podIP"]
    for who, host, at, may in (
        (api, proxy, port, True),
        (worker, proxy, port, False),
        (stranger, proxy, port, False),
        (stranger, proxy, 8080, True),
        (stranger, proxy, 9903, False),
        (api, straight, 8080, False),
        (stranger, straight, 8080, False),
        (payments, store, 5432, True),
        (api, store, 5432, False),
        (stranger, store, 5432, False),
    ):
        assert await connects(slice_, who, host, at) == may, f"{who['metadata']['name']} to {host}:{at}"


async def internal_port(slice_, service):
    found = await slice_.cluster.get("service", f"{slice_.name}-{service}", slice_.namespace)
    assert found is not None
    return found["spec"]["ports"][0]["targetPort"]
