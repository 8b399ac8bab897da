"""Envoy's own answers say what happened, in which slice, and what to change; those of services are left alone."""

import asyncio

import pytest

from resilientslice.render.envoy.replies import REPLIES
from resilientslice.render.names import Track

STABLE = Track.STABLE
DETAIL = {reply.reason: reply.detail for reply in REPLIES}


def tells(answer, status, reason):
    assert (answer.status, answer.headers["x-rslice-reason"]) == (status, reason)
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json
    assert (said["status"], said["reason"], said["slice"]) == (status, reason, "default/shop")
    assert said["detail"] == (DETAIL[reason] or said["detail"]) != ""


@pytest.mark.parametrize("listener", ["front", "payments"])
async def test_a_timeout(world, shop, listener):
    shop["resilience"] |= {"timeout": "600ms", "retries": {"attempts": 1}}
    host = await world.backend(world.hang)
    mesh = await world.mesh(shop, {("api", STABLE): [host], ("payments", STABLE): [host]})
    tells(await mesh.send(listener), 504, "Timeout")


async def test_a_full_bulkhead(world, shop):
    shop["resilience"] |= {"retries": {"attempts": 0}, "bulkhead": {"maxRequests": 1}}
    host = await world.backend(world.hang)
    mesh = await world.mesh(shop, {("payments", STABLE): [host]})
    first = asyncio.create_task(mesh.send("payments"))

    async def it_is_under_way():
        return bool(host.seen)

    await world.until(it_is_under_way, "the first request reaches the service")
    tells(await mesh.send("payments"), 503, "Overflow")
    first.cancel()


async def test_no_host_and_none_that_can_be_reached(world, shop):
    mesh = await world.mesh(shop, {("payments", STABLE): [world.refusing()]})
    tells(await mesh.send("payments"), 503, "ConnectionFailed")
    tells(await mesh.send("front"), 503, "NoHealthyHost")


async def test_no_route(world, shop):
    mesh = await world.mesh(shop, {("api", STABLE): [await world.backend()]}, host_names=("shop.example",))
    tells(await mesh.send("front"), 404, "NoRoute")


async def test_a_limit(world, shop):
    shop["rateLimit"] = {"default": {"requestsPerSecond": 1, "burst": 1}}
    mesh = await world.mesh(shop, {("api", STABLE): [await world.backend()]}, proxies=100)
    answers = [await mesh.send("front") for _ in range(5)]
    tells(answers[-1], 429, "RateLimited")
    assert answers[-1].headers["retry-after"] == "1"


@pytest.mark.parametrize(("memory", "status"), [(2**22, 503), (2**28, 200)])
async def test_an_envoy_without_memory_takes_no_more_requests(world, shop, memory, status):
    mesh = await world.mesh(shop, {("api", STABLE): [await world.backend()]}, memory=memory)

    async def it_has_looked():
        return await mesh.stat("overload.envoy.resource_monitors.fixed_heap.pressure") > 0

    await world.until(it_has_looked, "the memory is known")
    answer = await mesh.send("front")
    assert answer.status == status
    if status == 503:
        assert (answer.json["slice"], answer.json["detail"]) == ("default/shop", "envoy overloaded")


async def test_a_grpc_client_is_told_as_grpc_does(world, shop):
    mesh = await world.mesh(shop, {("payments", STABLE): [world.refusing()]})
    call = {"Content-Type": "application/grpc", "TE": "trailers"}
    answer = await mesh.send("payments", method="POST", headers=call)
    assert (answer.status, answer.headers["grpc-status"]) == (200, "14"), "UNAVAILABLE"
    assert answer.headers["x-rslice-reason"] == "ConnectionFailed"
    assert "default/shop" in answer.headers["grpc-message"]


@pytest.mark.parametrize("status", [429, 503, 504, 404, 408])
async def test_what_a_service_answers_is_its_own(world, shop, status):
    shop["resilience"]["retries"]["attempts"] = 0
    mesh = await world.mesh(shop, {("api", STABLE): [await world.backend(world.status(status))]})
    answer = await mesh.send("front")
    assert (answer.status, answer.body) == (status, b"")
    assert "x-rslice-reason" not in answer.headers
