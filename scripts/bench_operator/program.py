"""The operator as a process: `rslice operator` as people start it, or the same with a clock in it.

`python -m scripts.bench_operator.program PORT OUT` is the second: each event and each stage of each pass
is written to OUT, in nanoseconds of the monotonic clock.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TextIO
from urllib.request import urlopen

import psutil
from scripts.bench.servers import answers

from resilientslice.controller.build import reconciling
from resilientslice.kube.kinds import SliceKey
from resilientslice.kube.lease import new_identity
from resilientslice.operating.logs import configure_logs
from resilientslice.operating.program import run
from resilientslice.operating.settings import OperatorSettings
from resilientslice.operating.world import Reconciler, World
from resilientslice.workqueue.queue import Result

START_SECONDS = 120.0


class Operator:
    """One process of the operator. `traced`: with a clock in it. `arguments` are more of `rslice operator`."""

    def __init__(
        self, kubeconfig: Path, folder: Path, port: int, *, traced: bool = False, arguments: Sequence[str] = ()
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.trace = folder / "trace.jsonl"
        self._log = folder / "operator.log"
        self._port = port
        self._kubeconfig = kubeconfig
        self._traced = traced
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it is ready: everything was listed. SystemExit with its last words when it isn't in time."""
        command = [sys.executable, "-m", "scripts.bench_operator.program", str(self._port), str(self.trace)]
        if not self._traced:
            rslice = str(Path(sys.executable).with_name("rslice"))
            command = [rslice, "operator", f"--listen=127.0.0.1:{self._port}", "--lease-name=bench", *self._arguments]
        with self._log.open("ab") as out:
            environ = {**os.environ, "KUBECONFIG": str(self._kubeconfig)}
            self._process = subprocess.Popen(command, stdout=out, stderr=out, env=environ)
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"{self.url}/readyz"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"error: the operator isn't ready:\n{self.said()}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @property
    def process(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)

    def said(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]

    def health(self) -> dict[str, Any]:
        with urlopen(f"{self.url}/readyz", timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found

    def passes(self) -> float:
        """That have ended so far."""
        return self.metric("reconciles_total")

    def metric(self, name: str) -> float:
        """Over all labels."""
        with urlopen(f"{self.url}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found = re.compile(rf"rslice_operator_{name}[ {{]")
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if found.match(line))


class _Traced:
    def __init__(self, inner: Any, out: TextIO) -> None:
        self._inner, self._out = inner, out

    async def reconcile(self, key: SliceKey) -> Result:
        began = time.monotonic_ns()
        result: Result = await self._inner.reconcile(key)
        stages = {name: [round(x * 1e6) for x in pair] for name, pair in self._inner.deciding.timings.stages.items()}
        self._write({"pass": str(key), "began": began, "ended": time.monotonic_ns(), "stages": stages})
        return result

    def event(self, obj: dict[str, Any]) -> None:
        metadata = obj["metadata"]
        key, generation = f"{metadata['namespace']}/{metadata['name']}", metadata.get("generation")
        self._write({"event": key, "generation": generation, "at": time.monotonic_ns()})

    def _write(self, line: dict[str, Any]) -> None:
        self._out.write(json.dumps(line) + "\n")


def main() -> int:
    port, out = sys.argv[1:]
    configure_logs("INFO", "json")
    settings = OperatorSettings(
        lease_namespace="default", lease_name="bench", identity=new_identity(), host="127.0.0.1", port=int(port)
    )

    @asynccontextmanager
    async def build(world: World) -> AsyncIterator[Reconciler]:
        async with reconciling(world) as inner:
            traced = _Traced(inner, lines)
            told = world.slices.told

            def listening(obj: dict[str, Any]) -> None:
                traced.event(obj)
                told(obj)

            world.slices.told = listening  # type: ignore[method-assign]
            yield traced

    with Path(out).open("w") as lines:
        return run(settings, build)


if __name__ == "__main__":
    sys.exit(main())
