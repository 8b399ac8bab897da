"""api, payments and catalog as processes on real stores, to be treated badly."""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from testkit.ports import free_port
from testkit.postgres import Postgres
from testkit.processes import answers, processes

# Short, so that the shapes that never end cost the run a second each; and stores that may be slow under the load.
TIMES = {
    "HEADER_TIMEOUT": "1s",
    "BODY_TIMEOUT": "1s",
    "DB_TIMEOUT": "10s",
    "REDIS_TIMEOUT": "10s",
    "REQUEST_TIMEOUT": "20s",
    "DB_POOL_SIZE": "5",
    "LOG_LEVEL": "info",
    "METRICS_TENANTS": "50",
}


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    port: int
    process: psutil.Process
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log_faults(self) -> list[str]:
        """Lines that aren't one JSON object each, and those that tell of an error or a traceback."""
        return [line[:2000] for line in self.log.read_text(errors="replace").splitlines() if not _is_calm(line)]


def _is_calm(line: str) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return isinstance(entry, dict) and "exception" not in entry and entry.get("level") not in {"error", "critical"}


@contextmanager
def running_shop() -> Iterator[dict[str, Service]]:
    """The services by name, ready. StartError with the output of one that doesn't start."""
    with tempfile.TemporaryDirectory(prefix="rslice-hostile.") as folder, processes() as started:
        postgres = Postgres(Path(folder))
        postgres.create()
        postgres.start()
        try:
            valkey, _ = started.valkey()
            env = TIMES | {"DATABASE_URL": postgres.url("postgres"), "REDIS_URL": f"redis://127.0.0.1:{valkey}/0"}
            services: dict[str, Service] = {}
            for name in ("catalog", "payments", "api"):
                port = free_port()
                peers = {f"{peer.upper()}_URL": service.url for peer, service in services.items()}
                mine = env | peers | {"PORT": str(port), "HOST": "127.0.0.1", "ADMIN_PORT": "0", "DRAIN_SECONDS": "0"}
                url = f"http://127.0.0.1:{port}/readyz"
                process = started.start([sys.executable, "-m", f"shop_{name}"], partial(answers, url), env=mine)
                log = max(started.folder.glob("*.log"), key=lambda path: int(path.stem))
                services[name] = Service(name, port, process, log)
            yield services
        finally:
            postgres.stop()
