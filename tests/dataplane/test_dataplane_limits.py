"""Tenants' limits in the real Envoy: exact shares, own buckets, nobody evicted, charged once."""

import time

import pytest

from resilientslice.render.names import Track

STABLE = Track.STABLE
LIMITS = {
    "default": {"requestsPerSecond": 1, "burst": 10},
    "tenants": [{"name": "gold", "requestsPerSecond": 2, "burst": 40}],
}


def admitted(burst: int, rate: float, began: float) -> range:
    """How many of more than enough requests get through: the burst, and what came back meanwhile."""
    return range(burst, burst + 2 + int(rate * (time.monotonic() - began)))


@pytest.mark.parametrize("proxies", [1, 2, 3])
async def test_each_tenant_has_its_share(world, shop, proxies):
    mesh = await world.mesh(shop | {"rateLimit": LIMITS}, {("api", STABLE): [await world.backend()]}, proxies=proxies)
    for tenant, rate, burst in (("gold", 2, 40), ("bob", 1, 10), (None, 1, 10)):
        headers = {"X-Tenant": tenant} if tenant else {}
        began = time.monotonic()
        counts = await mesh.load("front", 60, clients=1, headers=headers)
        assert counts[200] in admitted(-(-burst // proxies), rate / proxies, began), tenant
        assert counts[200] + counts[429] == 60


async def test_a_limited_tenant_is_told_when_to_come_back_and_cannot_hide_behind_others(world, shop):
    host = await world.backend()
    mesh = await world.mesh(shop | {"rateLimit": LIMITS}, {("api", STABLE): [host]}, proxies=100)
    await mesh.load("front", 5, clients=1, headers={"X-Tenant": "bob"})
    for i in range(200):
        assert (await mesh.send("front", headers={"X-Tenant": f"other-{i}"})).status == 200
    limited = await mesh.send("front", headers={"X-Tenant": "bob"})
    assert (limited.status, limited.headers["retry-after"]) == (429, "1")
    assert limited.headers["content-type"] == "application/problem+json"
    assert limited.json["status"] == 429


async def test_a_request_is_charged_once_however_often_it_is_tried_and_only_if_it_is_routed(world, shop):
    shop["services"] = [{"name": "pay", "image": "p:1", "port": 80, "expose": {"pathPrefix": "/pay"}}]
    hosts = [await world.backend(world.status(503)) for _ in range(3)]
    mesh = await world.mesh(shop | {"rateLimit": LIMITS}, {("pay", STABLE): hosts})
    await mesh.load("front", 30, clients=1, path="/elsewhere", headers={"X-Tenant": "bob"})
    began = time.monotonic()
    counts = await mesh.load("front", 24, clients=1, path="/pay", headers={"X-Tenant": "bob"})
    assert counts[503] in admitted(10, 1, began)
    assert sum(len(host.seen) for host in hosts) >= 2 * counts[503]
    attempts = {request.headers["x-envoy-attempt-count"] for host in hosts for request in host.seen}
    assert attempts == {"1", "2", "3"}


async def test_inside_and_with_middleware_nobody_is_charged(world, shop):
    hosts = {("api", STABLE): [await world.backend()], ("payments", STABLE): [await world.backend()]}
    mesh = await world.mesh(shop | {"rateLimit": LIMITS}, hosts)
    assert await mesh.load("payments", 100, headers={"X-Tenant": "bob"}) == {200: 100}
    mesh = await world.mesh(shop | {"rateLimit": LIMITS | {"enforcement": "Middleware"}}, hosts)
    assert await mesh.load("front", 100, headers={"X-Tenant": "bob"}) == {200: 100}
