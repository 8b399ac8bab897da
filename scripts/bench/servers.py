"""Real services on loopback to be measured, and wrk, which measures them."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from testkit.ports import free_port
from testkit.processes import Processes, answers

ORIGIN = Path(__file__).with_name("service.py")
SCRIPT = Path(__file__).with_name("tenants.lua")
_LINE = re.compile(
    r"^requests=(\d+) micros=(\d+) ok=(\d+) limited=(\d+) failed=(\d+) p50=(\d+) p99=(\d+)$", re.MULTILINE
)


def find_wrk() -> str:
    """The load generator, from the system's packages."""
    if found := shutil.which("wrk"):
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("  installing wrk", flush=True)
        subprocess.run(["apt-get", "install", "-y", "-q", "wrk"], check=True, capture_output=True)
        if found := shutil.which("wrk"):
            return found
    raise SystemExit("error: wrk is missing; install it (Debian: apt-get install wrk)")


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk saw. `seconds` as measured; `p50`, `p99` in milliseconds."""

    requests: int
    seconds: float
    ok: int
    limited: int
    failed: int
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    def demand_answers(self, name: str) -> None:
        """SystemExit when more than one in a thousand wasn't served: then this is no measurement of serving."""
        if self.limited or self.failed > self.requests / 1000:
            raise SystemExit(f"error: {name}: of {self.requests}, {self.failed} failed and {self.limited} were limited")


def load(url: str, seconds: float, *, connections: int = 16, tenants: int = 1000, processors: str = "") -> Load:
    """Ask as fast as answers come. Each request is of one of so many tenants, in turn."""
    command = [find_wrk(), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(SCRIPT), url]
    pinned = ["taskset", "-c", processors] if processors else []
    environment = {**os.environ, "TENANTS": str(tenants)}
    done = subprocess.run([*pinned, *command], capture_output=True, text=True, env=environment, check=True)
    match = _LINE.search(done.stdout)
    if match is None:
        raise SystemExit(f"error: wrk said:\n{done.stdout}{done.stderr}")
    requests, micros, ok, limited, failed, p50, p99 = (int(value) for value in match.groups())
    return Load(requests, micros / 1e6, ok, limited, failed, p50 / 1000, p99 / 1000)


class Bench(Processes):
    """Processes, and services with the library's middleware among them."""

    def service(self, env: Mapping[str, str], *, cpus: str = "") -> tuple[int, psutil.Process]:
        """A service with the library's middleware: its port and process."""
        port = free_port()
        settings = {"PORT": str(port), "HOST": "127.0.0.1", "ADMIN_PORT": "0", "DRAIN_SECONDS": "0", **env}
        command = [sys.executable, str(ORIGIN)]
        ready = lambda: answers(f"http://127.0.0.1:{port}/readyz")  # noqa: E731
        return port, self.start(command, ready, env=settings, cpus=cpus)


@contextmanager
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rslice-bench."))
        yield Bench(Path(folder), stack)
