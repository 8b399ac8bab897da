"""An application on a socket that can be closed and opened again at the same port."""

import asyncio
import os
from collections.abc import Callable, Container
from dataclasses import dataclass

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol

from slicekit.bounds import Bounds
from slicekit.connections import Connections, Note

_BACKLOG = 1024


class ListenError(Exception):
    """The port can't be had. The text names the variable, the address and the system's reason."""


@dataclass(frozen=True, slots=True)
class Door:
    """What a listener lets in, and what is reported of the rest."""

    bounds: Bounds
    note: Note
    on_crowded: Callable[[], None]


class _Runner(web.AppRunner):
    def __init__(self, app: web.Application, door: Door, *, shutdown: float) -> None:
        super().__init__(app, access_log=None, shutdown_timeout=shutdown)
        self._door = door

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return Connections(server, bounds=self._door.bounds, note=self._door.note, on_crowded=self._door.on_crowded)


class Listener:
    """`open`, then `refuse` and `accept` at will, then `end`."""

    def __init__(
        self, app: web.Application, host: str, port: int, *, door: Door, variable: str, shutdown: float = 1.0
    ) -> None:
        self._host, self._port, self._variable = host, port, variable
        self._runner = _Runner(app, door, shutdown=shutdown)
        self._site: web.TCPSite | None = None

    @property
    def port(self) -> int:
        return self._port

    async def open(self) -> None:
        await self._runner.setup()
        try:
            await self.accept()
        except ListenError:
            await self._runner.cleanup()
            raise

    async def accept(self) -> None:
        """ListenError if the port is taken."""
        site = web.TCPSite(self._runner, self._host, self._port, backlog=_BACKLOG, reuse_address=True)
        try:
            await site.start()
        except OSError as exc:
            await site.stop()
            raise ListenError(self._explain(exc)) from exc
        self._site = site
        self._port = self._runner.addresses[0][1]

    async def refuse(self, *, busy: Container[BaseProtocol]) -> None:
        """Closes the socket and the connections that aren't `busy`; those close after their answer (the middleware)."""
        await self._close_socket()
        server = self._runner.server
        for connection in server.connections if server else []:
            if connection not in busy:
                connection.force_close()

    async def end(self) -> None:
        """Closes the socket, waits for requests in flight (bounded), then ends the application."""
        # Connections that the kernel has accepted already get their turn first.
        await asyncio.sleep(0)
        await self._close_socket()
        await self._runner.cleanup()

    async def _close_socket(self) -> None:
        if self._site is not None:
            await self._site.stop()
            self._site = None

    def _explain(self, exc: OSError) -> str:
        reason = os.strerror(exc.errno) if exc.errno else str(exc)
        return f"{self._variable}: cannot listen on {self._host} port {self._port}: {reason}; give another one, or 0"
