"""The control plane goes away for a while: what serves keeps serving, and what was edited is done afterwards."""

import asyncio
import contextlib

import operators
import pytest

from testkit.files import sample, service_of
from testkit.live_cluster import gets, none_failed, uids

pytestmark = pytest.mark.e2e


async def a_ready_slice(a_slice):
    slice_ = a_slice("minimal")
    document = sample("minimal")
    service_of(document, "web")["replicas"] = 2
    await slice_.apply(document)
    await slice_.ready()
    return slice_, uids(await slice_.pods())


async def test_the_api_server_hangs_for_half_a_minute(a_slice):
    slice_, pods = await a_ready_slice(a_slice)
    cluster = slice_.cluster
    async with slice_.traffic(gets(), per_second=40, at_least=1000) as load:
        async with frozen(cluster, "^kube-apiserver "):
            await asyncio.sleep(30)
        await operators.ready(cluster)
        await slice_.patch({"resilience": {"timeout": "16s"}})
        await slice_.ready()
    none_failed(load.tally, 1000)
    assert uids(await slice_.pods()) == pods


async def test_etcd_is_killed(a_slice):
    slice_, pods = await a_ready_slice(a_slice)
    async with slice_.traffic(gets(), per_second=40) as load:
        await slice_.cluster.signal(9, "^etcd ")
        await operators.ready(slice_.cluster)
        await slice_.patch({"resilience": {"timeout": "16s"}})
        await slice_.ready()
    none_failed(load.tally, 100)
    assert uids(await slice_.pods()) == pods


@contextlib.asynccontextmanager
async def frozen(cluster, process):
    node = await cluster.node_name()
    await cluster.signal_on(node, 19, process)
    try:
        yield
    finally:
        await cluster.signal_on(node, 18, process)
