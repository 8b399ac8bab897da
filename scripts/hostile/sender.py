"""Sends bytes as they are and reads what comes back, over connections that are kept while the other side keeps them."""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass

_STATUS = re.compile(rb"HTTP/\d\.\d (\d{3}) ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_KIND = re.compile(rb"\r\ncontent-type: *([^;\r\n]+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """The last answer of an exchange; status 0 when the connection was closed without one."""

    status: int
    kind: str = ""
    head: bytes = b""
    body: bytes = b""

    @property
    def is_problem(self) -> bool:
        return self.kind == "application/problem+json"


CLOSED = Answer(0)


class Sender:
    """One client with one connection at a time. `patience` is in seconds."""

    def __init__(self, host: str, port: int, *, patience: float = 30.0) -> None:
        self._host, self._port, self._patience = host, port, patience
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, raw: bytes, *, fresh: bool = False) -> Answer:
        """What is answered to `raw`. TimeoutError when neither an answer nor the end of the connection comes."""
        if fresh:
            await self.close()
        reused = self._writer is not None
        async with asyncio.timeout(self._patience):
            answer = await self._exchange(raw)
            # An idle connection may be closed as it is written to: that says nothing about `raw`.
            return await self._exchange(raw) if reused and answer is CLOSED else answer

    async def _exchange(self, raw: bytes) -> Answer:
        try:
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
            self._writer.write(raw)
            answer = await self._read()
        except (ConnectionError, asyncio.IncompleteReadError):
            answer = CLOSED
        if answer is CLOSED or _CLOSES.search(answer.head):
            await self.close()
        return answer

    async def _read(self) -> Answer:
        assert self._reader is not None
        head = await self._reader.readuntil(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100 "):
            head = await self._reader.readuntil(b"\r\n\r\n")
        status, length, kind = _STATUS.match(head), _LENGTH.search(head), _KIND.search(head)
        if status is None:
            raise ValueError(f"this is no answer of HTTP: {head[:80]!r}")
        body = await self._reader.readexactly(int(length[1])) if length else b""
        return Answer(int(status[1]), kind[1].decode() if kind else "", head, body)

    async def close(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
