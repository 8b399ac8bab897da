"""The HTTP interface and its client, with the bench's Envoy in the place of a real one."""

import asyncio
import io
import json

import aiohttp
import pytest
from aiohttp import web

from resilientslice.agent.admin import EnvoyAdmin
from resilientslice.agent.ads_channel import Request
from resilientslice.agent.ads_state import Closed, Opened, State
from resilientslice.agent.answers import AgentError
from resilientslice.agent.api import Api
from resilientslice.agent.client import (
    AgentClient,
    AgentUnreachableError,
    PushRefusedError,
    StaleEpochError,
    SupersededError,
    UnansweredError,
)
from resilientslice.agent.installer import Installer
from resilientslice.agent.metrics import AgentMetrics
from resilientslice.agent.parse import ConfigParser
from resilientslice.agent.resources import ResourceType
from resilientslice.agent.settings import BODY_LIMIT
from resilientslice.agent.sockets import Path, listen
from resilientslice.agent.store import FILE_NAME, load

CLUSTERS, ENDPOINTS, LISTENERS, ROUTES = ResourceType


def config(*names):
    return {"clusters": [{"name": name} for name in names], "endpoints": [], "listeners": [], "routes": []}


class Answering:
    """Subscribes to clusters and listeners and answers each response, with a refusal if it holds a cluster `bad…`."""

    def __init__(self, installer, stream=1):
        self.installer, self.stream, self.silent = installer, stream, False
        installer.dispatch(Opened(stream))
        self.task = asyncio.create_task(self.answer(installer.queue(stream)))
        for kind in (CLUSTERS, LISTENERS):
            installer.dispatch(Request(stream, kind))

    async def answer(self, queue):
        while True:
            send = await queue.get()
            bad = [resource.name for resource in send.resources if resource.name.startswith("bad")]
            if not self.silent:
                error = f"{bad[0]} is bad" if bad else None
                self.installer.dispatch(Request(self.stream, send.kind, frozenset(), send.version, send.nonce, error))

    async def leave(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.installer.dispatch(Closed(self.stream))


@pytest.fixture
async def agent(tmp_path, monkeypatch):
    """An installer behind its interface, and a client. Nobody listens on the admin socket."""
    monkeypatch.chdir(tmp_path)
    async with EnvoyAdmin(Path("admin.sock")) as admin:
        installer = Installer(State(), tmp_path, AgentMetrics())
        runner = web.AppRunner(Api(installer, admin, ConfigParser()).application(), access_log=None)
        await runner.setup()
        await web.SockSite(runner, listen(Path("api.sock"))).start()
        async with AgentClient(Path("api.sock")) as client:
            yield installer, client
        await runner.cleanup()
        await installer.close()


@pytest.fixture
async def envoy(agent):
    answering = Answering(agent[0])
    yield answering
    await answering.leave()


async def call(method, path, **options):
    connector = aiohttp.UnixConnector("api.sock")
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request(method, f"http://agent{path}", **options) as response,
    ):
        return response.status, await response.text()


async def test_accepted_and_on_disk(agent, envoy, tmp_path):
    _, client = agent
    assert not await client.ready()
    result = await client.push(config("a"), (1, 1))
    assert (result.accepted, result.durable, set(result.versions)) == (True, True, set(config()))
    assert await client.ready()
    assert load(tmp_path, ConfigParser()).config.digest == result.digest
    snapshot = await client.snapshot()
    assert (snapshot.digest, snapshot.acked, snapshot.epoch) == (result.digest, result.digest, (1, 1))
    assert "admin.sock" in snapshot.envoy.error, "an Envoy that says nothing is reported, not an error"
    assert snapshot.clusters == {}


async def test_rejected_names_what_serves_and_raises_the_floor_on_disk(agent, envoy, tmp_path):
    _, client = agent
    good = await client.push(config("a"), (1, 1))
    result = await client.push(config("a", "bad"), (1, 2))
    assert (result.accepted, result.type, result.message) == (False, "clusters", "bad is bad")
    assert result.serving == good.digest
    assert (await client.snapshot()).rejected.message == "bad is bad"
    await asyncio.gather(*agent[0]._tasks)
    stored = load(tmp_path, ConfigParser()).stored
    assert (stored.epoch, stored.floor) == ((1, 1), (1, 2))


async def test_a_retry_asks_envoy_once_more(agent, envoy):
    _, client = agent
    first = await client.push(config("bad"), (1, 1))
    assert (first.accepted, first.serving) == (False, "")
    again = await client.push(config("bad"), (1, 2))
    retried = await client.push(config("bad"), (1, 3), retry=True)
    assert (again.message, retried.message) == (first.message, first.message)
    _, text = await call("GET", "/metrics")
    assert 'rslice_agent_nacks_total{type="clusters"} 2.0' in text


