"""How long a hop may take: its own time-out, or less if the caller has less time left, never more."""

import asyncio
import time

import pytest
from aiohttp import web

from resilientslice.render.names import Track

STABLE = Track.STABLE


@pytest.mark.parametrize(
    ("own", "left", "least", "most"),
    [
        ("60s", "100", 0.09, 30),
        ("400ms", "60000", 0.39, 30),
        ("400ms", "0", 0.39, 30),
        ("400ms", "nonsense", 0.39, 30),
        ("400ms", None, 0.39, 30),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_time_that_is_left_shortens_a_hop_and_never_lengthens_it(world, shop, own, left, least, most, method):
    """Bars are wide for a busy machine: what would go wrong is off by a minute."""
    shop["resilience"] |= {"timeout": own, "retries": {"attempts": 0}}
    mesh = await world.mesh(shop, {("payments", STABLE): [await world.backend(world.hang)]})
    headers = {} if left is None else {"x-envoy-expected-rq-timeout-ms": left}
    started = time.monotonic()
    assert (await mesh.send("payments", method=method, headers=headers)).status == 504
    assert least <= time.monotonic() - started <= most


async def test_a_route_has_its_own_time_inside_too(world, shop):
    shop["resilience"]["timeout"] = "100ms"
    shop["services"][1]["routes"] = [{"pathPrefix": "/slow", "timeout": "60s"}]
    slow = world.status(200, delay=0.3)

    async def behave(request):
        return await (slow if request.path == "/slow" else world.hang)(request)

    mesh = await world.mesh(shop, {("payments", STABLE): [await world.backend(behave)]})
    assert (await mesh.send("payments", "/slow")).status == 200
    assert (await mesh.send("payments", "/slower")).status == 504


async def test_draining_ends_no_request(world, shop):
    release = asyncio.Event()

    async def wait(request):
        await release.wait()
        return web.Response()

    mesh = await world.mesh(shop, {("api", STABLE): [await world.backend(wait)]})
    under_way = [asyncio.ensure_future(mesh.send("front")) for _ in range(20)]

    async def started():
        return await mesh.stat("http.front.downstream_rq_active") == 20

    await world.until(started, "20 requests are under way")
    async with mesh.admin.post("http://admin/drain_listeners?graceful&skip_exit") as response:
        assert response.status == 200
    release.set()
    answers = await asyncio.gather(*under_way)
    assert {answer.status for answer in answers} == {200}
    later = await mesh.send("front")
    assert (later.status, later.headers["connection"]) == (200, "close")
