"""`python -m tests.kube.chaos --seed N --steps N`: a run of chaos against the real operator and a real API server.

The seed decides what is done and in which order; when it happens depends on the machine, so a run that is repeated is
alike, not the same.
"""

import argparse
import asyncio
import logging
import os
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

import structlog
from tests.kube.chaos.run import chaos


def network() -> str:
    """The first two bytes of addresses that no other run on this machine uses."""
    return f"127.{100 + os.getpid() % 100}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kube.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 10_000))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--slices", type=int, default=5)
    parser.add_argument("--log", type=Path, help="file for the whole account; default: chaos-SEED.log in build/")
    values = parser.parse_args()
    out = values.log or Path("build") / f"chaos-{values.seed}.log"
    out.parent.mkdir(parents=True, exist_ok=True)
    print(f"seed {values.seed}, {values.steps} steps; the account is written to {out}", flush=True)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory(prefix="rslice-chaos-") as folder:
        run = asyncio.run(
            chaos(values.seed, values.steps, folder=Path(folder), network=network(), out=out, slices=values.slices)
        )
    for rule, count in Counter(finding.rule for finding in run.findings).most_common():
        print(f"{count:4} {rule}")
    print(f"{len(run.findings)} findings; seed {run.seed}, {run.steps} steps: {out}")
    return 1 if run.findings else 0


if __name__ == "__main__":
    sys.exit(main())
