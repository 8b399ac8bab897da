"""One HTTP session with the API server: credentials that are read again, time-outs, and a bound on what goes at once.

A request that fails is not repeated here, with one exception: credentials that the server no longer accepts are read
again, and then the request is sent once more.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import kopf

from resilientslice import __version__
from resilientslice.kube.errors import KubeError, UnauthorizedError, UnreachableError, error_of
from resilientslice.kube.kinds import Kind, Object
from resilientslice.kube.login import Login, log_in

USER_AGENT = f"resilientslice/{__version__}"
CONCURRENCY = 32
"""Requests under way at once; watches don't count."""
CONNECT_SECONDS = 3.0
READ_SECONDS = 30.0
WRITE_SECONDS = 5.0
"""A write that is answered later is given up. The Lease counts on it: kube/lease.py."""
LOGIN_SECONDS = 60.0
"""How often credentials are read again. Tokens of service accounts are renewed long before they end."""

Observer = Callable[[str, str, int, float], None]
"""Told of each request: verb, kind, HTTP status (0: no answer), seconds."""


Guard = Callable[[], None]
"""Raises NotLeadingError when nothing may be written."""


def unguarded() -> None:
    """Reads, and writes of what is the process's own, need no leave."""


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    path: str
    kind: str
    what: str
    verb: str
    query: Mapping[str, str] | None
    data: bytes | None
    content: Mapping[str, str]
    seconds: float
    guard: Guard


def _unobserved(verb: str, kind: str, status: int, seconds: float) -> None:
    """Nobody counts."""


class Session:
    """Use as an asynchronous context manager. Everything raises KubeError's kinds."""

    def __init__(
        self, login: Login = log_in, *, observe: Observer = _unobserved, concurrency: int = CONCURRENCY
    ) -> None:
        self._login = login
        self._observe = observe
        self._slots = asyncio.Semaphore(concurrency)
        self._info: kopf.ConnectionInfo | None = None
        self._read_at = 0.0
        self._http: aiohttp.ClientSession | None = None
        self._retired: list[aiohttp.ClientSession] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (*self._retired, *([self._http] if self._http else [])):
            await session.close()
        self._http, self._retired = None, []

    async def request(
        self,
        method: str,
        path: str,
        *,
        kind: Kind,
        what: str,
        verb: str = "",
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        seconds: float | None = None,
        guard: Guard = unguarded,
    ) -> Object:
        """The parsed answer. `what` names the object in errors; `seconds`: in place of the usual time-out.

        `guard` is asked when there is a connection, at the last moment before the request is sent.
        """
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        call = _Call(
            method=method,
            path=path,
            kind=kind.kind,
            what=what,
            verb=verb or method.lower(),
            query=query,
            data=data,
            content={"Accept": accept} | ({"Content-Type": content_type} if data is not None else {}),
            seconds=seconds or (READ_SECONDS if method == "GET" else WRITE_SECONDS),
            guard=guard,
        )
        async with self._slots:
            try:
                return await self._once(call)
            except UnauthorizedError:
                if not self._log_in_again():
                    raise
                return await self._once(call)

    @asynccontextmanager
    async def stream(
        self, path: str, *, kind: Kind, what: str, query: Mapping[str, str], silence: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of an answer that continues: a watch. UnreachableError after `silence` seconds without a byte."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=silence)
        started = time.monotonic()
        status = 0
        try:
            http, headers, url = self._prepared(path)
            async with http.get(url, params=query, headers=headers, timeout=timeout) as response:
                status = response.status
                self._observe("watch", kind.kind, status, time.monotonic() - started)
                if status != 200:
                    raise error_of(what, status, _parsed(await response.read()), response.headers.get("Retry-After"))
                try:
                    yield _lines(response.content)
                finally:
                    # nobody reads on: no good-bye over TLS that would have to be waited for
                    if response.connection is not None and response.connection.transport is not None:
                        response.connection.transport.abort()
        except UnauthorizedError:
            self._log_in_again()
            raise
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            if not status:
                self._observe("watch", kind.kind, 0, time.monotonic() - started)
            raise UnreachableError(what, message=_words(error)) from error

    async def _once(self, call: _Call) -> Object:
        started, status, where = time.monotonic(), 0, f"{call.verb} {call.what}"
        try:
            http, headers, url = self._prepared(call.path)
            async with http.request(
                call.method,
                url,
                params=call.query,
                data=call.data,
                headers={**headers, **call.content},
                timeout=aiohttp.ClientTimeout(total=call.seconds, sock_connect=CONNECT_SECONDS),
                trace_request_ctx=call.guard,
            ) as response:
                answer = _parsed(await response.read())
                status = response.status
                if not 200 <= status < 300:
                    raise error_of(where, status, answer, response.headers.get("Retry-After"))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise UnreachableError(where, message=_words(error)) from error
        finally:
            self._observe(call.verb, call.kind, status, time.monotonic() - started)
        if not isinstance(answer, dict):
            raise KubeError(where, status=status, message="the answer is not a JSON object")
        return answer

    def _prepared(self, path: str) -> tuple[aiohttp.ClientSession, dict[str, str], str]:
        """A session, the headers of who we are, and the whole address."""
        if self._info is None or self._http is None or time.monotonic() - self._read_at > LOGIN_SECONDS:
            self._log_in_again()
        assert self._info is not None  # noqa: S101 - the line above, or it has raised
        assert self._http is not None  # noqa: S101
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT, **self._info.as_http_headers()}
        return self._http, headers, self._info.server.rstrip("/") + path

    def _log_in_again(self) -> bool:
        """Whether the credentials are other ones than before. Raises UnauthorizedError when there are none."""
        try:
            info = self._login()
        except kopf.LoginError as error:
            raise UnauthorizedError("log in", message=str(error)) from error
        known, self._info, self._read_at = self._info, info, time.monotonic()
        if known is None or _transport(known) != _transport(info):
            if self._http is not None:
                self._retired.append(self._http)  # its watches continue until they end by themselves
            self._http = connected(info, trace_configs=[_guarding()])
        return info != known


