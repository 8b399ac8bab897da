"""The operator's own pods: which one leads, stopping it, ending it, changing how it is installed."""

import contextlib
import json
from collections.abc import AsyncIterator

from testkit.live_cluster import Cluster, Object, is_ready, uids, until

SYSTEM = "resilientslice-system"
DEPLOYMENT = "resilientslice-operator"
OPERATORS = f"app.kubernetes.io/name={DEPLOYMENT}"
PROCESS = "rslice operator"


async def holder(cluster: Cluster) -> str:
    lease = await cluster.get("lease", DEPLOYMENT, SYSTEM)
    return str((lease or {}).get("spec", {}).get("holderIdentity") or "")


async def leader(cluster: Cluster) -> Object:
    """The pod that holds the Lease."""

    async def probe() -> Object | None:
        name = (await holder(cluster)).rpartition("_")[0]
        return await cluster.get("pod", name, SYSTEM) if name else None

    return await until(probe, "an operator leads", 90)


async def end(cluster: Cluster, pod: Object) -> None:
    """SIGKILL, and away with the pod, so that its successor starts without a pause for having crashed."""
    await cluster.signal(9, PROCESS, pod)
    name = pod["metadata"]["name"]
    await cluster.kubectl("delete", "pod", name, "-n", SYSTEM, "--grace-period=0", "--force", "--wait=false")


async def ready(cluster: Cluster, count: int = 2) -> None:
    async def probe() -> bool:
        pods = await cluster.list("pods", SYSTEM, OPERATORS)
        return len(pods) == count and all(is_ready(pod) for pod in pods)

    await until(probe, f"{count} operators are ready", 180)


async def scale(cluster: Cluster, count: int) -> None:
    await cluster.kubectl("scale", f"deployment/{DEPLOYMENT}", "-n", SYSTEM, f"--replicas={count}")
    await ready(cluster, count)


async def restart(cluster: Cluster) -> None:
    """All of them, one after the other; none of the old ones is left."""
    before = uids(await cluster.list("pods", SYSTEM, OPERATORS))
    await cluster.kubectl("rollout", "restart", f"deployment/{DEPLOYMENT}", "-n", SYSTEM)

    async def replaced() -> bool:
        pods = await cluster.list("pods", SYSTEM, OPERATORS)
        return not uids(pods) & before and len(pods) == 2 and all(is_ready(pod) for pod in pods)

    await until(replaced, "new operators took over", 180)


async def set_image(cluster: Cluster, variable: str, image: str) -> None:
    """What the operator is told by its environment; it is rolled out."""
    await cluster.kubectl("set", "env", f"deployment/{DEPLOYMENT}", "-n", SYSTEM, f"{variable}={image}")
    await cluster.kubectl("rollout", "status", f"deployment/{DEPLOYMENT}", "-n", SYSTEM, "--timeout=180s")
    await ready(cluster)


@contextlib.asynccontextmanager
async def without_right(cluster: Cluster, resource: str, verb: str) -> AsyncIterator[None]:
    """The operator may not do that inside the block."""
    role = await cluster.get("clusterrole", DEPLOYMENT)
    assert role is not None
    rules = json.loads(json.dumps(role["rules"]))
    less: list[Object] = []
    for rule in rules:
        if resource in rule["resources"]:
            others = [r for r in rule["resources"] if r != resource]
            less += [{**rule, "resources": others}] if others else []
            less.append({**rule, "resources": [resource], "verbs": [v for v in rule["verbs"] if v != verb]})
        else:
            less.append(rule)
    await _rules(cluster, less)
    try:
        yield
    finally:
        await _rules(cluster, rules)


async def _rules(cluster: Cluster, rules: list[Object]) -> None:
    body = json.dumps([{"op": "replace", "path": "/rules", "value": rules}])
    await cluster.kubectl("patch", "clusterrole", DEPLOYMENT, "--type", "json", "-p", body)
