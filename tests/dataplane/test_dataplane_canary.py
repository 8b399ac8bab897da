"""A canary's traffic through the real Envoy: who reaches it, and what a bad one costs the callers."""

import pytest
from aiohttp import web

from resilientslice.render.names import Track

STABLE, CANARY = Track.STABLE, Track.CANARY
PAYMENTS = frozenset({"payments"})
KEY = {"Idempotency-Key": "one"}


@pytest.fixture(params=["answers 503", "answers 500", "answers 501", "refuses connections", "hangs"])
async def bad(request, world):
    behaviours = {"answers 503": world.status(503), "answers 500": world.status(500), "answers 501": world.status(501)}
    if request.param == "refuses connections":
        return world.refusing()
    return await world.backend(behaviours.get(request.param, world.hang))


async def payments_mesh(world, shop, canary, *, weight, stable=2, **options):
    hosts = {
        ("api", STABLE): [await world.backend()],
        ("payments", STABLE): [await world.backend() for _ in range(stable)],
        ("payments", CANARY): [canary],
    }
    return await world.mesh(shop, hosts, canary=PAYMENTS, weight=weight, **options), hosts


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_bad_canary_at_half_the_traffic_costs_no_repeatable_request(world, shop, bad, method):
    mesh, _ = await payments_mesh(world, shop, bad, weight=50)
    counts = await mesh.load("payments", 600, method=method, headers=KEY)
    assert counts == {200: 600}
    assert await mesh.stat("cluster.payments-failover.upstream_rq_retry") >= 5


async def test_nor_without_ejection_and_on_the_smallest_share_of_the_limits(world, shop):
    """Neither the ejection nor a free budget is what saves the requests: each retry alone does."""
    shop["resilience"]["outlierDetection"]["consecutive5xxErrors"] = 1000
    shop["resilience"]["retries"]["budgetPercent"] = 0
    canary = await world.backend(world.status(503))
    mesh, _ = await payments_mesh(world, shop, canary, weight=50, proxies=32)
    assert await mesh.load("payments", 500, clients=2) == {200: 500}, "two may wait for a connection at once"
    assert 200 < len(canary.seen) < 300


async def test_a_post_without_key_is_never_sent_twice_but_survives_a_canary_that_is_gone(world, shop):
    mesh, _ = await payments_mesh(world, shop, world.refusing(), weight=100)
    assert await mesh.load("payments", 100, method="POST") == {200: 100}
    canary = await world.backend(world.status(503))
    mesh, hosts = await payments_mesh(world, shop, canary, weight=100)
    assert (await mesh.send("payments", method="POST")).status == 503
    assert (len(canary.seen), sum(len(host.seen) for host in hosts["payments", STABLE])) == (1, 0)


async def test_the_canarys_hosts_gone_means_stable(world, shop):
    hosts = {("api", STABLE): [await world.backend()], ("payments", STABLE): [await world.backend()]}
    mesh = await world.mesh(shop, hosts, canary=PAYMENTS, weight=100)
    assert await mesh.load("payments", 100, method="POST") == {200: 100}


async def test_a_service_that_calls_others_is_retried_from_its_canary_only(world, shop):
    canary, stable = await world.backend(world.status(503)), await world.backend()
    hosts = {("api", STABLE): [stable], ("api", CANARY): [canary]}
    shop["resilience"]["outlierDetection"]["consecutive5xxErrors"] = 1000
    mesh = await world.mesh(shop, hosts, canary=frozenset({"api"}), weight=50)
    assert await mesh.load("front", 500) == {200: 500}
    assert 200 < len(canary.seen) < 300
    canary.behave, stable.behave = world.status(200), world.status(503)
    stable.seen.clear()
    counts = await mesh.load("front", 200)
    assert 60 < counts[503] < 140
    assert counts[503] == len(stable.seen), "an answer of stable is not asked for again"


async def test_the_header_reaches_the_canary_alone_at_weight_0(world, shop):
    canary = await world.backend(world.status(503))
    mesh, hosts = await payments_mesh(world, shop, canary, weight=0)
    assert (await mesh.send("payments", headers={"X-Canary": "1"})).status == 503
    assert len(canary.seen) >= 1
    canary.seen.clear()
    for value in ("0", "11", ""):
        assert (await mesh.send("payments", headers={"X-Canary": value})).status == 200
    assert canary.seen == []
    assert sum(len(host.seen) for host in hosts["payments", STABLE]) == 3


async def test_the_track_is_obeyed_inside_and_drawn_only_when_it_is_absent(world, shop):
    canary = await world.backend()
    mesh, hosts = await payments_mesh(world, shop, canary, weight=30)
    await mesh.load("payments", 100, headers={"x-rslice-track": "stable"})
    assert canary.seen == []
    await mesh.load("payments", 100, headers={"x-rslice-track": "canary"})
    assert len(canary.seen) == 100
    canary.seen.clear()
    await mesh.load("payments", 1000)
    assert 220 <= len(canary.seen) <= 380, "five standard deviations"
    drawn = {request.headers["x-rslice-track"] for request in canary.seen}
    rest = {request.headers["x-rslice-track"] for host in hosts["payments", STABLE] for request in host.seen}
    assert (drawn, rest) == ({"canary"}, {"stable"})


@pytest.mark.parametrize("services", [PAYMENTS, frozenset({"api", "payments"})])
async def test_one_request_sees_one_version_of_everything(world, shop, services):
    """The front draws, also for a service without a canary of its own; the next hop obeys."""
    met = []

    def answer(name, track):
        async def behave(request):
            drawn = request.headers["x-rslice-track"]
            if name == "api":
                reply = await mesh.send("payments", headers={"x-rslice-track": drawn})
                met.append((track, drawn, reply.body.decode()))
            return web.Response(text=track)

        return behave

    hosts = {
        (name, track): [await world.backend(answer(name, track))]
        for name in ("api", "payments")
        for track in (STABLE, CANARY)
        if track is STABLE or name in services
    }
    mesh = await world.mesh(shop, hosts, canary=services, weight=50)
    assert await mesh.load("front", 400) == {200: 400}
    assert {(drawn, payments) for _, drawn, payments in met} == {("stable", "stable"), ("canary", "canary")}
    if "api" in services:
        assert all(api == drawn for api, drawn, _ in met)
    assert 140 <= sum(drawn == "canary" for _, drawn, _ in met) <= 260
    met.clear()
    await mesh.load("front", 50, headers={"X-Canary": "1"})
    assert {(drawn, payments) for _, drawn, payments in met} == {("canary", "canary")}


async def test_without_a_canary_the_front_says_stable_whatever_a_stranger_says(world, shop):
    mesh = await world.mesh(shop, {("api", STABLE): [await world.backend()]})
    answer = await mesh.send("front", headers={"X-Rslice-Track": "canary"})
    assert answer.upstream["x-rslice-track"] == "stable"