async def test_stale_and_superseded(agent, envoy):
    installer, client = agent
    await client.push(config("a"), (2, 1))
    with pytest.raises(StaleEpochError) as stale:
        await client.push(config("b"), (1, 9))
    assert stale.value.held == (2, 1)
    envoy.silent = True
    pushes = []
    for number in (2, 3, 4):
        pushes.append(asyncio.create_task(client.push(config(f"c{number}"), (2, number), timeout=2.0)))
        while installer.state.floor != (2, number):
            await asyncio.sleep(0)
    results = await asyncio.gather(*pushes, return_exceptions=True)
    assert [type(result) for result in results] == [UnansweredError, SupersededError, UnansweredError]
    assert results[1].by == installer.state.floor_digest


async def test_unanswered_is_kept_and_given_to_the_envoy_that_comes(agent):
    installer, client = agent
    with pytest.raises(UnansweredError, match="no Envoy is connected"):
        await client.push(config("a"), (1, 1), timeout=0.02)
    envoy = Answering(installer)
    while not await client.ready():
        await asyncio.sleep(0)
    await envoy.leave()
    status, text = await call("GET", "/readyz")
    assert (status, json.loads(text)["reason"]) == (503, "no Envoy is connected")


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/config", b"{", 400, "not JSON"),
        ("/config", b'{"epoch": [1, 1], "config": []}', 400, "must be an object"),
        ("/config?timeout_ms=no", b'{"epoch": [1, 1], "config": {}}', 400, "timeout_ms"),
        ("/config", b" " * (BODY_LIMIT + 1), 413, f"larger than {BODY_LIMIT} bytes"),
        ("/config", b'{"epoch": [1, 1], "config": {"clusters": [{}]}}' + b" " * 300_000, 422, "has no name"),
        ("/config?timeout_ms=1", b'{"epoch": [1, 1], "config": {}}', 504, "no Envoy is connected"),
        ("/nowhere", b"", 404, "PUT /nowhere: Not Found"),
        ("/healthz", b"", 405, "Method Not Allowed"),
    ],
)
async def test_errors_are_json_with_words(agent, path, body, status, words):
    answer = await call("PUT", path, data=io.BytesIO(body))
    assert answer[0] == status
    assert words in json.loads(answer[1])["error"]


async def test_the_client_says_what_was_refused(agent):
    _, client = agent
    with pytest.raises(PushRefusedError, match="400: ") as refused:
        await client.push([], (1, 1))
    assert refused.value.status == 400
    unreadable = await client.push({"clusters": [{}]}, (1, 1))
    assert (unreadable.accepted, unreadable.path) == (False, "config.clusters[0]")


async def test_a_full_disk_does_not_stop_an_install(agent, envoy, tmp_path, monkeypatch):
    _, client = agent

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("resilientslice.agent.installer.save", full)
        result = await client.push(config("a"), (1, 1))
        assert (result.accepted, result.durable) == (True, False)
        assert result.durable_reason == f"{tmp_path}: No space left on device"
        assert (await client.snapshot()).durable is False
        assert "rslice_agent_durable 0.0" in (await call("GET", "/metrics"))[1]
    again = await client.push(config("a"), (1, 2))
    assert again.durable
    assert (tmp_path / FILE_NAME).exists()


async def test_health_metrics_and_state(agent, envoy):
    _, client = agent
    await client.push(config("a"), (1, 1))
    assert await call("GET", "/healthz") == (200, '{"status": "ok"}')
    _, text = await call("GET", "/metrics")
    for line in (
        'rslice_agent_pushes_total{outcome="accepted"} 1.0',
        'rslice_agent_acks_total{type="clusters"} 1.0',
        "rslice_agent_connected 1.0",
        "rslice_agent_durable 1.0",
        "rslice_agent_install_seconds_count 1.0",
    ):
        assert line in text.splitlines()
    state = json.loads((await call("GET", "/config"))[1])
    assert state["streams"][0]["stage"] == "done"
    assert state["streams"][0]["types"]["clusters"] == {"subscribed": True, "acknowledged": 1, "outstanding": False}


async def test_nobody_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with AgentClient(Path("none.sock")) as client:
        with pytest.raises(AgentUnreachableError, match=r"none\.sock: the agent does not answer"):
            await client.ready()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}"])
async def test_an_answer_that_makes_no_sense(tmp_path, monkeypatch, body):
    monkeypatch.chdir(tmp_path)

    async def answer(_):
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/snapshot", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listen(Path("api.sock"))).start()
    async with AgentClient(Path("api.sock")) as client:
        with pytest.raises(AgentError):
            await client.snapshot()
    await runner.cleanup()
