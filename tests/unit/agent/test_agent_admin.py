"""Envoy's answers on its admin interface, as Envoy 1.40 gives them."""

import asyncio
import json

import pytest
from aiohttp import web

from resilientslice.agent.admin import (
    EnvoyAdmin,
    EnvoyInfo,
    Readings,
    parse_counters,
    parse_ejected,
    parse_info,
)
from resilientslice.agent.sockets import listen


def stats(**values):
    return {"stats": [{"name": name, "value": value} for name, value in values.items()] + [{"histograms": {}}]}


def test_counters_by_owner():
    data = stats(
        **{
            "cluster.pay-stable.upstream_rq_2xx": 7,
            "cluster.pay-stable.internal.upstream_rq_2xx": 7,
            "cluster.pay-stable.external.upstream_rq_2xx": 7,
            "cluster.pay-stable.canary.upstream_rq_2xx": 7,
            "cluster.pay.v1.upstream_rq_retry": 1,
            "cluster.pay-stable.outlier_detection.ejections_active": 2,
            "cluster.pay-stable.membership_healthy": 3,
            "http.front.downstream_rq_5xx": 4,
            "tenants.http_local_rate_limit.rate_limited": 5,
            "server.live": 1,
        }
    )
    assert parse_counters(data) == {
        "clusters": {
            "pay-stable": {"upstream_rq_2xx": 7, "ejections_active": 2, "membership_healthy": 3},
            "pay.v1": {"upstream_rq_retry": 1},
        },
        "http": {"front": {"downstream_rq_5xx": 4}},
        "ratelimit": {"tenants": {"rate_limited": 5}},
    }
    assert parse_counters({}) == {"clusters": {}, "http": {}, "ratelimit": {}}


def test_ejected_hosts():
    def host(address, **health):
        return {"address": address, "health_status": health}

    tcp = {"socket_address": {"address": "10.0.0.1", "port_value": 80}}
    data = {
        "cluster_statuses": [
            {"name": "b", "host_statuses": [host({"pipe": {"path": "p"}}, failed_outlier_check=True)]},
            {
                "name": "a",
                "host_statuses": [host(tcp, failed_outlier_check=True), host(tcp, eds_health_status="HEALTHY")],
            },
            {"name": "c"},
        ]
    }
    assert parse_ejected(data) == (("a", "10.0.0.1:80"), ("b", "p"))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            {"version": "9e55/1.40.0/Clean/RELEASE/BoringSSL", "state": "LIVE", "uptime_current_epoch": "61s"},
            EnvoyInfo("1.40.0", 61, live=True),
        ),
        ({"version": "9e55/1.40.0", "state": "DRAINING", "uptime_current_epoch": "0s"}, EnvoyInfo("1.40.0", 0)),
        ({}, EnvoyInfo()),
    ],
)
def test_info(data, expected):
    assert parse_info(data) == expected


async def in_pieces(request, body):
    """As a busy Envoy answers, or one with much to say: the reader sees the first piece before there is a second."""
    response = web.StreamResponse()
    await response.prepare(request)
    for piece in (body[:10], body[10:]):
        await response.write(piece)
        await asyncio.sleep(0.02)
    return response


@pytest.fixture
async def admin(tmp_path, monkeypatch):
    """A client, and the answers of the interface that it asks."""
    monkeypatch.chdir(tmp_path)
    answers = {
        "/server_info": {"version": "9e55/1.40.0", "state": "LIVE"},
        "/stats": stats(**{"http.front.downstream_rq_2xx": 3}),
        "/clusters": {},
    }

    async def answer(request):
        body = answers[request.path]
        if body is None:
            return web.Response(status=500)
        return await in_pieces(request, json.dumps(body).encode())

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    path = tmp_path.__class__("admin.sock")
    await web.SockSite(runner, listen(path)).start()
    async with EnvoyAdmin(path) as client:
        yield client, answers
    await runner.cleanup()


async def test_reading(admin):
    client, _ = admin
    info, readings = await client.read()
    assert info == EnvoyInfo("1.40.0", live=True)
    assert readings.counters["http"] == {"front": {"downstream_rq_2xx": 3}}


async def test_an_answer_has_a_limit(admin, monkeypatch):
    client, _ = admin
    monkeypatch.setattr("resilientslice.agent.admin._ANSWER_LIMIT", 20)
    info, readings = await client.read()
    assert "larger than 20 bytes" in info.error
    assert readings == Readings()


async def test_an_error_is_reported_not_raised_when_reading(admin):
    client, answers = admin
    answers["/clusters"] = None
    info, readings = await client.read()
    assert "admin.sock/clusters: 500" in info.error
    assert readings == Readings()


async def test_nobody_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with EnvoyAdmin(tmp_path.__class__("none.sock")) as client:
        info, _ = await client.read()
    assert "none.sock" in info.error
    assert not info.live
