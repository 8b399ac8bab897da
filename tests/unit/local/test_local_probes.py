"""Probes of a container, asked of a process on this machine."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import grpc.aio
import pytest
from aiohttp import web

from resilientslice.local.ports import LOOPBACK
from resilientslice.local.probes import SERVING, Asker, Probe, ProbedHealth, ProbeSet, parse_probe


@pytest.fixture
async def asker(tmp_path: Path) -> AsyncIterator[Asker]:
    async with aiohttp.ClientSession() as session:
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
    async with asyncio.timeout(5):
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
    async with asyncio.timeout(5):
        why = await follow(ProbedHealth(ProbeSet(startup=startup), asker), reports)
    assert why.startswith("not started within 0.1 s: GET / answered 503")
    assert all(not ready for ready, _ in reports)
    liveness = Probe(http_path="/", port=service.port, period=0.01, failures=3)
    async with asyncio.timeout(5):
        why = await follow(ProbedHealth(ProbeSet(liveness=liveness), asker), reports)
    assert why.startswith("not alive: GET / answered 503")
    assert reports[-1] == (True, ""), "without a readiness probe it is ready once it runs"
