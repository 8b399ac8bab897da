"""The edge of the fleet over TCP: bodies of any shape and size, answers that never end, and what counts of them."""

import asyncio
import dataclasses
import gzip
import json
import time

import pytest
from aiohttp import web

from resilientslice.agent.resources import json_digest
from resilientslice.agent.signing import SIGNATURE_HEADER, Asked, SigningKeys, signatures
from resilientslice.envoys import Accepted, AgentPod, Fleet, Rejected, Unanswered, Unreachable, new_key, wire
from resilientslice.envoys.reports import DEFECT, FOREIGN_KEY, NO_ANSWER, Unheard

KEY = ("shop", "shop")
CONFIG = {"clusters": [], "endpoints": [], "listeners": [], "routes": []}
DIGEST = json_digest(CONFIG)
OTHER = "b" * 64
BROKEN = "answers what is not understood: "


class Answering:
    """An agent that answers with `body`, signed, in one of several ways."""

    def __init__(self, keys):
        self.keys = keys
        self.body, self.status, self.how, self.headers = b"{}", 200, "length", {}
        self.requests = 0

    async def __aenter__(self):
        self.runner = web.ServerRunner(web.Server(self.serve, access_log=None), shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.pod = AgentPod("pod", "uid", f"127.0.0.1:{self.runner.addresses[0][1]}", ready=True)
        return self

    async def __aexit__(self, *_):
        await self.runner.cleanup()

    async def serve(self, request):
        self.requests += 1
        digest = request.headers["X-Rslice-Digest"]
        asked = Asked(request.method, request.path, "uid", 0, request.headers["X-Rslice-Nonce"], digest)
        await request.read()
        headers = {SIGNATURE_HEADER: signatures(self.keys, asked.answer(self.status, self.body)), **self.headers}
        if self.how == "length":
            return web.Response(body=self.body, status=self.status, headers=headers)
        answer = web.StreamResponse(status=self.status, headers=headers)
        if self.how == "chunked":
            answer.enable_chunked_encoding()
        else:  # neither a length nor chunks: it ends with the connection
            answer.force_close()
        await answer.prepare(request)
        for at in range(0, len(self.body), 64 * 1024):
            await answer.write(self.body[at : at + 64 * 1024])
        if self.how == "endless":
            await asyncio.Event().wait()
        await answer.write_eof()
        return answer


@pytest.fixture
def keys():
    return SigningKeys.of(new_key().encode())


@pytest.fixture
async def agent(keys):
    async with Answering(keys) as made:
        yield made


@pytest.fixture
async def failures():
    return []


@pytest.fixture
async def fleet(agent, keys, failures):
    async with Fleet(lambda *failure: failures.append(failure)) as made:
        made.set_members(KEY, [agent.pod], keys)
        yield made


def unheard(fleet):
    return fleet.view(KEY).members[0].unheard


async def push(fleet, agent, body, status=200):
    agent.body, agent.status = body if isinstance(body, bytes) else json.dumps(body).encode(), status
    report = await fleet.push(KEY, CONFIG, DIGEST, (1, 1))
    return report.outcomes["pod"]


@pytest.mark.parametrize("how", ["length", "chunked", "unsaid"])
async def test_an_answer_counts_whether_its_length_is_said_or_not(fleet, agent, how):
    agent.how = how
    assert await push(fleet, agent, {"accepted": True, "digest": DIGEST}) == Accepted()


@pytest.mark.parametrize("how", ["length", "chunked", "unsaid"])
@pytest.mark.parametrize("size", [wire.ANSWER_LIMIT + 1, 4 * wire.ANSWER_LIMIT])
async def test_an_answer_that_is_too_large_is_given_up(fleet, agent, how, size):
    agent.how = how
    outcome = await push(fleet, agent, b" " * size)
    assert outcome.unheard == Unheard(f"{BROKEN}it is larger than {wire.ANSWER_LIMIT} bytes", broken=True)


async def test_an_answer_as_large_as_may_be_counts(fleet, agent):
    body = json.dumps({"accepted": True, "digest": DIGEST}).encode()
    assert await push(fleet, agent, body.ljust(wire.ANSWER_LIMIT)) == Accepted()


async def test_nothing_is_unpacked(fleet, agent):
    """What is packed may be a thousand times as large."""
    agent.headers = {"Content-Encoding": "gzip"}
    outcome = await push(fleet, agent, gzip.compress(json.dumps({"accepted": True, "digest": DIGEST}).encode()))
    assert outcome.unheard.broken


async def test_an_answer_that_does_not_end_costs_its_time_out_alone(fleet, agent):
    agent.how, agent.body = "endless", b"{"
    began = time.monotonic()
    report = await fleet.push(KEY, CONFIG, DIGEST, (1, 1), timeout=0.2)
    assert report.outcomes["pod"].unheard == NO_ANSWER
    assert time.monotonic() - began < 100


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, {"accepted": True, "digest": DIGEST}, Accepted()),
        (
            200,
            {"accepted": True, "digest": DIGEST, "durable": False, "durable_reason": "full"},
            Accepted(False, "full"),
        ),
        (200, {"accepted": True, "digest": OTHER}, f"{BROKEN}digest is not of the configuration that was sent"),
        (200, {"accepted": True}, f"{BROKEN}digest is not of the configuration that was sent"),
        (200, {"digest": DIGEST}, f"{BROKEN}accepted is not true or false"),
        (422, {"accepted": False, "message": "no\x1b[2J"}, Rejected("no [2J")),
        (422, {"accepted": False, "digest": OTHER}, f"{BROKEN}digest is not of the configuration that was sent"),
        (422, {"accepted": False, "serving": "old"}, f"{BROKEN}serving is not a digest of 64 hexadecimal digits"),
        (422, {"accepted": True, "digest": DIGEST}, NO_ANSWER.why),
        (409, {"held": [1, 1 << 53]}, f"{BROKEN}held is not a whole number in range"),
        (409, {"held": 7}, f"{BROKEN}held is not [term, sequence]"),
        (409, {"error": "superseded"}, Unanswered("superseded")),
        (504, {"error": ["no"]}, f"{BROKEN}error is not text"),
        (500, {"error": "x" * 9000}, NO_ANSWER.why),
        (500, b"<html>", f"{BROKEN}the answer is not JSON"),
    ],
)
async def test_what_the_answer_to_a_push_says(fleet, agent, failures, status, body, outcome):
    found = await push(fleet, agent, body, status)
    if isinstance(outcome, str):
        assert isinstance(found, Unreachable)
        assert found.unheard.why == outcome
        assert fleet.view(KEY).envoys.proxies.acked == {}
        assert unheard(fleet) == found.unheard
    else:
        assert found == outcome
        assert (unheard(fleet), failures) == (None, [])


