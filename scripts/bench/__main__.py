"""`make bench`: what the parts cost, each against a simpler one measured beside it in the same run.

Ratios survive a slow machine, milliseconds don't. Writes build/bench/report.json; exits 1 when a figure misses its bar.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
from scripts.bench import limits, proxy, rendering
from scripts.bench.figures import Figure

from testkit.waiting import StartError

REPORT = Path(__file__).resolve().parents[2] / "build" / "bench" / "report.json"
PARTS: dict[str, Callable[[], Iterator[Figure]]] = {
    "render": rendering.figures,
    "proxy": proxy.figures,
    "limits": limits.figures,
    "accuracy": limits.accuracy,
    "stall": limits.stall,
}
EPILOG = """examples:
  make bench                       all of it, about five minutes; keep the machine quiet
  make bench PARTS="proxy stall"   some of it
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}; default: all")
    wanted = parser.parse_args().parts or list(PARTS)
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)} (there are {', '.join(PARTS)})")
    busy = psutil.cpu_percent(interval=1)
    print(f"{os.cpu_count()} processors, {busy:.0f} % busy before the start", flush=True)
    found = []
    for part in wanted:
        print(f"\n{part}", flush=True)
        for figure in PARTS[part]():
            print(f"  {figure}", flush=True)
            found.append(figure)
    report = {
        "processors": os.cpu_count(),
        "busy_percent_before": busy,
        "figures": [{**asdict(figure), "holds": figure.holds} for figure in found],
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    missed = [figure for figure in found if not figure.holds]
    print(f"\n{len(found) - len(missed)} of {len(found)} bars hold; {REPORT.relative_to(Path.cwd())}")
    return 1 if missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StartError as error:
        sys.exit(f"error: {error}")
