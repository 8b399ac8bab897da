"""What real clients, proxies and servers send: each of these was refused, changed, or harmed others once."""

import asyncio
import socket

import pytest
from aiohttp import web

from resilientslice.render.names import Track

STABLE = Track.STABLE
BOTH = pytest.mark.parametrize("listener", ["front", "payments"])
TRUSTED, STRANGERS = ["127.0.0.0/8"], ["203.0.113.0/24"]


@pytest.fixture
async def hosts(world):
    return {("api", STABLE): [await world.backend()], ("payments", STABLE): [await world.backend()]}


@BOTH
async def test_the_offer_of_an_upgrade_to_tls_is_ignored(world, shop, hosts, listener):
    """Apache HttpClient 5.4 makes it with each request."""
    mesh = await world.mesh(shop, hosts)
    answer = await mesh.send(listener, headers={"Connection": "Upgrade", "Upgrade": "TLS/1.2"})
    assert answer.status == 200
    assert "upgrade" not in answer.upstream


@BOTH
@pytest.mark.parametrize("host", ["Host: shop.example\r\n", ""], ids=["named", "unnamed"])
async def test_http_1_0_is_answered(world, shop, hosts, listener, host):
    """nginx speaks it to its upstreams, old load balancers leave out the Host."""
    mesh = await world.mesh(shop, hosts)
    answer = await mesh.raw(f"GET / HTTP/1.0\r\n{host}\r\n", listener)
    assert answer.startswith(b"HTTP/1.1 200") or answer.startswith(b"HTTP/1.0 200"), answer


async def test_a_name_may_be_absolute(world, shop, hosts):
    mesh = await world.mesh(shop, hosts, host_names=("shop.example",))
    assert (await mesh.send("front", headers={"Host": "shop.example."})).status == 200
    assert (await mesh.send("front", headers={"Host": "elsewhere.example."})).status == 404


@pytest.mark.parametrize(
    ("listener", "front", "status", "passed"),
    [
        ("payments", {}, 200, True),
        ("front", {}, 400, False),
        ("front", {"underscoreHeaders": "Drop"}, 200, False),
        ("front", {"underscoreHeaders": "Allow"}, 200, True),
    ],
)
async def test_names_with_an_underscore_pass_inside_and_by_choice_at_the_front(
    world, shop, hosts, listener, front, status, passed
):
    mesh = await world.mesh(shop | {"front": front}, hosts)
    answer = await mesh.send(listener, headers={"user_id": "7"})
    assert answer.status == status
    seen = [request for pods in hosts.values() for pod in pods for request in pod.seen]
    assert any(request.headers.get("user_id") == "7" for request in seen) == passed


@pytest.mark.parametrize(
    ("listener", "trusted", "wanted"),
    [("payments", [], "https"), ("front", TRUSTED, "https"), ("front", [], "http"), ("front", STRANGERS, "http")],
)
async def test_the_scheme_that_a_caller_was_called_by_is_believed_inside_and_of_trusted_proxies(
    world, shop, hosts, listener, trusted, wanted
):
    mesh = await world.mesh(shop | {"front": {"trustedProxies": trusted}}, hosts)
    sent = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7"}
    assert (await mesh.send(listener, headers=sent)).upstream["x-forwarded-proto"] == wanted


@pytest.mark.parametrize(
    ("listener", "trusted", "kept"),
    [("payments", [], True), ("front", TRUSTED, True), ("front", [], True), ("front", STRANGERS, False)],
)
async def test_a_request_id_is_kept_but_for_a_stranger_s(world, shop, hosts, listener, trusted, kept):
    mesh = await world.mesh(shop | {"front": {"trustedProxies": trusted}}, hosts)
    told = (await mesh.send(listener, headers={"X-Request-ID": "mine"})).upstream["x-request-id"]
    assert (told == "mine") == kept
    assert told


