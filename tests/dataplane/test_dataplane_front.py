"""The front before strangers: what it believes, what it lets through, and what it says of itself."""

import pytest

from resilientslice.render.names import Track

STABLE, CANARY = Track.STABLE, Track.CANARY
STEERING = {
    "x-envoy-max-retries": "9",
    "x-envoy-retry-on": "5xx",
    "x-envoy-upstream-rq-timeout-ms": "60000",
    "x-envoy-expected-rq-timeout-ms": "60000",
    "x-envoy-anything": "1",
    "X-Rslice-Track": "canary",
    "x-rslice-anything": "1",
}


async def test_steering_headers_of_strangers_are_taken_off(world, shop):
    mesh = await world.mesh(shop, {("api", STABLE): [await world.backend()]})
    seen = (await mesh.send("front", headers=STEERING)).upstream
    assert not {"x-envoy-max-retries", "x-envoy-retry-on", "x-envoy-upstream-rq-timeout-ms", "x-envoy-anything"} & set(
        seen
    )
    assert "x-rslice-anything" not in seen
    assert (seen["x-rslice-track"], seen["x-envoy-expected-rq-timeout-ms"]) == ("stable", "30000")
    assert "x-envoy-internal" not in seen, "a private address makes nobody one of ours"


async def test_headers_of_a_caller_inside_change_no_policy(world, shop):
    hosts = [await world.backend(world.status(503)) for _ in range(2)]
    mesh = await world.mesh(shop, {("payments", STABLE): hosts})
    steering = {
        name: value for name, value in STEERING.items() if name.startswith("x-envoy") and "expected" not in name
    }
    await mesh.send("payments", method="POST", headers=steering)
    assert sum(len(host.seen) for host in hosts) == 1


async def test_trusted_proxies_speak_for_tenants_and_testers_and_nobody_else_does(world, shop):
    claims = {"X-Tenant": "gold", "X-Canary": "1"}
    hosts = {("api", STABLE): [await world.backend()], ("api", CANARY): [await world.backend()]}
    shop["rateLimit"] = {}
    expected = {"10.0.0.0/8": ("anonymous", "stable", None), "127.0.0.0/8": ("gold", "canary", "1")}
    for trusted, wanted in expected.items():
        mesh = await world.mesh(shop | {"front": {"trustedProxies": [trusted]}}, hosts, canary=frozenset({"api"}))
        seen = (await mesh.send("front", headers=claims)).upstream
        assert (seen["x-tenant"], seen["x-rslice-track"], seen.get("x-canary")) == wanted


async def test_a_tenant_is_one_value_or_refused(world, shop):
    shop["rateLimit"] = {"default": {"requestsPerSecond": 1000, "burst": 1000}}
    host = await world.backend()
    mesh = await world.mesh(shop, {("api", STABLE): [host]})
    assert (await mesh.send("front")).upstream["x-tenant"] == "anonymous"
    for name in ("a", "a-b.c_D9", "x" * 63):
        assert (await mesh.send("front", headers={"X-Tenant": name})).upstream["x-tenant"] == name
    for name in ("x" * 64, "x" * 5000, "a b", "-a", "a,b", "a;drop", "ä"):
        refused = await mesh.send("front", headers={"X-Tenant": name})
        assert (refused.status, refused.json["status"]) == (400, 400), name
        assert "X-Tenant" in refused.json["detail"]
    host.seen.clear()
    await mesh.raw("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Tenant: gold\r\nX-Tenant: b\r\n\r\n")
    assert host.seen[0].headers.getall("x-tenant") == ["gold"]


