"""Calls to others: what they carry, when they end, what becomes of their failures."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from slicekit import Kit, kit_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = {
    "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
    "tracestate": "a=1",
    "X-Tenant": "gold",
    "X-Canary": "1",
    "x-rslice-track": "canary",
    "x-request-id": "r1",
}


async def echo(request: web.Request) -> web.Response:
    return web.json_response(dict(request.headers))


def asking(url: str, *, key: str | None = None) -> Callable[[Kit], web.Application]:
    """A service whose `/` asks the service at `url`, by GET, or by POST with a key."""

    async def ask(request: web.Request) -> web.Response:
        other = kit_of(request).upstream("other", url)
        reply = await (other.post("/", {}, idempotency_key=key or None) if key is not None else other.get("/"))
        if reply.status != 200:
            raise reply.failure()
        return web.json_response(reply.json())

    def build(_: Kit) -> web.Application:
        app = web.Application()
        app.router.add_get("/", ask)
        return app

    return build


@pytest.fixture
def pair(launch: Any) -> Any:
    """A service that asks another one, which answers by `handler`."""

    async def start(handler: Any, **env: str) -> Any:
        app = web.Application()
        app.router.add_route("*", "/", handler)
        other = await launch(app, "other", {"RSLICE_TRACK": "canary"})
        return await launch(asking(other.url), "front", env)

    return start


async def test_everything_travels(pair: Any, http: aiohttp.ClientSession) -> None:
    front = await pair(echo)
    async with http.get(front.url, headers=HEADERS | {"x-envoy-expected-rq-timeout-ms": "5000"}) as response:
        seen = {name.lower(): value for name, value in (await response.json()).items()}
        assert response.headers["X-Served-By"] == "front@stable, other@canary"
    passed = {name.lower(): value for name, value in HEADERS.items() if name != "traceparent"}
    assert seen.items() >= passed.items()
    assert seen["traceparent"].startswith(f"00-{TRACE}-")
    assert seen["traceparent"] != HEADERS["traceparent"]
    assert 4000 < int(seen["x-envoy-expected-rq-timeout-ms"]) <= 5000


async def test_a_call_ends_with_the_time_of_its_request(pair: Any, http: aiohttp.ClientSession) -> None:
    release = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    front = await pair(hang)
    async with http.get(front.url, headers={"x-envoy-expected-rq-timeout-ms": "150"}) as response:
        assert response.status == 504
        assert "other: no answer within" in (await response.json())["detail"]
    release.set()


async def test_no_call_is_made_when_no_time_is_left(pair: Any, http: aiohttp.ClientSession, clock: Any) -> None:
    asked = []

    async def note(_: web.Request) -> web.Response:
        asked.append(1)
        return web.json_response({})

    front = await pair(note, SLOW_MODE="delay=20ms")
    async with http.get(front.url, headers={"x-envoy-expected-rq-timeout-ms": "10"}) as response:
        assert response.status == 504
        assert "no time was left" in (await response.json())["detail"]
    assert asked == []


async def test_without_a_deadline_the_call_is_still_bounded(pair: Any, http: aiohttp.ClientSession) -> None:
    release = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    front = await pair(hang, REQUEST_TIMEOUT="100ms")
    async with http.get(front.url) as response:
        assert response.status == 504
    release.set()


@pytest.mark.parametrize(
    ("theirs", "ours", "retry_after"),
    [(503, 503, "7"), (429, 429, "7"), (504, 504, None), (500, 502, None), (404, 502, None), (302, 502, None)],
)
async def test_failures_of_others(
    pair: Any, http: aiohttp.ClientSession, theirs: int, ours: int, retry_after: str | None
) -> None:
    async def fail(_: web.Request) -> web.Response:
        return web.Response(status=theirs, headers={"Retry-After": "7", "Location": "/elsewhere"})

    front = await pair(fail)
    async with http.get(front.url) as response:
        assert (response.status, response.headers.get("Retry-After")) == (ours, retry_after)
        assert response.content_type == "application/problem+json"


async def test_nobody_there_and_nonsense(launch: Any, pair: Any, http: aiohttp.ClientSession) -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        front = await launch(asking(f"http://127.0.0.1:{probe.getsockname()[1]}"), "front")
    async with http.get(front.url) as response:
        assert response.status == 502
        assert "cannot be reached" in (await response.json())["detail"]

    async def babble(_: web.Request) -> web.Response:
        return web.Response(text="<html>")

    front = await pair(babble)
    async with http.get(front.url) as response:
        assert response.status == 502
        assert "not JSON" in (await response.json())["detail"]
    async with http.get(f"{front.url}/metrics") as response:
        assert 'http_client_requests_total{app="front",code="200",target="other"} 1.0' in await response.text()


@asynccontextmanager
async def forgetful() -> AsyncIterator[tuple[str, list[int]]]:
    """A server that answers one request a connection and closes it, without a word, when the second arrives."""
    connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        await reader.readuntil(b"{}")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections
    finally:
        server.close()


@pytest.mark.parametrize(("key", "statuses", "connections"), [("k", [200, 200], 2), ("", [200, 502], 1)])
async def test_a_connection_closed_as_it_was_used_again(
    launch: Any, http: aiohttp.ClientSession, key: str, statuses: list[int], connections: int
) -> None:
    """Only what carries an idempotency key is sent once more."""
    async with forgetful() as (url, made):
        front = await launch(asking(url, key=key), "front")
        for status in statuses:
            async with http.get(front.url) as response:
                assert response.status == status
        assert len(made) == connections
        await front.server.stop()
