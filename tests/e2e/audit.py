"""What the operator asked of the API server, as that wrote it down. In clusters whose API server does (tests/kind)."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cluster import Cluster, run

KEPT = os.environ.get("E2E_AUDIT") == "kept"
"""Whether the API server of this cluster writes what it is asked to `LOG`, on the first node."""
LOG = "/var/log/kubernetes/audit/audit.log"
READS = frozenset({"get", "list", "watch"})
WRITTEN_SECONDS = 1.0
"""The log is written in batches of 200 ms."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that was answered. `resource` with its subresource, as RBAC names it: `resilientslices/status`."""

    verb: str
    resource: str
    code: int
    source: str
    """Address of the process that asked."""
    uri: str
    at: str

    @property
    def writes(self) -> bool:
        """Something else than the Lease."""
        return self.verb not in READS and self.resource != "leases"


async def mark(cluster: Cluster) -> int:
    """A place in the log: what comes after it is what happens from now on."""
    return int(await run("docker", "exec", await cluster.node_name(), "stat", "--format=%s", LOG))


async def since(cluster: Cluster, place: int) -> list[Asked]:
    text = await run("docker", "exec", await cluster.node_name(), "tail", f"--bytes=+{place + 1}", LOG)
    return [_asked(json.loads(line)) for line in text.splitlines()]


def counted(requests: Iterable[Asked]) -> Counter[str]:
    return Counter(f"{request.verb} {request.resource}" for request in requests)


def lists(requests: Iterable[Asked]) -> dict[str, Counter[str]]:
    """By process, how often it listed each resource. A list in pages is one; of what is not installed there is none."""
    found: dict[str, Counter[str]] = {}
    for request in requests:
        if request.verb == "list" and request.code < 400 and "continue=" not in request.uri:
            found.setdefault(request.source, Counter())[request.resource] += 1
    return found


def _asked(event: dict[str, Any]) -> Asked:
    about = event.get("objectRef", {})
    names = [about.get("resource", event["requestURI"]), about.get("subresource")]
    return Asked(
        verb=event["verb"],
        resource="/".join(name for name in names if name),
        code=event.get("responseStatus", {}).get("code", 0),
        source=event.get("sourceIPs", [""])[0],
        uri=event["requestURI"],
        at=event["requestReceivedTimestamp"],
    )
