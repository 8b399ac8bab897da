"""Probes of a container, asked of a process on this machine."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import psutil
import pytest
from aiohttp import web

from resilientslice.local.processes.ports import LOOPBACK
from resilientslice.local.workloads.probes import (
    SERVING,
    Asker,
    Probe,
    ProbedHealth,
    ProbeSet,
    parse_probe,
    probing_session,
)
from resilientslice.text import is_visible


@pytest.fixture
async def asker(tmp_path: Path) -> AsyncIterator[Asker]:
    async with probing_session() as session:
        yield Asker(session, {"PATH": os.environ["PATH"], "ANSWER": "3"}, tmp_path)


class Service:
    """Answers `/readyz` as told."""

    def __init__(self) -> None:
        self.status = 200
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        return web.Response(status=self.status, text=f"{request.path} {request.headers.get('X-Probe', '')}")


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    served = Service()
    app = web.Application()
    app.router.add_get("/{tail:.*}", served.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    served.port = runner.addresses[0][1]
    yield served
    await runner.cleanup()


def test_ports_of_the_container_become_those_of_the_process() -> None:
    ports = {8080: 20001, "http": 20001, 8099: 20002}
    rendered = {
        "httpGet": {"path": "/x", "port": "http", "httpHeaders": [{"name": "A", "value": "b"}]},
        "periodSeconds": 7,
        "timeoutSeconds": 3,
        "successThreshold": 2,
        "failureThreshold": 4,
    }
    assert parse_probe(rendered, ports, {}) == Probe(
        http_path="/x", http_headers=(("A", "b"),), port=20001, period=7, timeout=3, successes=2, failures=4
    )
    assert parse_probe({"tcpSocket": {"port": 8099}}, ports, {}) == Probe(port=20002, period=10, timeout=1)
    assert parse_probe({"grpc": {"port": 5000}}, ports, {}) == Probe(grpc_service="", port=5000, period=10, timeout=1)
    command = parse_probe({"exec": {"command": ["python", "-V", "/etc/a/x"]}}, ports, {"/etc/a": "/here"})
    assert command is not None
    assert command.command == (sys.executable, "-V", "/here/x")
    assert parse_probe(None, ports, {}) is None


async def test_http_tcp_and_nobody_there(asker: Asker, service: Service) -> None:
    ready = Probe(http_path="/readyz", http_headers=(("X-Probe", "yes"),), port=service.port)
    assert await asker.ask(ready) == ""
    assert await asker.ask(Probe(port=service.port)) == ""
    service.status = 302
    assert await asker.ask(ready) == ""
    service.status = 503
    assert await asker.ask(ready) == "GET /readyz answered 503: /readyz yes"
    assert (
        "refused" in (await asker.ask(Probe(port=1))).lower() or "connect" in (await asker.ask(Probe(port=1))).lower()
    )


async def test_commands_see_the_environment_and_are_ended_in_time(asker: Asker) -> None:
    exits = "import os; print('why not'); raise SystemExit(int(os.environ['ANSWER']))"
    why = await asker.ask(Probe(command=(sys.executable, "-c", exits), timeout=10))
    assert why == f"`{sys.executable}` exited with 3: why not"
    assert await asker.ask(Probe(command=(sys.executable, "-c", "pass"), timeout=10)) == ""
    assert await asker.ask(Probe(command=("sleep", "30"), timeout=0.1)) == "no answer within 0.1 s"
    assert "No such file" in await asker.ask(Probe(command=("no-such-program",)))


@pytest.mark.parametrize("name", ["", "shop.Api", "x" * 200])
async def test_grpc_health_is_asked_by_name(asker: Asker, name: str) -> None:
    asked: list[bytes] = []

    async def check(request: bytes, _: object) -> bytes:
        asked.append(request)
        return SERVING if len(asked) == 1 else b"\x08\x02"

    server = grpc.aio.server()
    handlers = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    probe = Probe(grpc_service=name, port=port)
    assert await asker.ask(probe) == ""
    assert await asker.ask(probe) == "gRPC health: not serving"
    await server.stop(0)
    assert asked[0].endswith(name.encode())
    assert len(asked[0]) == (0 if not name else len(name) + (2 if len(name) < 128 else 3))
    assert (await asker.ask(probe)).startswith("gRPC health: UNAVAILABLE")


async def follow(health: ProbedHealth, reports: list[tuple[bool, str]]) -> str:
    return await health.watch(lambda ready, why: reports.append((ready, why)))


async def test_readiness_falls_after_its_failures_and_returns(asker: Asker, service: Service) -> None:
    probe = Probe(http_path="/readyz", port=service.port, period=0.01, failures=2)
    reports: list[tuple[bool, str]] = []
    task = asyncio.create_task(follow(ProbedHealth(ProbeSet(readiness=probe), asker), reports))
    async with asyncio.timeout(60):
        while reports != [(True, "")]:
            await asyncio.sleep(0.005)
        service.status = 500
        while len(reports) < 2:
            await asyncio.sleep(0.005)
        service.status = 200
        while reports[-1] != (True, ""):
            await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.wait([task])
    assert reports[1][0] is False
    assert "answered 500" in reports[1][1]


async def test_startup_gates_and_both_others_can_end_a_process(asker: Asker, service: Service) -> None:
    service.status = 503
    startup = Probe(http_path="/", port=service.port, period=0.05, failures=2)
    reports: list[tuple[bool, str]] = []
    async with asyncio.timeout(60):
        why = await follow(ProbedHealth(ProbeSet(startup=startup), asker), reports)
    assert why.startswith("not started within 0.1 s: GET / answered 503")
    assert all(not ready for ready, _ in reports)
    liveness = Probe(http_path="/", port=service.port, period=0.01, failures=3)
    async with asyncio.timeout(60):
        why = await follow(ProbedHealth(ProbeSet(liveness=liveness), asker), reports)
    assert why.startswith("not alive: GET / answered 503")
    assert reports[-1] == (True, ""), "without a readiness probe it is ready once it runs"


class Raw:
    """Answers each connection with bytes, as they are; `endless` are repeated until the other side has gone."""

    def __init__(self) -> None:
        self.answer = self.endless = b""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(1)
            writer.write(self.answer)
            await writer.drain()
            while self.endless:
                writer.write(self.endless)
                await writer.drain()
        writer.close()


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    served = Raw()
    server = await asyncio.start_server(served.serve, LOOPBACK, 0)
    served.port = server.sockets[0].getsockname()[1]
    yield served
    server.close()


HEAD = b"HTTP/1.1 503 No\r\n"


@pytest.mark.parametrize(
    ("answer", "endless", "words"),
    [
        (HEAD + b"Content-Length: 3\r\n\r\n\xff\xfe!", b"", "answered 503: \N{REPLACEMENT CHARACTER}"),
        (HEAD + b"Content-Type: text/plain; charset=utf-16\r\nContent-Length: 1\r\n\r\na", b"", "answered 503: a"),
        (HEAD + b"Content-Type: text/plain; charset=no\r\nContent-Length: 1\r\n\r\na", b"", "answered 503: a"),
        (HEAD + b"\r\n\x1b[2J\x1b]0;x\x07", b"", r"answered 503: \x1b[2J\x1b]0;x\x07"),
        (HEAD + b"\r\n", b"x" * 65_536, "answered 503: xxx"),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno", b"", "answered 503: no"),
        (HEAD + b"X: \xff\x9b\r\nSet-Cookie: \xff;=\r\nContent-Length: 0\r\n\r\n", b"", "answered 503: "),
        (HEAD + b"Content-Length: 100\r\n\r\nshort", b"", ""),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"", ""),
        (HEAD, b"X: " + b"y" * 4096 + b"\r\n", ""),
        (b"\xff\xfe\x00garbage\r\n\r\n", b"", ""),
        (b"HTTP/1.1 xyz\r\n\r\n", b"", ""),
        (b"", b"", ""),
        (b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", b"", "answered 101"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", "no answer within"),
    ],
)
async def test_whatever_is_answered_is_a_reason_and_no_error(
    asker: Asker, raw: Raw, answer: bytes, endless: bytes, words: str
) -> None:
    raw.answer, raw.endless = answer, endless
    why = await asker.ask(Probe(http_path="/", port=raw.port, timeout=0.5 if words == "no answer within" else 60))
    assert why
    assert words in why
    assert len(why) < 400
    assert is_visible(why)


async def test_a_redirect_counts_as_an_answer_wherever_it_leads(asker: Asker, raw: Raw) -> None:
    raw.answer = b"HTTP/1.1 302 Found\r\nLocation: http://[::bad\xff/\r\nContent-Length: 0\r\n\r\n"
    assert await asker.ask(Probe(http_path="/", port=raw.port, timeout=60)) == ""


@pytest.mark.parametrize(
    "probe",
    [
        Probe(http_path="/\ud800", port=1),
        Probe(http_path="/", http_headers=(("A", "b\r\nC: d"),), port=1),
        Probe(port=70_000),
        Probe(command=("a\0b",)),
        Probe(grpc_service="x" * 20_000, port=1),
    ],
)
async def test_a_probe_that_can_not_be_asked_says_why(asker: Asker, probe: Probe) -> None:
    why = await asker.ask(probe)
    assert why
    assert is_visible(why)


async def test_a_command_may_write_without_end_and_leave_others_behind(asker: Asker, tmp_path: Path) -> None:
    endless = "import os\nwhile True: os.write(1, b'\\xff\\x1b[2J' * 9999)"
    assert await asker.ask(Probe(command=(sys.executable, "-c", endless), timeout=2)) == "no answer within 2 s"
    leaves = (
        "import subprocess, sys; subprocess.Popen(['sleep', '300']); sys.stdout.buffer.write(b'x' * 99999 + b'\\xff');"
        "sys.exit(4)"
    )
    why = await asker.ask(Probe(command=(sys.executable, "-c", leaves), timeout=60))
    assert why.startswith(f"`{sys.executable}` exited with 4: xxx")
    assert why.endswith("x\N{REPLACEMENT CHARACTER}")
    assert left_in(tmp_path) == []


def left_in(folder: Path) -> list[int]:
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                left.append(process.pid)
    return left