async def test_a_grpc_client_over_its_limit_is_told_not_to_try_at_once(world, shop, hosts):
    shop["rateLimit"] = {"default": {"requestsPerSecond": 1, "burst": 1}}
    mesh = await world.mesh(shop, hosts, proxies=100)
    call = {"Content-Type": "application/grpc", "TE": "trailers"}
    answers = [await mesh.send("front", method="POST", headers=call) for _ in range(5)]
    assert {answer.headers.get("grpc-status") for answer in answers[1:]} == {"8"}, "RESOURCE_EXHAUSTED"


async def test_who_is_ejected_gets_no_requests_while_another_one_is_left(world, shop):
    shop["resilience"]["outlierDetection"] |= {"maxEjectionPercent": 100, "baseEjectionTime": "300s"}
    pods = [await world.backend(world.status(503)) for _ in range(3)] + [await world.backend()]
    mesh = await world.mesh(shop, {("payments", STABLE): pods})

    async def three_are_ejected():
        await mesh.load("payments", 8, clients=1, method="POST")
        return await mesh.ejected("payments-stable") == 3

    await world.until(three_are_ejected, "three hosts are ejected")
    assert await mesh.load("payments", 60, method="POST") == {200: 60}


async def test_with_all_hosts_ejected_all_are_used(world, shop):
    shop["resilience"]["outlierDetection"] |= {"maxEjectionPercent": 100, "baseEjectionTime": "300s"}
    pods = [await world.backend(world.status(503)) for _ in range(2)]
    mesh = await world.mesh(shop, {("payments", STABLE): pods})

    async def both_are_ejected():
        await mesh.load("payments", 8, clients=1, method="POST")
        return await mesh.ejected("payments-stable") == 2

    await world.until(both_are_ejected, "both hosts are ejected")
    for pod in pods:
        pod.behave = world.status(200)
    assert await mesh.load("payments", 20, method="POST") == {200: 20}


async def unimplemented(request):
    await request.read()
    return web.Response(headers={"Content-Type": "application/grpc", "grpc-status": "12"})


@pytest.mark.parametrize("protocol", ["HTTP", "GRPC"])
@pytest.mark.parametrize("errors", ["GatewayErrors", "ServerErrors"])
async def test_a_caller_can_eject_no_host_by_asking_for_what_there_is_not(world, shop, protocol, errors):
    """501, and a call of a gRPC method that there is not, say nothing of the host."""
    shop["resilience"]["outlierDetection"] |= {"on": errors, "maxEjectionPercent": 100, "baseEjectionTime": "300s"}
    answer = world.status(501) if protocol == "HTTP" else unimplemented
    pods = [await world.backend(answer) for _ in range(2)]
    mesh = await world.mesh(shop, {("payments", STABLE): pods})
    headers = {"Content-Type": "application/grpc", "TE": "trailers"} if protocol == "GRPC" else {}
    await mesh.load("payments", 60, method="POST", headers=headers)
    assert (await mesh.ejected("payments-stable") > 0) == (errors == "ServerErrors")


async def test_slow_readers_cost_little_memory(world, shop):
    size, readers = 3_500_000, 60

    async def large(request):
        await request.read()
        return web.Response(body=bytes(size))

    mesh = await world.mesh(shop, {("api", STABLE): [await world.backend(large)]})
    before = await mesh.stat("server.memory_allocated")
    connections = [await slow_reader(mesh.topology.front.port) for _ in range(readers)]
    try:
        read = [-1]

        async def nothing_moves():
            read.append(await mesh.stat("cluster.api-stable.upstream_cx_rx_bytes_total"))
            await asyncio.sleep(0.2)
            active = await mesh.stat("http.front.downstream_rq_active")
            return active == readers and read[-1] == read[-2] > readers * 16_384

        await world.until(nothing_moves, "every buffer is full")
        grown = await mesh.stat("server.memory_allocated") - before
        assert grown < readers * 300_000, "with Envoy's own limits it is 1 MiB and more for each"
    finally:
        for connection in connections:
            connection.close()


async def slow_reader(port):
    """Asks, and reads nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, ("127.0.0.1", port))
    await loop.sock_sendall(connection, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    return connection
