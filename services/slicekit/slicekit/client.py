"""Calls to other services: the context travels along, and no call outlives the request it is made for."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp

from slicekit import context as ctx
from slicekit.metrics import Metrics
from slicekit.problems import Problem
from slicekit.settings import Settings

_LARGEST_ANSWER = 4 * 1024 * 1024
_CONNECTIONS = 200
# Shorter than the idle time-outs of proxies in between, so that it is our side that closes an idle connection.
_KEEPALIVE_SECONDS = 15.0
_CLOSED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


class UpstreamError(Problem):
    """Another service could not be asked, or its answer is of no use."""

    def __init__(self, status: int, target: str, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(status, f"{target}: {detail}", retry_after=retry_after)
        self.target = target


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read to its end."""

    target: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """UpstreamError 502 if it isn't JSON."""
        try:
            return json.loads(self.body)
        except ValueError as exc:
            raise UpstreamError(502, self.target, "answered something that is not JSON") from exc

    def failure(self) -> UpstreamError:
        """What to tell our caller of an answer we can't use: overload and time-outs as they are, the rest as a 502."""
        if self.status in {429, 503}:
            return UpstreamError(
                self.status, self.target, f"answered {self.status}; try again", retry_after=self._retry_after()
            )
        status = 504 if self.status == 504 else 502
        return UpstreamError(status, self.target, f"answered {self.status}")

    def _retry_after(self) -> int:
        text = self.headers.get("Retry-After", "")
        return min(int(text), 3600) if text.isascii() and text.isdigit() and len(text) < 6 else 1


Params = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call to make. `timeout` is in seconds."""

    target: str
    method: str
    url: str
    params: Params = ()
    document: Any = None
    idempotency_key: str | None = None
    timeout: float | None = None


class Client:
    """One connection pool a service. Open from `open` to `close`."""

    def __init__(self, settings: Settings, metrics: Metrics, *, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_KEEPALIVE_SECONDS, ttl_dns_cache=5),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[trace],
            auto_decompress=True,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(self, call: Call) -> Reply:
        """Whatever status came back, as a Reply. UpstreamError 502 or 504 if none came in time."""
        context = ctx.current()
        deadline = context.deadline if context else self._clock() + self._settings.request_timeout
        if call.timeout is not None:
            deadline = min(deadline, self._clock() + call.timeout)
        headers = ctx.outgoing_headers(context, self._settings) if context else {}
        if call.idempotency_key is not None:
            headers[ctx.IDEMPOTENCY_KEY] = call.idempotency_key
        if call.document is not None:
            headers["Content-Type"] = "application/json"
        try:
            reply = await self._send(call, headers, deadline)
        except UpstreamError as exc:
            self._metrics.observe_call(target=call.target, code="timeout" if exc.status == 504 else "error")
            raise
        self._metrics.observe_call(target=call.target, code=str(reply.status))
        if context is not None:
            context.add_hops(reply.headers.get("X-Served-By", ""))
        return reply

    async def _send(self, call: Call, headers: dict[str, str], deadline: float) -> Reply:
        reused = SimpleNamespace(connection=False)
        try:
            return await self._attempt(call, headers, deadline, reused)
        except _CLOSED as exc:
            # The other side closed an idle connection as we wrote to it: repeat what may be repeated, once.
            # aiohttp does so by itself for GET.
            if not (reused.connection and call.idempotency_key):
                raise UpstreamError(502, call.target, "closed the connection without an answer") from exc
        try:
            return await self._attempt(call, headers, deadline, reused)
        except _CLOSED as exc:
            raise UpstreamError(502, call.target, "closed the connection twice without an answer") from exc

    async def _attempt(self, call: Call, headers: dict[str, str], deadline: float, reused: SimpleNamespace) -> Reply:
        """UpstreamError, or one of _CLOSED if the connection was lost before an answer came."""
        left = deadline - self._clock()
        if left <= 0:
            raise UpstreamError(504, call.target, "no time was left to ask it")
        try:
            return await self._exchange(call, headers, left, reused)
        except TimeoutError as exc:
            raise UpstreamError(504, call.target, f"no answer within {left * 1000:.0f} ms") from exc
        except aiohttp.ClientConnectorError as exc:
            reason = exc.os_error.strerror or "connect failed"
            raise UpstreamError(502, call.target, f"cannot be reached ({reason})") from exc
        except _CLOSED:
            raise
        except (aiohttp.ClientError, OSError) as exc:
            raise UpstreamError(502, call.target, f"broke off the call ({type(exc).__name__})") from exc

    async def _exchange(self, call: Call, headers: dict[str, str], left: float, reused: SimpleNamespace) -> Reply:
        if self._session is None:
            raise RuntimeError("the client is used before the service has started or after it has stopped")
        async with self._session.request(
            call.method,
            call.url,
            data=None if call.document is None else json.dumps(call.document, separators=(",", ":")).encode(),
            params=call.params,
            headers=headers | {ctx.TIME_LEFT: str(max(1, int(left * 1000)))},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=left),
            trace_request_ctx=reused,
        ) as response:
            raw = await _read_at_most(response, _LARGEST_ANSWER)
            if raw is None:
                raise UpstreamError(502, call.target, f"answered more than {_LARGEST_ANSWER} bytes")
            return Reply(target=call.target, status=response.status, headers=response.headers, body=raw)


class Upstream:
    """Another service, by its base URL. `timeout` is in seconds and only ever shortens what the request has left."""

    def __init__(self, client: Client, target: str, base_url: str) -> None:
        self._client = client
        self.target = target
        self._base = base_url.rstrip("/")

    async def get(self, path: str, *, params: Params = (), timeout: float | None = None) -> Reply:  # noqa: ASYNC109
        return await self._client.call(Call(self.target, "GET", self._base + path, params=params, timeout=timeout))

    async def post(
        self,
        path: str,
        document: Any,
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Reply:
        call = Call(
            self.target,
            "POST",
            self._base + path,
            document=document,
            idempotency_key=idempotency_key,
            timeout=timeout,
        )
        return await self._client.call(call)


async def _note_reuse(
    _: aiohttp.ClientSession, trace: SimpleNamespace, __: aiohttp.TraceConnectionReuseconnParams
) -> None:
    trace.trace_request_ctx.connection = True


async def _read_at_most(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    raw = bytearray()
    async for chunk in response.content.iter_any():
        raw += chunk
        if len(raw) > limit:
            return None
    return bytes(raw)
