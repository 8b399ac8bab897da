"""What an operator with many slices costs: memory, CPU and requests at rest, a restart, and the same edit as before.

One slice is real; the pods of the others are answered for by one process. All objects of all of them are real.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from scripts.bench.figures import Figure
from scripts.bench.servers import processor_seconds
from scripts.bench_operator.controlplane import lists, writes
from scripts.bench_operator.simulation import eventually
from scripts.bench_operator.stage import Sizes, Stage, piped, stage
from scripts.bench_operator.weight import latency_figures

from resilientslice.fleet import new_key
from resilientslice.kube.kinds import RESILIENT_SLICE, SECRET, Object
from resilientslice.render.names import agent_key_name

NAMESPACES = 10
AT_ONCE = 8
MEGABYTE = 1 << 20
MEMORY_MB, RESTART_SECONDS = 150.0, 60.0
P50_MS, P99_MS = 16.0, 40.0
"""Twice those of one slice."""
SETTLE_SECONDS = 1800.0


async def figures(sizes: Sizes) -> AsyncIterator[Figure]:
    async with stage() as at:
        await at.bring_up(sizes.proxies)
        key_dir = at.folder / "key"
        key_dir.mkdir(mode=0o700)
        key = new_key()
        (key_dir / "current").write_text(key)
        arguments = ["scripts.bench_operator.fakes", "--count", str(sizes.slices), "--key-dir", str(key_dir)]
        with piped(arguments) as fakes:
            at.simulation.attach(fakes)
            began = time.monotonic()
            await _create(at, sizes.slices, key)
            await _all_ready(at, sizes.slices + 1)
            seconds = time.monotonic() - began
            yield Figure(f"s, {sizes.slices} slices made from nothing, all Ready", seconds, detail=_operator_cpu(at))
            async for figure in _at_rest(at, sizes):
                yield figure
            found, answers, _ = await at.change(sizes)
            for figure in latency_figures(found, answers, P50_MS, P99_MS, f", {sizes.slices} slices"):
                yield figure
            async for figure in _restarted(at, sizes):
                yield figure


def many(number: int) -> Object:
    """One of the many: the least that is a slice, with one proxy."""
    return {
        "apiVersion": "resilientslice.dev/v1alpha1",
        "kind": "ResilientSlice",
        "metadata": {"name": f"s{number}", "namespace": f"many-{number % NAMESPACES}"},
        "spec": {
            "services": [{"name": "web", "image": "example.org/web:1.0.0", "port": 8000, "expose": {}}],
            "proxy": {"replicas": 1},
        },
    }


async def _create(at: Stage, count: int, key: str) -> None:
    for number in range(NAMESPACES):
        await at.namespace(f"many-{number}")
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with places:
            made = many(number)
            metadata = {**made["metadata"], "name": agent_key_name(made["metadata"]["name"])}
            # the same for all of them, so that one process can answer
            secret = {"apiVersion": "v1", "kind": SECRET.kind, "metadata": metadata, "stringData": {"current": key}}
            await at.client.create(secret)
            await at.client.create(made)

    await asyncio.gather(*(one(number) for number in range(count)))


async def _all_ready(at: Stage, count: int) -> None:
    told = time.monotonic()

    async def ready() -> bool:
        nonlocal told
        found = await at.client.list_all(RESILIENT_SLICE)
        phases = [(slice_.get("status") or {}).get("phase") for slice_ in found]
        done = phases.count("Ready")
        if time.monotonic() - told > 15:
            told = time.monotonic()
            print(f"    {done} of {count} Ready; {_operator_cpu(at)}", flush=True)
        return done == count and not await asyncio.to_thread(_busy, at)

    await eventually(ready, f"{count} slices are Ready", seconds=SETTLE_SECONDS, every=3.0)


def _busy(at: Stage) -> bool:
    return bool(at.operator.health().get("queue_depth", 0))


def _operator_cpu(at: Stage) -> str:
    process = at.operator.process
    return f"operator: {processor_seconds(process):.0f} s CPU, {process.memory_info().rss / MEGABYTE:.0f} MB"


async def _at_rest(at: Stage, sizes: Sizes) -> AsyncIterator[Figure]:
    """After a pause in which what follows from the last change is done."""
    await asyncio.sleep(5.0)
    process, mark = at.operator.process, at.plane.mark()
    passes, cpu, began = at.operator.passes(), processor_seconds(process), time.monotonic()
    await asyncio.sleep(sizes.rest)
    seconds = time.monotonic() - began
    used, ran = processor_seconds(process) - cpu, at.operator.passes() - passes
    await asyncio.sleep(1.0)  # the audit log is written in batches
    asked = at.plane.asked(mark)
    of = f", {sizes.slices} slices"
    yield Figure(f"MB, the operator's memory{of}", process.memory_info().rss / MEGABYTE, None, MEMORY_MB)
    yield Figure(f"% of a processor at rest{of}", 100 * used / seconds, detail=f"{ran:.0f} passes in {seconds:.0f} s")
    changes = writes(asked)
    yield Figure(f"writes at rest{of}", changes.total(), None, 0, _words(changes) or f"asked: {_words(asked)}")


async def _restarted(at: Stage, sizes: Sizes) -> AsyncIterator[Figure]:
    mark = at.plane.mark()
    await asyncio.to_thread(at.operator.stop)
    began = time.monotonic()
    await asyncio.to_thread(at.operator.start)
    ready = time.monotonic() - began

    async def looked_at() -> bool:
        return await asyncio.to_thread(lambda: at.operator.passes() >= sizes.slices + 1 and not _busy(at))

    await eventually(looked_at, "every slice was looked at", seconds=300.0, every=0.2)
    seconds = time.monotonic() - began
    await asyncio.sleep(3.0)
    asked = at.plane.asked(mark)
    of = f", {sizes.slices} slices"
    detail = f"ready to be asked after {ready:.1f} s; {_operator_cpu(at)}"
    yield Figure(f"s, restarted → every slice looked at{of}", seconds, None, RESTART_SECONDS, detail)
    changes = writes(asked)
    yield Figure(f"writes after a restart{of}", changes.total(), None, 0, _words(changes))
    most = max(lists(asked).values(), default=0)
    yield Figure(f"lists after a restart, the most of a kind{of}", most, detail=_words(asked))


def _words(asked: Any) -> str:
    return ", ".join(f"{verb} {resource} {count}" for (verb, resource), count in sorted(asked.items()))
