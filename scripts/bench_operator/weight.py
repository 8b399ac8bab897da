"""How soon answers follow a weight, with one slice; and where the time goes."""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from scripts.bench.figures import Figure
from scripts.bench_operator import traced
from scripts.bench_operator.changes import Answers, Change, Measured, percentile
from scripts.bench_operator.sizes import Sizes
from scripts.bench_operator.traffic import change_weights, live_canary

from testkit.documents import NAME
from testkit.simulation import REAL

P50_MS, P99_MS = 8.0, 20.0
STATUS_MS = 1000.0


async def figures(sizes: Sizes) -> AsyncIterator[Figure]:
    async with live_canary(sizes) as at:
        found, answers, _ = await change_weights(at, sizes)
        for figure in latency_figures(found, answers, P50_MS, P99_MS):
            yield figure


async def breakdown(sizes: Sizes) -> AsyncIterator[Figure]:
    """The same with a clock in the operator: medians of each stage."""
    async with live_canary(sizes, traced.command) as at:
        found, answers, changes = await change_weights(at, sizes)
        at.operator.stop()
        for what, values in _stages(changes, traced.trace(at.folder), found, answers).items():
            if values:
                yield Figure(f"ms, {what}", percentile(values, 50), detail=f"p99 {percentile(values, 99):.1f}")


def latency_figures(
    found: Measured, answers: Answers, p50: float | None = None, p99: float | None = None, of: str = ""
) -> list[Figure]:
    """Milliseconds against their bars, or only told."""
    seen = (
        f"p99 gap of the load {answers.gap(99):.1f} ms, its answers {answers.seconds(50):.1f}/{answers.seconds(99):.1f}"
    )
    yard = percentile(found.yardstick, 50)
    patch = f"the patch itself {percentile(found.patch, 50):.1f}/{percentile(found.patch, 99):.1f}"
    after, status = found.from_return, found.status
    return [
        Figure(f"ms, patch returned → first answer, p50{of}", percentile(after, 50), None, p50, patch),
        Figure(
            f"ms, patch returned → first answer, p99{of}", percentile(after, 99), None, p99, f"max {max(after):.1f}"
        ),
        Figure(f"ms, patch sent → first answer, p50{of}", percentile(found.from_sent, 50)),
        Figure(f"ms, patch sent → first answer, p99{of}", percentile(found.from_sent, 99)),
        Figure(
            f"requests that failed{of}",
            answers.failed,
            None,
            0,
            f"of {len(answers.sent)}, {answers.rate:.0f}/s; {seen}",
        ),
        Figure(f"changes that no answer followed{of}", found.lost, None, 0, f"of {len(found.patch)}"),
        Figure(
            f"ms, patch returned → in the status, p99{of}",
            percentile(status, 99),
            None,
            STATUS_MS,
            f"p50 {percentile(status, 50):.1f}",
        ),
        Figure(
            f"patch returned → first answer / a write of a ConfigMap, medians{of}",
            percentile(after, 50) / yard,
            detail=f"the write {yard:.1f} ms, p99 {percentile(found.yardstick, 99):.1f}",
        ),
    ]


def _stages(changes: Sequence[Change], trace: Path, found: Measured, answers: Answers) -> dict[str, list[float]]:
    """By stage, milliseconds of each change. A stage of a pass that plans twice is counted once, as a sum."""
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    key = f"{REAL}/{NAME}"
    heard: dict[int, int] = {}
    for line in lines:
        if line.get("event") == key:
            heard.setdefault(line["generation"], line["at"])
    passes = [line for line in lines if line.get("pass") == key]
    table: dict[str, list[float]] = {"patch sent → returned": list(found.patch)}
    ends = [change.sent for change in changes[1:]] + [answers.sent[-1]]
    for change, end in zip(changes, ends, strict=True):
        at = heard.get(change.generation)
        one = next((p for p in passes if at and p["began"] >= at and "push" in p["stages"] and p["began"] < end), None)
        if at is None or one is None:
            continue
        _add(table, "patch sent → handler", at - change.sent)
        _add(table, "patch returned → handler", at - change.returned)
        _add(table, "handler → pass begins (queue)", one["began"] - at)
        for name, (cpu, wall) in one["stages"].items():
            _add(table, f"  pass: {name}", wall * 1000)
            _add(table, f"  pass: {name}, CPU", cpu * 1000)
        _add(table, "pass, whole", one["ended"] - one["began"])
        first = answers.first_of_new(change, end)
        if first is not None:
            before = sum(one["stages"].get(name, (0, 0))[1] for name in ("read", "gather", "plan", "push")) * 1000
            _add(table, "Envoys' acknowledgement → first answer (about)", first - one["began"] - before)
    return table


def _add(table: dict[str, Any], name: str, nanoseconds: float) -> None:
    table.setdefault(name, []).append(nanoseconds / 1e6)
