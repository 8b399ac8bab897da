"""What the operator asked of the API server, as that wrote it down. In clusters whose API server does (tests/kind)."""

import os

from testkit.audit_log import Asked, read
from testkit.live_cluster import Cluster, run

KEPT = os.environ.get("E2E_AUDIT") == "kept"
"""Whether the API server of this cluster writes what it is asked to `LOG`, on the first node."""
LOG = "/var/log/kubernetes/audit/audit.log"


async def mark(cluster: Cluster) -> int:
    """A place in the log: what comes after it is what happens from now on."""
    return int(await run("docker", "exec", await cluster.node_name(), "stat", "--format=%s", LOG))


async def since(cluster: Cluster, place: int) -> list[Asked]:
    text = await run("docker", "exec", await cluster.node_name(), "tail", f"--bytes=+{place + 1}", LOG)
    return list(read(text.splitlines()))