async def test_only_what_is_exposed_is_reached(world, shop):
    shop["services"][0]["expose"] = {"pathPrefix": "/shop"}
    api, payments = await world.backend(), await world.backend()
    hosts = {("api", STABLE): [api], ("payments", STABLE): [payments]}
    mesh = await world.mesh(shop, hosts, host_names=("shop.example.org", "*.shop.example.org"))
    here = {"Host": "shop.example.org"}
    for path in ("/shop", "/shop/a", "/shop?x", "//shop//a", "/x/../shop"):
        assert (await mesh.send("front", path, headers=here)).status == 200, path
    assert (await mesh.send("front", "/shop", headers={"Host": "shop.example.org:8443"})).status == 200
    assert (await mesh.send("front", "/shop", headers={"Host": "eu.shop.example.org"})).status == 200
    for path in ("/", "/shopping", "/shop/../x", "/payments"):
        assert (await mesh.send("front", path, headers=here)).status == 404, path
    for name in ("payments", "shop-payments", "example.org", "payments.default.svc.cluster.local"):
        answer = await mesh.send("front", "/shop", headers={"Host": name})
        assert (answer.status, answer.json["detail"]) == (404, "No service is exposed at this host name.")
    assert payments.seen == []


async def test_the_longest_prefix_wins_and_keeps_its_own_policy(world, shop):
    shop["services"][0]["routes"] = [
        {"pathPrefix": "/pay/slow", "timeout": "30s"},
        {"pathPrefix": "/r", "timeout": "20s"},
    ]
    shop["services"][1]["expose"] = {"pathPrefix": "/pay"}
    api, payments = await world.backend(), await world.backend()
    mesh = await world.mesh(shop, {("api", STABLE): [api], ("payments", STABLE): [payments]})
    for path in ("/pay", "/pay/x", "/pay/slow"):
        await mesh.send("front", path)
    assert (len(api.seen), len(payments.seen)) == (0, 3)
    await mesh.send("front", "/payments")
    assert len(api.seen) == 1
    assert (await mesh.send("front", "/r/x")).upstream["x-envoy-expected-rq-timeout-ms"] == "20000"


async def test_crooked_requests_are_refused_and_nothing_is_told(world, shop):
    mesh = await world.mesh(shop, {("api", STABLE): [await world.backend()]})
    answer = await mesh.send("front")
    assert not {"server", "x-envoy-upstream-service-time", "x-powered-by"} & {name.lower() for name in answer.headers}
    assert (await mesh.send("front", headers={"a_b": "1"})).status == 400
    assert (await mesh.send("front", headers={"X-Big": "x" * 40_000})).status == 431
    assert (await mesh.raw("GET / HTTP/1.0\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.0 200")
    assert b"400 Bad Request" in await mesh.raw("GET / HTTP/1.1\r\n\r\n")
    moved = await mesh.send("front", "/a/%2E%2E%2Fb")
    assert (moved.status, moved.headers["location"]) == (307, "/b")


@pytest.mark.parametrize("listener", ["front", "api"])
async def test_only_a_websocket_route_upgrades(world, shop, listener):
    from aiohttp import WSServerHandshakeError, web

    async def echo(request):
        socket = web.WebSocketResponse()
        if not socket.can_prepare(request):
            return web.Response(text="plain")
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    shop["resilience"]["timeout"] = "100ms"
    shop["services"][0]["routes"] = [{"pathPrefix": "/live", "websocket": True, "idleTimeout": "4s"}]
    mesh = await world.mesh(shop, {("api", STABLE): [await world.backend(echo)]})
    async with mesh.client.ws_connect(mesh.url(listener, "/live")) as socket:
        for i in range(3):
            await socket.send_str(str(i))
            assert await socket.receive_str() == str(i)
            # longer than the time-out of requests, shorter than the idle one
            with pytest.raises(TimeoutError):
                await socket.receive(timeout=0.3)
        assert (await socket.receive(timeout=90)).data is None, "ended by Envoy for being idle"
    assert (await mesh.send(listener, "/live")).body == b"plain"
    with pytest.raises(WSServerHandshakeError):
        await mesh.client.ws_connect(mesh.url(listener, "/other"))
