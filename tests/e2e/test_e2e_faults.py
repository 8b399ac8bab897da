"""Things die; callers must not notice where two of them remain."""

import asyncio
import time

import pytest
from cluster import gets, is_ready, none_failed, sample, uids, until

pytestmark = pytest.mark.e2e

SYSTEM = "resilientslice-system"
OPERATORS = "app.kubernetes.io/name=resilientslice-operator"


async def delete_pod(slice_, name, *options):
    await slice_.cluster.kubectl("delete", "pod", name, "-n", slice_.namespace, "--wait=false", *options)


@pytest.mark.smoke
async def test_an_envoy_pod_and_a_service_pod_are_deleted(a_slice):
    slice_ = a_slice("minimal")
    document = sample("minimal")
    document["spec"]["services"][0]["replicas"] = 2
    await slice_.apply(document)
    await slice_.ready()
    async with slice_.traffic(gets(), per_second=40) as load:
        for chosen in ({"component": "proxy"}, {"service": "web"}):
            before = await slice_.pods(**chosen)
            started = time.monotonic()
            await delete_pod(slice_, before[0]["metadata"]["name"])

            async def replaced(before=before, chosen=chosen) -> bool:
                ready = [pod for pod in await slice_.pods(**chosen) if is_ready(pod)]
                return len(ready) == 2 and uids(ready) != uids(before)

            await until(replaced, "another pod is ready in its place", 120)
            print(f"{chosen}: two ready again after {time.monotonic() - started:.1f} s")
        await slice_.ready()
    none_failed(load.tally, 100)


@pytest.mark.smoke
async def test_the_operator_is_killed_and_everything_goes_on(a_slice):
    slice_ = a_slice("minimal")
    await slice_.apply(sample("minimal"))
    await slice_.ready()
    pods = uids(await slice_.pods())
    async with slice_.traffic(gets(), per_second=40) as load:
        await slice_.cluster.kubectl(
            "delete", "pod", "-n", SYSTEM, "-l", OPERATORS, "--grace-period=0", "--force", "--wait=false"
        )
        await slice_.patch({"resilience": {"timeout": "900ms"}})
        await slice_.ready(120)
        await asyncio.sleep(1)  # traffic goes on for a while; nothing is waited for
    none_failed(load.tally, 100)
    assert uids(await slice_.pods()) == pods, "a time-out restarts nothing, and neither does a new operator"
