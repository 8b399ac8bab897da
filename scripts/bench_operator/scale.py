"""What an operator with many slices costs: memory, CPU and requests at rest, a restart, and the same edit as before.

One slice is real; the pods of the others are answered for by one process. All objects of all of them are real.
"""

import asyncio
import time
from collections.abc import AsyncIterator

from scripts.bench.figures import Figure
from scripts.bench_operator.changes import percentile
from scripts.bench_operator.sizes import Sizes
from scripts.bench_operator.traffic import change_weights, live_canary
from scripts.bench_operator.weight import latency_figures

from testkit.audit_log import lists, words, writes
from testkit.documents import many
from testkit.many_slices import MEGABYTE, agents, all_ready, busy, create, operator_cpu
from testkit.processes import processor_seconds
from testkit.stage import Stage
from testkit.waiting import eventually

MEMORY_MB, RESTART_SECONDS = 150.0, 60.0
LATENCY = 2.0
"""What the same edit may take, as a multiple of what it took in this run while there was one slice."""


async def figures(sizes: Sizes) -> AsyncIterator[Figure]:
    async with live_canary(sizes) as at:
        alone, answers, _ = await change_weights(at, sizes)
        for figure in latency_figures(alone, answers, of=", one slice"):
            yield figure
        with agents(at, sizes.slices) as key:
            began = time.monotonic()
            await create(at, [many(number) for number in range(sizes.slices)], key)
            await all_ready(at, sizes.slices + 1)
            seconds = time.monotonic() - began
            yield Figure(f"s, {sizes.slices} slices made from nothing, all Ready", seconds, detail=operator_cpu(at))
            async for figure in _at_rest(at, sizes):
                yield figure
            found, answers, _ = await change_weights(at, sizes)
            for figure in latency_figures(found, answers, of=f", {sizes.slices} slices"):
                yield figure
            for share in (50, 99):
                times = percentile(found.from_return, share) / percentile(alone.from_return, share)
                what = f"patch returned → first answer, p{share}: {sizes.slices} slices / one"
                yield Figure(what, times, None, LATENCY)
            async for figure in _restarted(at, sizes):
                yield figure


async def _at_rest(at: Stage, sizes: Sizes) -> AsyncIterator[Figure]:
    """After a pause in which what follows from the last change is done."""
    await asyncio.sleep(5.0)
    process, mark = at.operator.process, at.plane.mark()
    passes, cpu, began = at.operator.passes(), processor_seconds(process), time.monotonic()
    await asyncio.sleep(sizes.rest)
    seconds = time.monotonic() - began
    used, ran = processor_seconds(process) - cpu, at.operator.passes() - passes
    await asyncio.sleep(1.0)  # the audit log is written in batches
    asked = at.plane.requests(mark)
    of = f", {sizes.slices} slices"
    yield Figure(f"MB, the operator's memory{of}", process.memory_info().rss / MEGABYTE, None, MEMORY_MB)
    yield Figure(f"% of a processor at rest{of}", 100 * used / seconds, detail=f"{ran:.0f} passes in {seconds:.0f} s")
    changes = writes(asked)
    yield Figure(f"writes at rest{of}", len(changes), None, 0, words(changes) or f"asked: {words(asked)}")


async def _restarted(at: Stage, sizes: Sizes) -> AsyncIterator[Figure]:
    mark = at.plane.mark()
    await asyncio.to_thread(at.operator.stop)
    began = time.monotonic()
    await asyncio.to_thread(at.operator.start)
    ready = time.monotonic() - began

    async def looked_at() -> bool:
        return await asyncio.to_thread(lambda: at.operator.passes() >= sizes.slices + 1 and not busy(at))

    await eventually(looked_at, "every slice was looked at", seconds=300.0, every=0.2)
    seconds = time.monotonic() - began
    await asyncio.sleep(3.0)
    asked = at.plane.requests(mark)
    of = f", {sizes.slices} slices"
    detail = f"ready to be asked after {ready:.1f} s; {operator_cpu(at)}"
    yield Figure(f"s, restarted → every slice looked at{of}", seconds, None, RESTART_SECONDS, detail)
    changes = writes(asked)
    yield Figure(f"writes after a restart{of}", len(changes), None, 0, words(changes))
    most = max(lists(asked).values(), default=0)
    yield Figure(f"lists after a restart, the most of a kind{of}", most, detail=words(asked))
