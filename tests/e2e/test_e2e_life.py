"""From apply to delete: a slice becomes Ready and serves, is repaired, shrinks, goes, and comes back with its data."""

import json
import time

import pytest

from testkit.files import sample, service_of
from testkit.live_cluster import gets, none_failed, orders, until

pytestmark = pytest.mark.e2e


@pytest.mark.smoke
async def test_the_smallest_slice_is_ready_and_serves(a_slice):
    slice_ = a_slice("minimal")
    await slice_.apply(sample("minimal"))
    status = await slice_.ready()
    assert status["config"]["acked"] == status["config"]["total"] == 2
    async with slice_.client() as client:
        tally = await client.paced([gets()(n) for n in range(40)], per_second=40)
    none_failed(tally, 40)
    columns = await slice_.cluster.kubectl("get", "resilientslices", "-n", slice_.namespace)
    assert columns.splitlines()[0].split()[:3] == ["NAME", "READY", "PHASE"]


@pytest.mark.smoke
async def test_the_shop_takes_orders_is_repaired_and_keeps_its_data(a_slice):
    slice_ = a_slice("shop")
    document = sample("shop")
    await slice_.apply(document)
    await slice_.ready()
    async with slice_.client() as client:
        first = await client.send(orders(prefix="first")(0))
        assert first.status == 201, first
        path = f"/orders/{first.body['order_id']}"

        async def settled() -> bool:
            request = gets(path)(0)
            answer = await client.send(type(request)("GET", path, request.headers, keep_body=True))
            return answer.status == 200 and answer.body["status"] == "settled"

        await until(settled, "the order is settled by the worker", 120)
    await _from_inside(slice_)
    await _repairs(slice_)
    await _a_service_less(slice_)
    await _gone_and_back(slice_, document, path)


async def _from_inside(slice_):
    """A pod of the slice calls another service by the URL it was given."""
    pod = (await slice_.pods("api"))[0]["metadata"]["name"]
    code = (
        "import os, urllib.request as u;"
        "r = u.Request(os.environ['CATALOG_URL'] + '/products', headers={'X-Tenant': 'gold'});"
        "print(u.urlopen(r, timeout=5).status)"
    )
    out = await slice_.cluster.kubectl("exec", "-n", slice_.namespace, pod, "--", "python", "-c", code)
    assert out.strip() == "200"


async def _repairs(slice_):
    """A child that is deleted or changed by hand is soon as it was, and nobody notices. How soon is printed."""
    cluster, scope = slice_.cluster, ("-n", slice_.namespace)
    async with slice_.traffic(gets("/products")) as load:
        before = await cluster.get("service", "shop-catalog", slice_.namespace)
        started = time.monotonic()
        await cluster.kubectl("delete", "networkpolicy", "shop-catalog", *scope)
        await until(lambda: cluster.get("networkpolicy", "shop-catalog", slice_.namespace), "it is back", 120)
        restored = time.monotonic() - started
        replicas = json.dumps({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 7}}}})
        started = time.monotonic()
        await cluster.kubectl("patch", "deployment", "shop-worker-stable", *scope, "-p", replicas)

        async def undone() -> bool:
            found = await cluster.get("deployment", "shop-worker-stable", slice_.namespace)
            return found is not None and found["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] != 7

        await until(undone, "the change by hand is undone", 120)
        changed = time.monotonic() - started
        assert before is not None
    print(f"deleted: restored after {restored:.2f} s; changed: undone after {changed:.2f} s")
    none_failed(load.tally, 20)


async def _a_service_less(slice_):
    """A service that is taken out of the resource leaves nothing behind."""

    def change(document):
        document["spec"]["services"] = [s for s in document["spec"]["services"] if s["name"] != "worker"]

    await slice_.edit(change)
    kinds = "deploy,svc,netpol,sa,pdb,hpa"

    async def none_left() -> bool:
        found = await slice_.cluster.list(kinds, slice_.namespace, "resilientslice.dev/service=worker")
        return not found

    # it takes no traffic, so no canary waits for a weight; what it may call stays open while its pods may end
    await until(none_left, "the worker's objects are gone", 240)


async def _gone_and_back(slice_, document, path):
    await slice_.delete()
    cluster, chosen = slice_.cluster, f"resilientslice.dev/slice={slice_.name}"

    async def nothing() -> bool:
        kinds = "deploy,sts,svc,cm,netpol,sa,pdb,hpa,controllerrevision,pods"
        return not await cluster.list(kinds, slice_.namespace, chosen)

    await until(nothing, "everything but volumes and credentials is gone", 120)
    volumes = await cluster.list("pvc", slice_.namespace)
    secrets = await cluster.list("secret", slice_.namespace)
    assert {v["metadata"]["name"] for v in volumes} == {"data-shop-postgres-0", "data-shop-redis-0"}
    assert {s["metadata"]["name"] for s in secrets} >= {"shop-postgres", "shop-redis"}
    assert service_of(document, "worker")
    await slice_.apply(document)
    await slice_.ready()
    async with slice_.client() as client:
        answer = await client.send(gets(path)(0))
    assert answer.status == 200, "an old order is readable"
