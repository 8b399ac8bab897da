"""An autoscaler follows the load, up and down, and nobody notices."""

import time

import pytest

from testkit.files import sample, service_of
from testkit.live_cluster import gets, none_failed, until

pytestmark = pytest.mark.e2e

LEAST, MOST = 2, 4
DOWN_SECONDS = 480.0
"""A cluster that isn't told otherwise waits five minutes before it takes pods away."""


async def test_an_autoscaler_follows_the_load_up_and_down(a_slice):
    slice_ = a_slice("minimal")
    document = sample("minimal")
    service_of(document, "web").update(
        autoscaling={"minReplicas": LEAST, "maxReplicas": MOST, "targetCPUUtilizationPercentage": 50},
        resources={"requests": {"cpu": "30m"}},
    )
    await slice_.apply(document)
    await slice_.ready()

    async def measured() -> bool:
        hpa = await slice_.cluster.get("hpa", "minimal-web-stable", slice_.namespace)
        found = (hpa or {}).get("status", {}).get("currentMetrics") or [{}]
        return "averageUtilization" in found[0].get("resource", {}).get("current", {})

    async def replicas() -> int:
        found = await slice_.cluster.get("deployment", "minimal-web-stable", slice_.namespace)
        assert found is not None
        return int(found["spec"]["replicas"])

    async def many() -> bool:
        return await replicas() > LEAST

    async def few() -> bool:
        return await replicas() == LEAST

    await until(measured, "metrics are known", 120)
    async with slice_.traffic(gets(), per_second=5) as little:
        async with slice_.traffic(gets(), per_second=150) as load:
            started = time.monotonic()
            await until(many, "there are more pods", 180)
            up = time.monotonic() - started
            await slice_.wait(lambda s: s["services"][0]["desired"] > LEAST, "the status tells of them", 30)
        started = time.monotonic()
        await until(few, "there are as few as before", DOWN_SECONDS)
        print(f"autoscaler: more after {up:.0f} s of load, as before {time.monotonic() - started:.0f} s after its end")
        await slice_.ready()
    none_failed(load.tally, 100)
    none_failed(little.tally, 100)
    hpa = await slice_.cluster.get("hpa", "minimal-web-stable", slice_.namespace)
    assert hpa is not None
