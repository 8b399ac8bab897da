"""The shop as processes: two of what has replicas, each at a port that it keeps over its deaths."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from scripts.faults.plan import SERVICES
from scripts.faults.stores import Postgres, RedisServer, send, until

from testkit.ports import free_port

# Short, so that a run is short. DB_TIMEOUT and the rest bound every wait, as in a cluster.
_QUICK = {
    "HOST": "127.0.0.1",
    "DRAIN_SECONDS": "0",
    "SHUTDOWN_SECONDS": "5",
    "REQUEST_TIMEOUT": "3s",
    "DB_TIMEOUT": "1s",
    "DB_POOL_SIZE": "5",
    "REDIS_TIMEOUT": "500ms",
    "OUTBOX_PAUSE": "2s",
    "RELAY_PAUSE": "100ms",
    "CATALOG_CACHE_TTL": "1s",
    "WORKER_BLOCK": "100ms",
    "WORKER_CLAIM_IDLE": "1s",
    "WORKER_TRIES": "3",
}


class Shop:
    """`async with`: everything runs and is ready inside, and nothing is left outside."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.postgres, self.redis = Postgres(), RedisServer(folder)
        self._ports = {name: (free_port(), free_port()) for name in SERVICES}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            await asyncio.gather(self.postgres.open(), self.redis.start())
            self._watch = asyncio.create_task(self.redis.watch())
            for name in SERVICES:
                self.spawn(name)
            await self.ready()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        for process in self._processes.values():
            process.kill()
            process.wait()
        if self.redis.process is not None:
            self.redis.process.kill()
            self.redis.process.wait()
        self.redis.client.close()
        await self.postgres.close()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name][0]}"

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """Of a service or a store."""
        stores = {"postgres": self.postgres.process, "redis": self.redis.process}
        process = stores[name] if name in stores else self._processes[name]
        if process is None:
            raise RuntimeError(f"{name} does not run")
        return process

    def spawn(self, name: str) -> None:
        service, _, number = name.partition("-")
        port, admin = self._ports[name]
        env = _QUICK | {
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
            "PORT": "" if service == "worker" else str(port),
            "ADMIN_PORT": str(admin),
            "POD_NAME": name,
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.redis.url,
            "CATALOG_URL": self.url("catalog-0"),
            # Each api has its own payments, so that duplicates meet in PostgreSQL only.
            "PAYMENTS_URL": self.url(f"payments-{number}"),
        }
        with (self._folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", f"shop_{service}"]
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log, env=env)

    def kill(self, name: str) -> None:
        self._processes[name].kill()
        self._processes[name].wait()

    async def ready(self) -> None:
        """Every service says that it is ready."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
            for name, (_, admin) in self._ports.items():
                await until(partial(_is_ready, http, f"http://127.0.0.1:{admin}/readyz"), f"readiness of {name}")

    async def heal(self) -> None:
        """Wakes up what sleeps and starts what died."""
        for process in (*self._processes.values(), self.postgres.process, self.redis.process):
            if process is not None:
                send(process, signal.SIGCONT)
        if self.postgres.process is None:
            await self.postgres.start()
        if self.redis.process is None:
            await self.redis.start()
        for name, process in list(self._processes.items()):
            if process.poll() is not None:
                self.spawn(name)
        await self.ready()

    def crashed(self) -> list[str]:
        """Services whose log tells of a failure that nobody expected: nothing that a run does may surprise them."""
        return [name for name in SERVICES if self._count(name, '"level": "error"', '"exception"') > 0]

    def count(self, words: str) -> int:
        """Lines of the services' logs that hold `words`."""
        return sum(self._count(name, words) for name in SERVICES)

    def _count(self, name: str, *words: str) -> int:
        lines = (self._folder / f"{name}.log").read_text(errors="replace").splitlines()
        return sum(all(word in line for word in words) or ("Traceback" in line and len(words) > 1) for line in lines)


async def _is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    with suppress(aiohttp.ClientError, TimeoutError):
        async with http.get(url) as response:
            return response.status == 200
    return False