async def test_an_agent_is_heard_again_as_soon_as_it_makes_sense(fleet, agent, failures):
    agent.body = b"[]"
    for _ in range(3):
        await fleet.poll(KEY)
    assert unheard(fleet) == Unheard(f"{BROKEN}the answer is not an object", broken=True)
    assert len(failures) == 1, "told once"
    assert (failures[0][0], failures[0][1]) == (KEY, "pod")
    assert await push(fleet, agent, {"accepted": True, "digest": DIGEST}) == Accepted()
    assert unheard(fleet) is None


async def test_a_key_that_is_not_the_slices_is_named_as_that(fleet, agent):
    agent.keys = SigningKeys.of(new_key().encode())
    await fleet.poll(KEY)
    assert unheard(fleet) == FOREIGN_KEY


async def test_an_error_of_our_own_is_told_and_keeps_nobody_else_from_being_heard(
    fleet, agent, keys, failures, monkeypatch
):
    other = dataclasses.replace(agent.pod, name="other", uid="other")
    real = wire.request

    async def request(session, keys, pod, call, *, seconds):
        if pod.name == "other":
            raise ZeroDivisionError("a defect")
        return await real(session, keys, pod, call, seconds=seconds)

    monkeypatch.setattr("resilientslice.envoys.pool.request", request)
    fleet.set_members(KEY, [other, agent.pod], keys)
    agent.body = json.dumps({"accepted": True, "digest": DIGEST}).encode()
    report = await fleet.push(KEY, CONFIG, DIGEST, (1, 1))
    assert report.outcomes["pod"] == Accepted()
    assert report.outcomes["other"].unheard == DEFECT
    assert [(pod, type(error)) for _, pod, error in failures] == [("other", ZeroDivisionError)]


async def test_a_cancelled_push_is_cancelled(fleet, agent):
    agent.how = "endless"
    pushing = asyncio.create_task(fleet.push(KEY, CONFIG, DIGEST, (1, 1), timeout=30))
    while not agent.requests:
        await asyncio.sleep(0.01)
    pushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pushing
    assert fleet.view(KEY).envoys.proxies.acked == {}
    assert not fleet.view(KEY).members[0].under_way
