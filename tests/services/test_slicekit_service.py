"""A stranger's service under slicekit: the five lines of its README, and what they give."""

import asyncio
import json
import re
import signal
import socket
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

import slicekit.check
from slicekit import Environment, Kit, Need, SettingError, Settings
from slicekit.logs import json_renderer

README = Path(__file__).parents[2] / "services" / "slicekit" / "README.md"
ROUTES = """
from aiohttp import web as _web

async def hello(request):
    return _web.json_response({"hello": request.match_info["name"]})

async def crash(request):
    raise RuntimeError("secret of the house")

routes = [_web.get("/hello/{name}", hello), _web.get("/crash", crash)]
"""


def five_lines() -> str:
    match = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert match is not None
    return match[1]


async def request(port: int, raw: bytes) -> bytes:
    """Sends bytes that no well-behaved client would."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def test_it_is_five_lines() -> None:
    assert len([line for line in five_lines().splitlines() if line.strip()]) == 5


@pytest.fixture
def stranger(spawn: Any, tmp_path: Path) -> Any:
    (tmp_path / "stranger.py").write_text(ROUTES + five_lines())

    def start(**env: str) -> Any:
        return spawn("stranger", {"PYTHONPATH": str(tmp_path)} | env)

    return start


async def test_what_a_stranger_gets(stranger: Any, await_ready: Any, http: aiohttp.ClientSession) -> None:
    service = stranger(RSLICE_TRACK="canary")
    await await_ready(service.url)
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {"traceparent": parent, "X-Tenant": "gold"}
    async with http.get(f"{service.url}/hello/you", headers=headers) as response:
        assert (response.status, response.headers["X-Served-By"]) == (200, "greetings@canary")
    async with http.get(f"{service.url}/crash", headers=headers) as response:
        problem = await response.json()
        assert (response.status, response.content_type) == (500, "application/problem+json")
        assert problem["trace_id"] == parent.split("-")[1]
        assert "secret" not in json.dumps(problem)
    async with http.post(f"{service.url}/hello/you") as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")
        assert response.content_type == "application/problem+json"
    for tenant in (b"a\x0bb", b"a\x1b[31mb", b"\xff\xfe", b"a\x85b", b"t" * 129):
        raw = b"GET /hello/you HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Tenant: " + tenant + b"\r\n\r\n"
        assert b" 400 " in (await request(service.port, raw)).splitlines()[0]
    service.popen.send_signal(signal.SIGTERM)
    assert await service.exit_code() == 0

    lines = [json.loads(line) for line in service.log.read_bytes().splitlines()]
    hello = next(line for line in lines if line["event"] == "request")
    expected = {"app": "greetings", "route": "/hello/{name}", "tenant": "gold", "track": "canary", "status": 200}
    assert hello.items() >= expected.items()
    assert hello["trace_id"] == parent.split("-")[1]
    assert hello["duration_ms"] >= 0
    crash = next(line for line in lines if line["event"] == "unexpected error")
    assert crash["trace_id"] == parent.split("-")[1]
    assert "secret of the house" in crash["exception"]


@pytest.mark.parametrize("value", ["a\nb", "a\x00b", "a\u2028b", "\udcff", "a\x1b[31m", 'a"b'])
def test_nothing_breaks_a_log_line(value: str) -> None:
    line = str(json_renderer()(None, "info", {"tenant": value}))
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line) == {"tenant": value}


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"PORT": ""}, "PORT: is not set"),
        ({"PORT": "65536"}, "PORT: '65536' is not a whole number from 0 to 65535"),
        ({"PORT": "http"}, "PORT: 'http' is not a whole number"),
        ({"PORT": "\u0661"}, "PORT: "),
        ({"ADMIN_PORT": "-1"}, "ADMIN_PORT: "),
        ({"DRAIN_SECONDS": "soon"}, "DRAIN_SECONDS: "),
        ({"DRAIN_SECONDS": "301"}, "DRAIN_SECONDS: '301' must be from 0ms to 300s"),
        ({"REQUEST_TIMEOUT": "0"}, "REQUEST_TIMEOUT: '0' must be from 1ms"),
        ({"RSLICE_TRACK": "blue"}, "RSLICE_TRACK: 'blue' is not one of stable, canary"),
        ({"TENANT_HEADER": "X Tenant"}, "TENANT_HEADER: 'X Tenant' is not a header name"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL: "),
        ({"FAIL_MODE": "yes"}, "FAIL_MODE: "),
        ({"SLOW_MODE": "delay=2"}, "SLOW_MODE: '2' is not a duration"),
    ],
)
def test_a_wrong_variable_is_named(env: dict[str, str], words: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.read(Environment({"PORT": "8080"} | env), name="api", needs_port=True)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "redis://u:hunter2@", "http://u:hunter2@host", "redis://u:hunter2@host:port", "hunter2"]
)
def test_a_wrong_url_is_named_and_not_shown(url: str) -> None:
    with pytest.raises(SettingError, match=r"REDIS_URL: .* give .*redis://host:6379") as caught:
        Environment({"REDIS_URL": url}).url("REDIS_URL", "redis", example="redis://host:6379")
    assert "hunter2" not in str(caught.value)


async def test_a_start_that_cannot_be(stranger: Any) -> None:
    """One line on stderr, exit code 2: a wrong variable, a port in use."""
    service = stranger(RSLICE_TRACK="blue")
    assert await service.exit_code() == 2
    assert service.log.read_text().splitlines() == [
        "error: greetings: RSLICE_TRACK: 'blue' is not one of stable, canary"
    ]
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        service = stranger(PORT=str(taken.getsockname()[1]))
        assert await service.exit_code() == 2
    (line,) = service.log.read_text().splitlines()
    assert line.startswith("error: greetings: PORT: cannot listen on 127.0.0.1 port ")
    assert "Address already in use" in line


class Shaky:
    """A store that is there when it is told to be."""

    name = "shaky"

    def __init__(self) -> None:
        self.reason: str | None = "still asleep"

    async def open(self) -> None:
        await self.check()

    async def close(self) -> None:
        self.reason = "closed"

    async def check(self) -> None:
        if self.reason:
            raise ConnectionError(self.reason)


async def ready(http: aiohttp.ClientSession, base: str) -> tuple[int, Any]:
    async with http.get(f"{base}/readyz") as response:
        return response.status, await response.json()


@pytest.mark.parametrize(("need", "after"), [(Need.ALWAYS, 503), (Need.AT_START, 200)])
async def test_readiness_says_why(
    launch: Any, http: aiohttp.ClientSession, eventually: Any, need: Need, after: int
) -> None:
    store = Shaky()

    def build(kit: Kit) -> web.Application:
        kit.add_store(store, need)
        return web.Application()

    service = await launch(build, "hello", ready=False)

    async def explained() -> Any:
        status, report = await ready(http, service.url)
        assert status == 503
        return report if report["checks"]["shaky"]["reason"] == "still asleep" else None

    report = await eventually(explained)
    assert (report["ready"], report["phase"]) == (False, "starting")
    assert report["checks"]["starting"]["reason"] == "starting: waiting for shaky"
    asked = await asyncio.to_thread(slicekit.check.ask, service.server.admin_port)
    assert asked == (False, "starting: starting: waiting for shaky; shaky: still asleep")
    async with http.get(f"{service.url}/healthz") as response:
        assert response.status == 200

    store.reason = None

    async def is_ready() -> bool:
        return (await ready(http, service.admin))[0] == 200

    await eventually(is_ready)
    store.reason = "gone again"

    async def noticed() -> Any:
        status, report = await ready(http, service.url)
        return (status, report) if report["checks"]["shaky"]["reason"] == "gone again" else None

    status, report = await eventually(noticed)
    assert (status, report["ready"]) == (after, after == 200)


async def test_draining_says_so_and_a_second_signal_cuts_it_short(
    stranger: Any, await_ready: Any, http: aiohttp.ClientSession, eventually: Any
) -> None:
    service = stranger(DRAIN_SECONDS="60")
    await await_ready(service.url)
    service.popen.send_signal(signal.SIGTERM)

    async def draining() -> bool:
        status, report = await ready(http, service.url)
        return status == 503 and report["checks"]["draining"]["reason"] == "draining: told to stop"

    await eventually(draining)
    async with http.get(f"{service.url}/hello/you") as response:
        assert (response.status, response.headers["Connection"]) == (200, "close")
    service.popen.send_signal(signal.SIGINT)
    assert await service.exit_code() == 0


async def test_a_check_that_hangs_is_a_failing_check(launch: Any, http: aiohttp.ClientSession) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    def build(kit: Kit) -> web.Application:
        kit.add_check("oracle", hang)
        return web.Application()

    service = await launch(build, "hello", ready=False)
    status, report = await ready(http, service.url)
    assert status == 503
    assert report["checks"]["oracle"]["reason"] == "no answer within 0.8 s"


async def test_the_exec_probe(stranger: Any, await_ready: Any) -> None:
    service = stranger()
    await await_ready(service.url)

    async def probe(port: int) -> tuple[int | None, str]:
        command = [sys.executable, "-m", "slicekit.check"]
        process = await asyncio.create_subprocess_exec(
            *command, env={"ADMIN_PORT": str(port)}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        return process.returncode, output.decode()

    assert await probe(service.admin_port) == (0, "ready\n")
    code, words = await probe(1)
    assert (code, words.startswith("not ready: the admin port 1 does not answer")) == (1, True)
    assert (await probe(0))[0] == 1


async def test_the_admin_port_is_bound_to_localhost(launch: Any) -> None:
    service = await launch(web.Application(), "hello", {"HOST": "0.0.0.0"})
    (address,) = service.server._admin._runner.addresses
    assert address[0] == "127.0.0.1"


async def samples(http: aiohttp.ClientSession, base: str) -> dict[str, list[dict[str, str]]]:
    async with http.get(f"{base}/metrics") as response:
        text = await response.text()
    return {
        family.name: [sample.labels for sample in family.samples] for family in text_string_to_metric_families(text)
    }


async def test_labels_stay_few_whatever_callers_send(launch: Any, http: aiohttp.ClientSession) -> None:
    app = web.Application()

    async def item(_: web.Request) -> web.Response:
        return web.Response()

    app.router.add_get("/items/{id}", item)
    service = await launch(app, "shop", {"METRICS_TENANTS": "3"})
    for number in range(20):
        for path, method in (
            (f"/items/{number}", "GET"),
            (f"/none/{number}", "GET"),
            ("/items/1", ("PROPFIND", "LOCK")[number % 2]),
        ):
            async with http.request(method, service.url + path, headers={"X-Tenant": f"tenant-{number}"}) as response:
                assert response.status in {200, 404, 405}
    found = await samples(http, service.url)
    requests = found["http_requests"]
    assert {labels["route"] for labels in requests} == {"/items/{id}", "unmatched"}
    assert {labels["method"] for labels in requests} == {"GET", "other"}
    assert {labels["tenant"] for labels in requests} == {"tenant-0", "tenant-1", "tenant-2", "other"}
    assert {frozenset(labels) - {"le"} for labels in found["http_request_duration_seconds"]} == {
        frozenset({"app", "route", "method", "track"})
    }
    assert found["http_requests_in_flight"] == [{"app": "shop"}]


async def test_a_probe_of_the_strangers_own_stays_his(launch: Any, http: aiohttp.ClientSession) -> None:
    app = web.Application()

    async def own(_: web.Request) -> web.Response:
        return web.Response(text="mine")

    app.router.add_get("/healthz", own)
    service = await launch(app, "hello")
    async with http.get(f"{service.url}/healthz") as response:
        assert await response.text() == "mine"
