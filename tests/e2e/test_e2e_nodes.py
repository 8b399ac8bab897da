"""A node is lost, with one of two Envoys and one of two replicas on it. Needs a cluster of three nodes."""

import asyncio
import contextlib
import time

import pytest

from testkit.files import ROOT, sample, service_of
from testkit.live_cluster import gets, is_ready, none_failed, run, until

pytestmark = pytest.mark.nodes

LOST_SECONDS = 90.0
"""Longer than it takes the cluster to find out (about 50 s)."""


async def workers(cluster):
    """Nodes that run pods: all but the control plane."""
    nodes = await cluster.list("nodes", "default")
    return [node for node in nodes if "node-role.kubernetes.io/control-plane" not in node["metadata"]["labels"]]


def address(node):
    return next(entry["address"] for entry in node["status"]["addresses"] if entry["type"] == "InternalIP")


async def node_is(cluster, name, ready):
    async def probe() -> bool:
        node = await cluster.get("node", name)
        return node is not None and is_ready(node) == ready

    await until(probe, f"node {name} is {'ready' if ready else 'known to be lost'}", 180)


@contextlib.asynccontextmanager
async def lost(name):
    """The node's processes are gone at once, as by a power cut, while the block runs."""
    await run("docker", "kill", name)
    try:
        yield
    finally:
        await run("docker", "start", name)
        # where pod routes are static, a node that was restarted has lost its own
        await run(
            "env",
            f"CLUSTER={name.removeprefix('resilientslice-').rpartition('-worker')[0]}",
            "NODES=3",
            str(ROOT / "tests" / "kind" / "cluster.sh"),
            "up",
        )


async def test_a_node_is_lost_and_comes_back(a_slice):
    slice_, cluster = a_slice("minimal"), a_slice("minimal").cluster
    nodes = await workers(cluster)
    if len(nodes) < 2:
        pytest.fail("this test needs a cluster with two workers: `NODES=3 make cluster-up`")
    document = sample("minimal")
    service_of(document, "web")["replicas"] = 2
    await slice_.apply(document)
    await slice_.ready()
    for chosen in ({"component": "proxy"}, {"service": "web"}):
        places = {pod["spec"]["nodeName"] for pod in await slice_.pods(**chosen)}
        assert len(places) == 2, f"{chosen}: one on each node"
    stays, goes = nodes[0], nodes[1]
    # the port of a node leads to that node's Envoy alone, as behind a load balancer that checks what it sends to
    local = '{"spec": {"externalTrafficPolicy": "Local"}}'
    await cluster.kubectl("patch", "service", "minimal-front", "-n", slice_.namespace, "-p", local)
    async with slice_.traffic(gets(), per_second=40, node=address(stays), at_least=1000) as load:
        await asyncio.sleep(2)  # traffic for a while; nothing is waited for
        started = time.monotonic()
        async with lost(goes["metadata"]["name"]):
            await node_is(cluster, goes["metadata"]["name"], ready=False)
            known = time.monotonic() - started
            status = await slice_.wait(lambda s: s["services"][0]["ready"] == 1, "the status tells of it", 120)
            told = time.monotonic() - started
            assert status["phase"] != "Ready"
            # an edit reaches the Envoy that is left
            await slice_.patch({"resilience": {"timeout": "16s"}})
            await slice_.wait(lambda s: s["config"]["acked"] >= 1, "the Envoy that is left has it", 60)
            await asyncio.sleep(max(0.0, LOST_SECONDS - (time.monotonic() - started)))
        back = time.monotonic()
        await slice_.ready(300)
        print(
            f"node lost: known after {known:.0f} s, in the status after {told:.0f} s; "
            f"all Ready {time.monotonic() - back:.0f} s after it came back"
        )
    none_failed(load.tally, 1000)
