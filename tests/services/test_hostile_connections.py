"""Connections that are opened to be in the way: thousands that idle, some that drip, one that never reads."""

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

MOST = 200
MANY = 10_000
OWN_DESCRIPTORS = 400
STRANGER = """
import slicekit
from aiohttp import web

async def large(request):
    return web.Response(body=b"x" * 50_000_000)

app = web.Application()
app.add_routes([web.get("/large", large)])
slicekit.run(app, name="hello")
"""


@pytest.fixture
def start(spawn: Any, tmp_path: Any, await_ready: Any) -> Any:
    (tmp_path / "stranger.py").write_text(STRANGER)

    async def run(**env: str) -> Any:
        service = spawn("stranger", {"PYTHONPATH": str(tmp_path), "MAX_CONNECTIONS": str(MOST)} | env)
        await await_ready(service.admin)
        return service

    return run


@pytest.fixture
def descriptors() -> Iterator[int]:
    """How many connections this process may open, with its soft limit raised as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield min(MANY, hard - OWN_DESCRIPTORS) if hard != resource.RLIM_INFINITY else MANY
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connections_of(process: psutil.Process, port: int) -> int:
    return sum(c.laddr.port == port and c.status == psutil.CONN_ESTABLISHED for c in process.net_connections("tcp"))


async def test_ten_thousand_idle_connections_keep_nobody_out(
    start: Any, http: Any, descriptors: int, eventually: Any
) -> None:
    assert descriptors > 3 * MOST, "this machine allows too few open files to show anything; raise `ulimit -Hn`"
    service = await start(IDLE_TIMEOUT="2s")
    process = psutil.Process(service.popen.pid)
    before, began = process.memory_info().rss, time.monotonic()
    with contextlib.ExitStack() as stack:
        for count in range(descriptors):
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            if count % 1000 == 999:
                async with http.get(f"{service.url}/healthz") as response:
                    assert response.status == 200
        grown = process.memory_info().rss - before
        assert connections_of(process, service.port) <= MOST
        assert grown < 40 * 2**20, f"{grown / 2**20:.0f} MiB for {descriptors} connections"

        async def let_go() -> bool:
            return connections_of(process, service.port) <= 1

        await eventually(let_go)
    async with http.get(f"{service.admin}/metrics") as response:
        text = await response.text()
    (line,) = (line for line in text.splitlines() if line.startswith("http_connections_crowded_total{"))
    # on a slow machine some go for being idle before they are in the way
    assert 0 < float(line.split()[-1]) <= descriptors
    assert service.log.read_text().count("too many connections") < 60 + time.monotonic() - began, "once a second"


async def test_one_that_waits_for_its_answer_is_never_the_one_to_go(start: Any, http: Any) -> None:
    service = await start(SLOW_MODE="delay=1500ms,for=60s", MAX_CONNECTIONS="16")
    busy = [asyncio.create_task(http.get(f"{service.url}/none")) for _ in range(10)]
    while connections_of(psutil.Process(service.popen.pid), service.port) < 10:
        await asyncio.sleep(0.01)
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
        assert {(await task).status for task in busy} == {404}


async def test_when_all_are_busy_the_newest_is_told_so(start: Any) -> None:
    service = await start(SLOW_MODE="delay=60s,for=60s", MAX_CONNECTIONS="16")
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            peer.sendall(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
        deadline = time.monotonic() + 90
        answer = b""
        while not answer.startswith(b"HTTP/1.1 503 "):
            assert time.monotonic() < deadline
            reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
            with contextlib.suppress(TimeoutError):
                answer = await asyncio.wait_for(reader.read(), 2)
            writer.close()
    assert b"application/problem+json" in answer
    assert b"try again" in answer


@pytest.mark.parametrize(
    ("begin", "drip"),
    [
        (b"GET / HTTP/1.1\r\n", b"X-A: b\r\n"),
        (b"POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n", b"x"),
        (b"POST /none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["head", "body", "chunks"],
)
async def test_who_drips_is_closed(start: Any, begin: bytes, drip: bytes) -> None:
    service = await start(HEADER_TIMEOUT="500ms", BODY_TIMEOUT="500ms")
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(begin)
    ended = asyncio.create_task(reader.read())
    started = time.monotonic()
    while not ended.done() and time.monotonic() - started < 90:
        with contextlib.suppress(ConnectionError):
            writer.write(drip)
            await writer.drain()
        await asyncio.sleep(0.05)
    assert ended.done()
    with contextlib.suppress(ConnectionError):  # its last bytes met a closed door
        assert (await ended).split(b" ")[1] in {b"408", b"404"}
    writer.close()


async def test_who_does_not_read_is_closed(start: Any, eventually: Any) -> None:
    service = await start(SEND_TIMEOUT="500ms")
    process = psutil.Process(service.popen.pid)
    with socket.create_connection(("127.0.0.1", service.port)) as peer:
        peer.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")

        async def let_go() -> bool:
            return connections_of(process, service.port) == 0

        assert len(peer.recv(1)) == 1
        await eventually(let_go)
