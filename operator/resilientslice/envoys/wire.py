"""One signed request to one agent, and what its answer means."""

import asyncio
import hashlib
import io
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from resilientslice.agent.answers import (
    AgentError,
    NotUnderstoodError,
    epoch_of,
    error_of,
    object_of,
    push_result_of,
)
from resilientslice.agent.client import AgentUnreachableError
from resilientslice.agent.signing import SIGNATURE_HEADER, Asked, SigningKeys, Standing, request_headers, standing
from resilientslice.envoys.reports import (
    Accepted,
    AgentPod,
    Epoch,
    Outcome,
    Rejected,
    Stale,
    Unanswered,
    Unreachable,
)

ANSWER_LIMIT = 1024 * 1024
"""Bytes. The snapshot of a slice of 64 services has a few hundred thousand; reading more would hold up other slices."""
AGENT_SHARE = 0.9
"""Of the time-out is the agent's to wait for Envoy; the rest is the way there and back."""


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes that are sent to several agents, and their SHA-256, made once."""

    data: bytes
    digest: str

    @classmethod
    def of(cls, data: bytes) -> "Body":
        return cls(data, hashlib.sha256(data).hexdigest())


_NOTHING = Body.of(b"")


class BrokenAnswerError(AgentError):
    """It is understood as no agent's. `said` is what is wrong, in fixed words: the same for the same fault."""

    def __init__(self, pod: AgentPod, error: NotUnderstoodError) -> None:
        super().__init__(f"the agent of {pod.name} at {pod.address}: its answer is not understood: {error}")
        self.said = str(error)


class ForeignKeyError(AgentError):
    """The answer is not signed by a key that is known: it is no agent's of the slice, or the key was replaced."""


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    path: str
    body: Body = _NOTHING


@dataclass(frozen=True, slots=True)
class Answer:
    """`standing` says what its agent knows of the slice's keys; it is never STRANGE."""

    status: int
    body: dict[str, Any]
    standing: Standing


def push_body(config: Mapping[str, Any] | str, epoch: Epoch, seconds: float) -> Body:
    """`config` as JSON, or the text of it: the computation of its digest made that already."""
    text = config if isinstance(config, str) else json.dumps(config, separators=(",", ":"))
    wait = max(1, round(seconds * AGENT_SHARE * 1000))
    return Body.of(f'{{"epoch":[{epoch[0]},{epoch[1]}],"config":{text},"timeout_ms":{wait}}}'.encode())


async def request(
    session: aiohttp.ClientSession | None,
    keys: SigningKeys,
    pod: AgentPod,
    call: Call,
    *,
    seconds: float,
) -> Answer:
    """AgentUnreachableError if there is none in time, ForeignKeyError or AgentError if it is not the agent's."""
    if session is None:
        raise AgentUnreachableError(f"{pod.address}: the fleet is closed")
    asked = Asked(call.method, call.path, pod.uid, time.time_ns() // 1_000_000, secrets.token_hex(16), call.body.digest)
    try:
        async with (
            asyncio.timeout(seconds),
            session.request(
                call.method,
                f"http://{pod.address}{call.path}",
                data=io.BytesIO(call.body.data) if call.body.data else None,
                headers={"Content-Type": "application/json", **request_headers(keys, asked)},
                timeout=aiohttp.ClientTimeout(total=None),
                allow_redirects=False,
            ) as response,
        ):
            data = await _bounded(response, pod)
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        words = f"no answer in {seconds:g} s" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        raise AgentUnreachableError(f"the agent of {pod.name} at {pod.address}: {words}") from error
    offered = response.headers.get(SIGNATURE_HEADER, "")
    found = standing(keys, asked.answer(response.status, data), offered)
    if found is Standing.STRANGE:
        said = "is not signed with the slice's key" if offered else "is not signed"
        raise ForeignKeyError(f"the agent of {pod.name} at {pod.address}: its answer, {response.status}, {said}")
    return Answer(response.status, _object(data, pod), found)


async def _bounded(response: aiohttp.ClientResponse, pod: AgentPod) -> bytes:
    """The body as it was sent, whether its length was said or not."""
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > ANSWER_LIMIT:
            response.close()
            raise BrokenAnswerError(pod, NotUnderstoodError("", f"it is larger than {ANSWER_LIMIT} bytes"))
    return b"".join(chunks)


def _object(data: bytes, pod: AgentPod) -> dict[str, Any]:
    try:
        return object_of(data)
    except NotUnderstoodError as error:
        raise BrokenAnswerError(pod, error) from None


def outcome_of(status: int, answer: Mapping[str, Any], digest: str) -> Outcome:
    """What the answer to a push says. NotUnderstoodError for one that no agent gives."""
    words = error_of(answer)
    if status == 200 or (status == 422 and answer.get("accepted") is False):
        return _verdict(status, answer, digest)
    if status == 409 and "held" in answer:
        return Stale(epoch_of(answer["held"], "held"), words)
    if status in (409, 504):
        return Unanswered(words)
    if status in (400, 413):
        return Rejected(words)
    return Unreachable(f"{status}: {words}")


def _verdict(status: int, answer: Mapping[str, Any], digest: str) -> Outcome:
    result = push_result_of(answer)
    if result.digest != digest and (result.digest or result.accepted):
        raise NotUnderstoodError("digest", "is not of the configuration that was sent")
    if not result.accepted:
        return Rejected(f"{result.path} {result.message}".strip(), result.type, result.serving)
    if status != 200:
        raise NotUnderstoodError("accepted", f"is true in an answer {status}")
    return Accepted(result.durable, result.durable_reason)
