"""Stands before the interface on TCP: what isn't signed with the slice's key never reaches it, and answers are signed.

The signature is of the headers, among them the body's SHA-256. So a stranger's body is refused before it is read.
"""

import time
from typing import cast

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from resilientslice.agent.keys import KeyRing
from resilientslice.agent.metrics import AgentMetrics
from resilientslice.agent.settings import BODY_LIMIT
from resilientslice.agent.signing import (
    MAX_SKEW_MS,
    NONCE_HEADER,
    SIGNATURE_HEADER,
    Asked,
    Nonces,
    Refused,
    SigningKeys,
    body_digest,
    judge,
    read_request,
    signatures,
)

AT_ONCE = 32
"""Requests under way; the operator needs two."""
_log = structlog.get_logger("resilientslice.agent")
_ANSWERS: dict[Refused, tuple[int, str]] = {
    Refused.NO_KEY: (503, "the agent has no key yet: is the slice's Secret of the key there, and mounted?"),
    Refused.UNSIGNED: (401, "the request is not signed"),
    Refused.MALFORMED: (400, "a header of the signature is not as it must be"),
    Refused.SIGNATURE: (401, "no signature is by a key of this slice, for this pod, of this request"),
    Refused.CLOCK: (401, f"the request's time is off by more than {MAX_SKEW_MS // 1000} s: compare the nodes' clocks"),
    Refused.REPLAYED: (401, "a request with this nonce was answered before"),
    Refused.BUSY: (503, "too many requests; ask again later"),
    Refused.OVERSIZED: (413, f"the body is larger than {BODY_LIMIT} bytes, or its size is not said"),
    Refused.BODY: (400, "the body is not the one that was signed"),
}


class Guard:
    """One for the agent's TCP port. `uid` is the pod's."""

    def __init__(self, ring: KeyRing, uid: str, metrics: AgentMetrics) -> None:
        self._ring = ring
        self._uid = uid
        self._metrics = metrics
        self._nonces = Nonces()
        self._under_way = 0

    @property
    def middleware(self) -> Middleware:
        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._guarded(request, handler)

        return cast("Middleware", guarded)

    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        keys = self._ring.keys()
        asked = read_request(request.method, request.raw_path, self._uid, request.headers)
        refused = self._judge(keys, asked, request)
        if refused is not None:
            return self._refusal(request, refused, keys, asked)
        self._under_way += 1
        try:
            return await self._proven(request, handler, keys, cast("Asked", asked))
        finally:
            self._under_way -= 1

    def _judge(self, keys: SigningKeys | None, asked: Asked | Refused, request: web.Request) -> Refused | None:
        """By headers alone."""
        if keys is None:
            return Refused.NO_KEY
        if isinstance(asked, Refused):
            return asked
        length = request.content_length
        if (length or 0) > BODY_LIMIT or (request.body_exists and length is None):
            return Refused.OVERSIZED
        if self._under_way >= AT_ONCE:
            return Refused.BUSY
        offered = request.headers.get(SIGNATURE_HEADER, "")
        return judge(keys, asked, offered, self._nonces, time.time_ns() // 1_000_000)

    async def _proven(
        self, request: web.Request, handler: Handler, keys: SigningKeys | None, asked: Asked
    ) -> web.StreamResponse:
        if body_digest(await request.read()) != asked.digest:
            return self._refusal(request, Refused.BODY, keys, asked)
        return _signed(await handler(request), keys, asked)

    def _refusal(
        self, request: web.Request, refused: Refused, keys: SigningKeys | None, asked: Asked | Refused
    ) -> web.StreamResponse:
        self._metrics.refused.labels(refused.value).inc()
        _log.warning("a request is refused", reason=refused.value, peer=request.remote, nonce=_nonce(request))
        status, words = _ANSWERS[refused]
        answer = web.json_response({"error": words, "reason": refused.value}, status=status)
        answer.force_close()  # its body was not read, and the peer has no claim on a connection
        return _signed(answer, keys, asked)


def _signed(answer: web.StreamResponse, keys: SigningKeys | None, asked: Asked | Refused) -> web.StreamResponse:
    if keys is not None and isinstance(asked, Asked) and isinstance(answer, web.Response):
        body = answer.body if isinstance(answer.body, bytes) else b""
        answer.headers[SIGNATURE_HEADER] = signatures(keys, asked.answer(answer.status, body))
    return answer


def _nonce(request: web.Request) -> str:
    return request.headers.get(NONCE_HEADER, "")[:32]
