"""`scripts/fault-runs.sh`: randomised faults on the real shop, then a count of every cent."""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import traceback
from pathlib import Path

import psycopg
from redis import RedisError
from scripts.faults.run import perform, write_report

_EXAMPLES = """\
Each run starts PostgreSQL, Redis and seven services as processes, lets clients order, repeat, ask twice at once and
give up, while services and stores are killed, frozen, restarted and cut off; then heals, drains, and compares clients,
ledger, settlements and queues. No order may be lost, charged twice or settled twice.

Examples:
  scripts/fault-runs.sh                        # one run, its seed drawn and printed
  scripts/fault-runs.sh --runs 20              # the acceptance: seeds N, N+1 ...
  scripts/fault-runs.sh --seed 7 --faults 30   # the plan of seed 7, longer

Exit code: 0 if every run was clean, 1 if not, 2 for a wrong argument. A run that isn't clean keeps its logs.
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/fault-runs.sh", epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=_count, default=1, metavar="N", help="how many runs (default: 1)")
    parser.add_argument("--seed", type=int, metavar="N", help="of the first run; the others count on (default: drawn)")
    parser.add_argument("--faults", type=_count, default=10, metavar="N", help="faults in a run (default: 10)")
    parser.add_argument("--report", type=Path, default=Path("build/faults/report.json"), metavar="FILE")
    return parser.parse_args()


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000")
    return int(text)


def main() -> int:
    arguments = _arguments()
    first = random.randrange(10**6) if arguments.seed is None else arguments.seed
    if arguments.seed is None and os.environ.get("CI") == "true":
        first = 1
    results, failed = [], 0
    for seed in range(first, first + arguments.runs):
        folder = Path(tempfile.mkdtemp(prefix=f"faults-{seed}-"))
        print(f"==> seed {seed} ({seed - first + 1} of {arguments.runs})", flush=True)
        try:
            result = asyncio.run(perform(seed, arguments.faults, folder, lambda text: print(f"    {text}", flush=True)))
        except (OSError, psycopg.Error, RedisError) as exc:
            traceback.print_exception(exc)
            print(f"FAILED  seed {seed}: {exc}; logs: {folder}", flush=True)
            failed += 1
            continue
        results.append(result)
        write_report(arguments.report, results)
        print(
            f"{'ok    ' if result.clean else 'FAILED'}  seed {seed}: {result.orders} orders, {result.charges} charges,"
            f" {result.settlements} settlements, {len(result.duplicates)} duplicates, {len(result.lost)} lost,"
            f" {result.relayed} relayed, {result.abandoned} abandoned, {result.seconds:.0f} s",
            flush=True,
        )
        if not result.clean:
            failed += 1
            problems = (*result.duplicates, *result.lost, *result.wrong)
            print("\n".join(f"        {problem}" for problem in problems[:20]), f"\n        logs: {folder}", flush=True)
    print(f"{arguments.runs - failed} of {arguments.runs} runs clean; report: {arguments.report}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
