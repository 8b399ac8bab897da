"""Faults: drawn, applied, and over by themselves. Time and chance are given, not waited for."""

import re
import socket
from contextlib import closing
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from slicekit.durations import format_seconds, parse_seconds
from slicekit.faults import Effect, Fault, FaultKind, Faults, parse_fault_mode


class Draws:
    """Chance that says what it is told to say."""

    def __init__(self, *values: float) -> None:
        self.values = list(values)

    def __call__(self) -> float:
        return self.values.pop(0)


def test_a_fault_strikes_below_its_probability_only(clock: Any) -> None:
    faults = Faults(clock=clock, draw=Draws(0.49, 0.5))
    faults.put(Fault(FaultKind.FAIL, probability=0.5, status=500))
    assert [faults.effect().status, faults.effect().status] == [500, None]


def test_slow_and_fail_strike_together(clock: Any) -> None:
    faults = Faults(clock=clock, draw=Draws(0.0, 0.0))
    faults.put(Fault(FaultKind.FAIL))
    faults.put(Fault(FaultKind.SLOW, delay=2.0))
    assert faults.effect() == Effect(delay=2.0, status=503)


def test_a_fault_expires(clock: Any) -> None:
    faults = Faults(clock=clock, draw=lambda: 0.0)
    faults.put(Fault(FaultKind.FAIL, lasts=30.0))
    clock.now += 29.9
    assert faults.effect().status == 503
    clock.now += 0.1
    assert faults.effect() == Effect(0.0, None)
    assert faults.active() == []


def test_probability_zero_never_strikes(clock: Any) -> None:
    faults = Faults(clock=clock, draw=lambda: 0.0)
    faults.put(Fault(FaultKind.FAIL, probability=0.0))
    assert faults.effect().status is None


def test_a_mode_is_read() -> None:
    fault = parse_fault_mode(FaultKind.FAIL, "probability=0.5, status=500, for=1m30s")
    assert fault == Fault(FaultKind.FAIL, probability=0.5, status=500, lasts=90.0)
    assert parse_fault_mode(FaultKind.SLOW, "delay=250ms") == Fault(FaultKind.SLOW, delay=0.25, lasts=30.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yes", "'yes' is not one of"),
        ("colour=red", "is not one of"),
        ("status=500,status=501", "status is given twice"),
        ("probability=2", "probability 2 must be from 0 to 1"),
        ("probability=nan", "probability nan must be"),
        ("probability=often", "must be a number"),
        ("status=200", "status 200 must be from 400 to 599"),
        ("delay=6m", "delay 360s must be"),
        ("for=11m", "at most 10m"),
        ("for=0s", "more than 0s"),
        ("for=30", "'30' is not a duration"),
    ],
)
def test_a_mode_that_is_wrong_says_where(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_fault_mode(FaultKind.FAIL, text)


@pytest.mark.parametrize(("text", "seconds"), [("250ms", 0.25), ("10s", 10), ("1m30s", 90), ("1.5h", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds
    assert parse_seconds(format_seconds(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1 s", "1d", "\u0661s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_seconds(text)


@pytest.fixture
async def service(launch: Any) -> Any:
    app = web.Application()
    app.router.add_get("/", _hello)
    return await launch(app, "hello")


async def _hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


async def status(http: aiohttp.ClientSession, url: str) -> int:
    async with http.get(url) as response:
        return response.status


async def test_a_fault_by_the_admin_port(service: Any, http: aiohttp.ClientSession) -> None:
    body = {"probability": 1, "status": 500, "for": "10s"}
    async with http.put(f"{service.admin}/faults/fail", json=body) as response:
        assert response.status == 200
    async with http.get(service.url) as response:
        assert (response.status, response.headers["X-Fault"]) == (500, "fail")
    for probe in ("healthz", "readyz", "metrics"):
        assert await status(http, f"{service.url}/{probe}") == 200
    async with http.get(f"{service.admin}/faults") as response:
        assert (await response.json())["fail"]["status"] == 500
    async with http.delete(f"{service.admin}/faults") as response:
        assert response.status == 204
    assert await status(http, service.url) == 200
    async with http.get(f"{service.admin}/faults") as response:
        assert await response.json() == {}


@pytest.mark.parametrize(
    ("kind", "body", "answer"),
    [
        ("fail", {"probability": 2}, 422),
        ("fail", {"for": "1h"}, 422),
        ("slow", {"delay": "long"}, 422),
        ("slow", {"delay": 2}, 422),
        ("fail", {"extra": 1}, 422),
        ("fail", [], 422),
        ("explode", {}, 404),
    ],
)
async def test_a_wrong_fault_is_refused(
    service: Any, http: aiohttp.ClientSession, kind: str, body: Any, answer: int
) -> None:
    async with http.put(f"{service.admin}/faults/{kind}", json=body) as response:
        assert (response.status, response.content_type) == (answer, "application/problem+json")
    assert service.kit.faults.active() == []


async def test_a_slow_answer_is_slow(service: Any, http: aiohttp.ClientSession) -> None:
    service.kit.faults.put(Fault(FaultKind.SLOW, delay=0.5))
    with pytest.raises(TimeoutError):
        await http.get(service.url, timeout=aiohttp.ClientTimeout(total=0.1))


async def test_refused_connections_come_back_by_themselves(
    service: Any, http: aiohttp.ClientSession, eventually: Any
) -> None:
    """Also the connections that were open already are closed; the port stays the same."""
    assert await status(http, service.url) == 200

    def refused() -> bool:
        with closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", service.server.port)) != 0

    async def is_refused() -> bool:
        return refused()

    async def is_back() -> bool:
        return not refused()

    async with http.put(f"{service.admin}/faults/refuse", json={"for": "5s"}) as response:
        assert response.status == 200
    await eventually(is_refused)
    with pytest.raises(aiohttp.ClientConnectorError):
        await status(http, service.url)
    assert await status(http, f"{service.admin}/healthz") == 200
    await eventually(is_back)
    assert await status(http, service.url) == 200


async def test_faults_from_the_environment(launch: Any, http: aiohttp.ClientSession) -> None:
    app = web.Application()
    app.router.add_get("/", _hello)
    service = await launch(app, "hello", {"FAIL_MODE": "status=502,for=60s", "SLOW_MODE": "delay=1ms"})
    assert await status(http, service.url) == 502
    assert {fault.kind for fault in service.kit.faults.active()} == {FaultKind.FAIL, FaultKind.SLOW}
