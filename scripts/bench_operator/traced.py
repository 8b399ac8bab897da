"""`python -m scripts.bench_operator.traced PORT OUT`: the operator with a clock in it.

Each event and each stage of each pass is written to OUT, in nanoseconds of the monotonic clock.
"""

import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

from resilientslice.controller.build import reconciling
from resilientslice.kube.kinds import SliceKey
from resilientslice.kube.lease import new_identity
from resilientslice.operating.logs import configure_logs
from resilientslice.operating.program import run
from resilientslice.operating.settings import OperatorSettings
from resilientslice.operating.world import Reconciler, World
from resilientslice.workqueue.queue import Result


def command(port: int, folder: Path) -> Sequence[str]:
    """What starts it."""
    return [sys.executable, "-m", "scripts.bench_operator.traced", str(port), str(trace(folder))]


def trace(folder: Path) -> Path:
    """Where one that was started for this folder writes."""
    return folder / "trace.jsonl"


class Traced:
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
            traced = Traced(inner, lines)
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
