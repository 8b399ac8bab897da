"""Things die; callers must not notice where two of them remain."""

import time
from contextlib import asynccontextmanager

import operators
import pytest

from testkit.files import sample, service_of
from testkit.live_cluster import gets, is_ready, none_failed, orders, uids, until

pytestmark = pytest.mark.e2e


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
        pods_of_operator = ("pod", "-n", operators.SYSTEM, "-l", operators.OPERATORS)
        await slice_.cluster.kubectl("delete", *pods_of_operator, "--grace-period=0", "--force", "--wait=false")
        await slice_.patch({"resilience": {"timeout": "16s"}})
        await slice_.ready(120)
    none_failed(load.tally, 100)
    assert uids(await slice_.pods()) == pods, "a time-out restarts nothing, and neither does a new operator"


async def test_all_pods_of_payments_die_and_orders_are_taken_again(a_slice):
    """Nobody remains to take over, so orders fail meanwhile; what needs no payments does not, and no order is lost."""
    slice_ = a_slice("shop")
    document = sample("shop")
    for name in ("api", "catalog", "payments"):
        service_of(document, name)["replicas"] = 2
    await slice_.apply(document)
    await slice_.ready(240)
    before = await slice_.pods("payments")
    assert len(before) == 2
    async with slice_.traffic(gets("/products"), per_second=20) as reading, slice_.client() as client:
        numbers = iter(range(10_000))
        make = orders(prefix="died")
        started = time.monotonic()
        for pod in before:
            await delete_pod(slice_, pod["metadata"]["name"], "--grace-period=0", "--force")
        failed = []

        async def taken() -> bool:
            """Twenty in a row."""
            for _ in range(20):
                number = next(numbers)
                answer = await client.send(make(number))
                if answer.status != 201:
                    failed.append(number)
                    return False
            return True

        await until(taken, "orders are taken again", 120)
        print(f"payments gone: orders taken again after {time.monotonic() - started:.1f} s, {len(failed)} failed")
        assert failed, "the pods were gone, or else nothing was tried"
        again = [await client.send(make(number)) for number in failed]
        assert {answer.status for answer in again} == {201}, "repeated with its key, each is taken"
    none_failed(reading.tally, 20)
    await slice_.ready()
    assert not uids(await slice_.pods("payments")) & uids(before)


@asynccontextmanager
async def without_dns(cluster):
    """The cluster has no DNS server inside the block."""

    async def scaled(replicas):
        where = ("-n", "kube-system", "deployment/coredns")
        await cluster.kubectl("scale", *where, f"--replicas={replicas}")
        await cluster.kubectl("rollout", "status", *where, "--timeout=120s")

    async def gone() -> bool:
        return not await cluster.list("pods", "kube-system", "k8s-app=kube-dns")

    (deployment,) = await cluster.list("deployments", "kube-system", "k8s-app=kube-dns")
    try:
        await scaled(0)
        await until(gone, "nobody answers names", 120)
        yield
    finally:
        await scaled(deployment["spec"]["replicas"])


async def test_without_dns_what_runs_goes_on_and_what_starts_says_what_it_waits_for(a_slice):
    first, second = a_slice("first"), a_slice("second")
    await first.apply(sample("minimal"))
    await first.ready()
    async with first.traffic(gets(), per_second=40) as load:
        async with without_dns(first.cluster):
            await second.apply(sample("minimal"))
            message = await second.said("Ready", "EndpointsNotDiscovered", 120)
            assert message == "Not every Envoy has found the pods of web yet."
            assert await second.pods("web")
        await second.ready(60)
        async with second.client() as client:
            none_failed(await client.closed_loop(gets(), count=50, workers=2), 50)
    none_failed(load.tally, 100)
