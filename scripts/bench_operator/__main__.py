"""`make bench-operator`: how soon traffic follows an edit, and what an operator with many slices costs.

Writes build/bench/operator.json; exits 1 when a figure misses its bar. See docs/benchmarks.md.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path

import psutil
from scripts.bench.figures import Figure
from scripts.bench_operator import kind, loop, scale, weight
from scripts.bench_operator.sizes import Sizes

from testkit.waiting import StartError

REPORT = Path(__file__).resolve().parents[2] / "build" / "bench" / "operator.json"
PARTS: dict[str, Callable[[Sizes], AsyncIterator[Figure]]] = {
    "weight": weight.figures,
    "breakdown": weight.breakdown,
    "scale": scale.figures,
    "loop": loop.figures,
    "kind": kind.figures,
}
EVERYWHERE = [part for part in PARTS if part != "kind"]
"""Without what needs a cluster."""
EPILOG = """examples:
  make bench-operator                                     all but kind; keep the machine quiet
  make bench-operator PARTS=kind                          in the cluster of `make cluster-up`
  make bench-operator PARTS="weight breakdown"            some of it
  make bench-operator PARTS="scale --slices 100"          smaller
"""


def arguments() -> argparse.Namespace:
    sizes = Sizes()
    parser = argparse.ArgumentParser(
        prog="make bench-operator",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}; default: all but kind")
    parser.add_argument("--changes", type=int, default=sizes.changes, help="of the weight (%(default)s)")
    parser.add_argument("--rate", type=float, default=sizes.rate, help="requests a second (%(default)s)")
    parser.add_argument("--proxies", type=int, default=sizes.proxies, help="Envoys of the slice (%(default)s)")
    parser.add_argument("--slices", type=int, default=sizes.slices, help="of the part `scale` (%(default)s)")
    parser.add_argument("--rest", type=float, default=sizes.rest, help="seconds to look at it at rest (%(default)s)")
    values = parser.parse_args()
    unknown = [part for part in values.parts if part not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)} (there are {', '.join(PARTS)})")
    return values


async def measure(part: str, sizes: Sizes) -> list[Figure]:
    found = []
    async for figure in PARTS[part](sizes):
        print(f"  {figure}", flush=True)
        found.append(figure)
    return found


def _first(error: BaseException) -> BaseException:
    """Out of the groups that it was raised in: tasks run within tasks."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def main() -> int:
    values = arguments()
    sizes = Sizes(values.changes, values.rate, values.proxies, values.slices, values.rest)
    busy = psutil.cpu_percent(interval=1)
    print(f"{os.cpu_count()} processors, {busy:.0f} % busy before the start", flush=True)
    found: list[Figure] = []
    for part in values.parts or EVERYWHERE:
        print(f"\n{part}", flush=True)
        try:
            found += asyncio.run(measure(part, sizes))
        except* StartError as errors:
            raise SystemExit(f"error: {_first(errors)}") from None
    report = {
        "processors": os.cpu_count(),
        "busy_percent_before": busy,
        "sizes": asdict(sizes),
        "figures": [{**asdict(figure), "holds": figure.holds} for figure in found],
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    missed = [figure for figure in found if not figure.holds]
    print(f"\n{len(found) - len(missed)} of {len(found)} bars hold; {REPORT.relative_to(Path.cwd())}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
