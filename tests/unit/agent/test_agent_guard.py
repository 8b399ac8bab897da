"""What the agent's guard lets in over TCP: the signature is of headers, so a body is judged before it is read."""

import time

import pytest
from aiohttp import ClientSession, web

from resilientslice.agent.guard import Guard
from resilientslice.agent.keys import KeyRing
from resilientslice.agent.metrics import AgentMetrics
from resilientslice.agent.settings import BODY_LIMIT
from resilientslice.agent.signing import Asked, SigningKeys, body_digest, request_headers

KEY = b"k" * 64


@pytest.fixture
async def address(tmp_path):
    (tmp_path / "current").write_bytes(KEY)
    guard = Guard(KeyRing(tmp_path), "uid", AgentMetrics())

    async def put(request):
        return web.json_response({"size": len(await request.read())})

    app = web.Application(middlewares=[guard.middleware], client_max_size=BODY_LIMIT)
    app.add_routes([web.put("/config", put)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/config"
    await runner.cleanup()


async def pieces(body):
    for at in range(0, len(body), 1024):
        yield body[at : at + 1024]


@pytest.mark.parametrize(
    ("said", "signed", "status", "reason"),
    [
        (True, b"body", 200, None),
        (False, b"body", 413, "oversized"),  # its size is not said
        (True, b"another", 400, "body"),
        (True, None, 401, "unsigned"),
    ],
)
async def test_a_body_counts_when_its_size_is_said_and_it_is_the_one_that_was_signed(
    address, said, signed, status, reason
):
    headers = {}
    if signed is not None:
        asked = Asked("PUT", "/config", "uid", time.time_ns() // 1_000_000, "0" * 32, body_digest(signed))
        headers = request_headers(SigningKeys.of(KEY), asked)
    body = b"body" if said else pieces(b"body")
    async with ClientSession() as session, session.put(address, data=body, headers=headers) as response:
        answer = await response.json()
    assert (response.status, answer.get("reason")) == (status, reason)
