"""Retries, ejection and bulkheads of the real Envoy: what they save, and what they must not multiply."""

import asyncio
import math
import time
from collections import Counter

import pytest
from aiohttp import web

from resilientslice.render.envoy.limits import MIN_CONCURRENT_RETRIES
from resilientslice.render.names import Track

STABLE = Track.STABLE
KEY = {"Idempotency-Key": "one"}
EJECTIONS = "cluster.payments-stable.outlier_detection.ejections_enforced_total"
BUDGET = 0.25
"""Of what is under way, as the shop has it."""


async def test_a_hanging_host_is_saved_by_the_time_of_a_try(world, shop):
    shop["resilience"]["outlierDetection"]["consecutive5xxErrors"] = 1000
    shop["resilience"]["retries"]["perTryTimeout"] = "2s"
    hosts = [await world.backend(), await world.backend(world.hang)]
    mesh = await world.mesh(shop, {("payments", STABLE): hosts})
    assert await mesh.load("payments", 30, clients=4) == {200: 30}
    assert len(hosts[1].seen) >= 5


@pytest.mark.parametrize(
    ("code", "headers", "method", "tries"),
    [
        (503, {}, "GET", 3),
        (500, {}, "HEAD", 3),
        (501, {}, "GET", 1),
        (404, {}, "GET", 1),
        (503, KEY, "POST", 3),
        (503, {}, "POST", 1),
        (503, {}, "DELETE", 1),
    ],
)
async def test_what_is_sent_again_after_an_answer(world, shop, code, headers, method, tries):
    hosts = [await world.backend(world.status(code)) for _ in range(3)]
    mesh = await world.mesh(shop, {("payments", STABLE): hosts})
    assert (await mesh.send("payments", method=method, headers=headers)).status == code
    assert sorted(len(host.seen) for host in hosts) == sorted([1] * tries + [0] * (3 - tries)), "each try another host"


async def test_a_post_without_key_is_sent_again_when_it_reached_nobody(world, shop):
    hosts = [await world.backend(), world.refusing()]
    mesh = await world.mesh(shop, {("payments", STABLE): hosts})
    assert await mesh.load("payments", 40, clients=1, method="POST") == {200: 40}
    assert len(hosts[0].seen) == 40
    assert await mesh.stat("cluster.payments-stable.upstream_rq_retry") >= 1


async def test_a_post_without_key_may_take_the_whole_time(world, shop):
    host = await world.backend(world.status(200, delay=1.2))
    mesh = await world.mesh(shop, {("payments", STABLE): [host]})
    assert (await mesh.send("payments", method="POST")).status == 200
    assert len(host.seen) == 1


@pytest.mark.parametrize("clients", [8, 48])
async def test_payments_down_entirely_is_not_made_worse(world, shop, clients):
    payments = [await world.backend(world.status(503)) for _ in range(3)]

    async def order(request):
        headers = KEY | {"x-rslice-track": request.headers["x-rslice-track"]}
        reply = await mesh.send("payments", method="POST", headers=headers)
        return web.Response(status=reply.status)

    api = [await world.backend(order) for _ in range(2)]
    mesh = await world.mesh(shop, {("api", STABLE): api, ("payments", STABLE): payments})
    orders = 500
    began = time.monotonic()
    counts = await mesh.load("front", orders, clients=clients, method="POST", headers=KEY)
    seconds = time.monotonic() - began
    attempts = sum(len(host.seen) for host in payments)
    retries = await mesh.stat("cluster.payments-stable.upstream_rq_retry")
    assert counts == {503: orders}
    assert sum(len(host.seen) for host in api) == orders
    assert attempts == orders + retries, "nobody but Envoy repeats anything"
    # a place is held for the back-off at least, 50 ms on average: a slower machine makes it fewer retries a second
    places = max(MIN_CONCURRENT_RETRIES, math.ceil(clients * BUDGET))
    assert retries <= 1.25 * places * seconds / 0.050 + 2 * places, "no more than have a place, for the time it took"


async def test_a_lost_connection_to_a_service_that_calls_others_is_repeated(world, shop):
    async def drop(request):
        request.transport.abort()
        return web.Response()

    api = [await world.backend(), await world.backend(drop)]
    mesh = await world.mesh(shop, {("api", STABLE): api})
    assert await mesh.load("front", 20, clients=1) == {200: 20}
    assert len(api[1].seen) >= 1


async def test_a_failing_host_is_ejected_each_time_it_returns_until_it_is_well(world, shop):
    shop["resilience"]["outlierDetection"] |= {"baseEjectionTime": "500ms", "on": "ServerErrors"}
    hosts = [await world.backend() for _ in range(3)]
    hosts[0].behave = world.status(500)
    mesh = await world.mesh(shop, {("payments", STABLE): hosts})
    counts = Counter()

    async def ejected_three_times():
        counts.update(await mesh.load("payments", 50, clients=4))
        return await mesh.stat(EJECTIONS) >= 3

    await world.until(ejected_three_times, "three ejections")
    ejections = await mesh.stat(EJECTIONS)
    assert 5 * ejections <= len(hosts[0].seen) < 10 * (ejections + 1), "five failures each, and what was under way"
    assert counts[500] <= len(hosts[0].seen)
    assert counts.keys() <= {200, 500}
    hosts[0].behave = world.status(200)
    hosts[0].seen.clear()

    async def returned():
        await mesh.load("payments", 10, clients=1)
        return len(hosts[0].seen) > 0

    await world.until(returned, "the healed host gets requests again")
    assert await mesh.ejected("payments-stable") == 0


async def test_a_host_that_accepts_and_hangs_is_ejected_too(world, shop):
    shop["resilience"]["retries"]["perTryTimeout"] = "2s"
    hosts = [await world.backend() for _ in range(2)]
    hosts[0].behave = world.hang
    mesh = await world.mesh(shop, {("payments", STABLE): hosts})
    assert await mesh.load("payments", 60, clients=4) == {200: 60}
    assert len(hosts[0].seen) <= 10
    assert await mesh.stat(EJECTIONS) >= 1


async def test_a_full_bulkhead_answers_at_once(world, shop):
    shop["resilience"] |= {
        "bulkhead": {"maxConnections": 4, "maxPendingRequests": 2, "maxRequests": 4},
        "retries": {"attempts": 0},
        "timeout": "60s",
    }
    release = asyncio.Event()

    async def wait(request):
        await release.wait()
        return web.Response()

    host = await world.backend(wait)
    mesh = await world.mesh(shop, {("payments", STABLE): [host]}, proxies=2)
    admitted = []
    for count in (1, 2):
        admitted.append(asyncio.ensure_future(mesh.send("payments")))

        async def under_way(count=count):
            return len(host.seen) == count

        await world.until(under_way, f"request {count} of two is under way: half of four, for one of two proxies")
    waiting = asyncio.ensure_future(mesh.send("payments"))

    async def queued():
        return await mesh.stat("cluster.payments-stable.upstream_rq_pending_active") == 1

    await world.until(queued, "one request waits: half of two")
    refused = await mesh.send("payments")
    assert (refused.status, refused.headers["x-envoy-overloaded"]) == (503, "true")
    release.set()
    assert [answer.status for answer in await asyncio.gather(*admitted, waiting)] == [200, 200, 200]