def connected(info: kopf.ConnectionInfo, **more: Any) -> aiohttp.ClientSession:
    """Reaches the API server as `info` says; who we are is for the headers. UnauthorizedError: bad certificates."""
    connector = aiohttp.TCPConnector(limit=0, ssl=_tls(info))
    return aiohttp.ClientSession(connector=connector, proxy=info.proxy_url, trust_env=info.trust_env, **more)


def _guarding() -> aiohttp.TraceConfig:
    """Asks a request's guard when it has its connection and nothing of it is written yet.

    aiohttp tells of headers as sent when it is about to send them, and closes the connection if that raises; were it
    asked any earlier, connecting would come in between.
    """

    async def ask(_: aiohttp.ClientSession, context: Any, __: Any) -> None:
        if context.trace_request_ctx is not None:
            context.trace_request_ctx()

    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(ask)
    return tracing


def _tls(info: kopf.ConnectionInfo) -> Any:
    try:
        return info.as_ssl_context()
    except (OSError, ValueError) as error:
        raise UnauthorizedError("log in", message=f"the certificates can't be read: {error}") from error


def _transport(info: kopf.ConnectionInfo) -> tuple[Any, ...]:
    """What a connection depends on, as opposed to a request."""
    return (
        *(info.server, info.ca_path, info.ca_data, info.insecure, info.proxy_url),
        *(info.certificate_path, info.certificate_data, info.private_key_path, info.private_key_data),
    )


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length: those of aiohttp itself end at 128 KiB, and objects don't."""
    rest = bytearray()
    async for chunk in content.iter_any():
        *whole, last = chunk.split(b"\n")
        for line in whole:
            rest += line
            if rest:
                yield bytes(rest)
                rest.clear()
        rest += last


def _parsed(data: bytes) -> Any:
    """JSON, or the text as it is: proxies on the way answer in prose."""
    try:
        return json.loads(data)
    except ValueError:
        return data[:200].decode(errors="replace")


def _words(error: BaseException) -> str:
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
