"""The connections of a listener, within bounds: what aiohttp leaves open to strangers is decided here.

aiohttp waits an hour for a request to begin, answers what it can't parse in plain text with the sender's bytes in it,
and logs a traceback for each. Behind this module a connection that idles, drips or doesn't read is closed, the oldest
idle one makes room when there are too many, and every refusal is a problem document and one log line.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import cast

from aiohttp import http_exceptions, web
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from slicekit.bounds import Bounds
from slicekit.problems import CONTENT_TYPE, Problem, problem_body, problem_response

_LONGEST_TARGET = 8000
_LONGEST_FIELD = 8190
_MOST_FIELDS = 128
# Reads on after an answer that came before the end of the body, so that the answer arrives.
_LINGER_SECONDS = 2.0

Note = Callable[[int, str], None]
"""Told the status and the reason of each answer that no middleware has seen."""


class LateError(http_exceptions.HttpProcessingError):
    """The headers did not arrive in time."""


class LargeHeadError(http_exceptions.HttpProcessingError):
    """The headers are larger than `head_size`."""


class Connections(web.Server):
    """Makes a `Connection` of each, and room for it."""

    def __init__(self, server: web.Server, *, bounds: Bounds, note: Note, on_crowded: Callable[[], None]) -> None:
        super().__init__(server.request_handler, request_factory=server.request_factory)
        self.bounds, self.note, self.on_crowded = bounds, note, on_crowded
        self.most = bounds.fit_descriptors()
        self.open: set[Connection] = set()
        self.idle: dict[Connection, None] = {}
        """Longest idle first."""

    def __call__(self) -> RequestHandler:
        return Connection(self, self._loop)

    def make_room(self) -> bool:
        """Whether one more fits, after the one that has idled longest was closed for it if need be."""
        if len(self.open) < self.most:
            return True
        self.on_crowded()
        oldest = next(iter(self.idle), None)
        if oldest is not None:
            oldest.abort()
            self.forget(oldest)
        return oldest is not None

    def forget(self, connection: "Connection") -> None:
        self.open.discard(connection)
        self.idle.pop(connection, None)


class Connection(RequestHandler):
    """One connection. It is idle while it owes no answer, also when half a request has dripped in."""

    __slots__ = ("_door", "_head_size", "_head_timer")

    def __init__(self, door: Connections, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            door,
            loop=loop,
            keepalive_timeout=door.bounds.idle,
            max_line_size=_LONGEST_TARGET,
            max_field_size=_LONGEST_FIELD,
            max_headers=_MOST_FIELDS,
            # A compressed body is refused (bodies.py), so nothing that is thrown away need be unpacked first.
            auto_decompress=False,
            lingering_time=min(door.bounds.body, _LINGER_SECONDS),
            access_log=cast(logging.Logger, None),  # its way to say none
        )
        self._door = door
        self._head_size = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._door.make_room():
            self._force_close = True
            out = cast(asyncio.Transport, transport)
            out.write(_CROWDED)
            out.close()
            return
        self._door.open.add(self)
        self._door.idle[self] = None
        _limit_unread(transport.get_extra_info("socket"), self._door.bounds.send)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end_head()
        self._door.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # Between requests, or before the first; what comes while one is served is its body or the next in line.
        between = not self._messages and (self._waiter is not None or not self._request_count)
        super().data_received(data)
        if self._messages:
            if between and self._head_size + len(data) > self._door.bounds.head_size:
                self._check_head()
            self._end_head()
            self._door.idle.pop(self, None)
        elif between and data:
            self._wait_for_head(len(data))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's, and it holds the bytes of the sender
    ) -> web.StreamResponse:
        """What aiohttp can't parse, or a handler let fall, as a problem. ConnectionError if an answer has begun."""
        if status >= 500:
            self.logger.error("request failed", exc_info=exc)
        problem = (
            _explain(exc) if status < 500 else Problem(status, "the service failed unexpectedly; its log knows why")
        )
        self._door.note(problem.status, type(exc).__name__ if exc else "TimeoutError")
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        response = problem_response(problem)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Sends the answer; the connection is closed under a reader that doesn't take it."""
        if isinstance(resp, web.HTTPExpectationFailed):
            # Raised before any middleware runs, with the sender's words in it.
            self._door.note(resp.status, type(resp).__name__)
            resp = problem_response(Problem(417, "Expect can only be 100-continue"))
            resp.force_close()
        try:
            async with asyncio.timeout(self._door.bounds.send):
                answer = await super().finish_response(request, resp, start_time)
                await self._drain_helper()
        except TimeoutError:
            self.abort()
            return resp, True
        except ConnectionError:
            return resp, True
        if not self._force_close and not self._messages:
            self._door.idle[self] = None
        return answer

    def abort(self) -> None:
        """Closes at once. `force_close` would first send what a peer that doesn't read has not taken."""
        transport = self.transport
        self.force_close()
        if transport is not None:
            transport.abort()

    def _check_head(self) -> None:
        """A head that came whole, in one large read, is held to the same size."""
        message, _ = self._messages[0]
        if not isinstance(message, _ErrInfo):
            size = sum(len(name) + len(value) for name, value in message.raw_headers)
            if size > self._door.bounds.head_size:
                self._messages.clear()
                self._messages.append((_ErrInfo(status=400, exc=LargeHeadError(), message=""), EMPTY_PAYLOAD))

    def _wait_for_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > self._door.bounds.head_size:
            self._refuse_head(LargeHeadError())
        elif self._head_timer is None:
            self._head_timer = self._loop.call_later(self._door.bounds.head, self._refuse_head, LateError())

    def _end_head(self) -> None:
        self._head_size = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse_head(self, exc: http_exceptions.HttpProcessingError) -> None:
        """Puts the refusal where the request would be."""
        self._end_head()
        if self._force_close or self._close:
            return
        self._door.idle.pop(self, None)
        self._messages.append((_ErrInfo(status=400, exc=exc, message=""), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _limit_unread(sock: socket.socket | None, seconds: float) -> None:
    """Lets the kernel end a connection whose peer takes nothing, also while it is being closed."""
    if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))


def _explain(exc: BaseException | None) -> Problem:
    """Never in the parser's words: they hold the bytes of the sender."""
    status, words = 400, "this is not a valid HTTP/1.1 request"
    match exc:
        case LateError():
            status, words = 408, "the headers of the request did not arrive in time"
        case LargeHeadError():
            status, words = 431, "the headers are too large together"
        case http_exceptions.LineTooLong(args=(_, limit, *_)) if limit == _LONGEST_TARGET:
            status, words = 414, f"the path and query are longer than {_LONGEST_TARGET} bytes"
        case http_exceptions.LineTooLong():
            status, words = 431, f"a header is longer than {_LONGEST_FIELD} bytes"
        case http_exceptions.BadHttpMessage() if exc.message.startswith("Too many headers"):
            status, words = 431, f"there are more than {_MOST_FIELDS} headers"
        case http_exceptions.BadHttpMethod():
            words = "the method is not one of HTTP's; this port speaks HTTP/1.1 without TLS"
        case http_exceptions.InvalidURLError():
            words = "the path or query is not a valid request target"
    return Problem(status, words)


def _crowded() -> bytes:
    body = problem_body(Problem(503, "too many connections are open and all of them are busy; try again"))
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Retry-After: 1\r\nConnection: close\r\n\r\n".encode() + body


_CROWDED = _crowded()
