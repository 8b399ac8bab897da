"""100,000 hostile requests to api, payments and catalog, all real: `python -m scripts.hostile`.

Sends every shape of `shapes.py` in random order over connections that are kept, and watches what the services make of
it. Writes build/hostile/report.json; exits 1 for a 5xx, for an answer that is unfair to its shape, for a traceback or a
broken line in a log, and for memory that keeps growing after the first tenth.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from scripts.hostile.sender import Sender
from scripts.hostile.shapes import Shape, every_shape
from scripts.hostile.shop import Service, running_shop

from testkit.waiting import StartError

REPORT = Path("build/hostile/report.json")
TARGETS = {
    "api": ("/products", "/orders"),
    "payments": ("/payments/ord_1", "/pay"),
    "catalog": ("/products", "/products"),
}
MEBIBYTE = 2**20
SAMPLES = 50


@dataclass(slots=True)
class Tally:
    """What one service answered. `resident` is in bytes, by the number of requests sent to it so far."""

    statuses: Counter[int] = field(default_factory=Counter)
    unfair: list[str] = field(default_factory=list)
    resident: dict[int, int] = field(default_factory=dict)

    @property
    def sent(self) -> int:
        return self.statuses.total()

    def growth(self) -> int:
        """Bytes between the end of the warm-up, the first tenth, and the end; the most of three samples each."""
        samples = list(self.resident.values())
        warm = len(samples) // 10
        return max(samples[-3:]) - max(samples[warm : warm + 3])


async def treat(service: Service, requests: int, clients: int, seed: int) -> Tally:
    """Sends `requests` to one service from `clients` at once."""
    get, post = TARGETS[service.name]
    shapes = every_shape(get=get, post=post)
    draw, tally, left = random.Random(seed), Tally(), iter(range(requests))
    every = max(1, requests // SAMPLES)

    async def run() -> None:
        sender = Sender("127.0.0.1", service.port)
        for number in left:
            shape = draw.choice(shapes)
            note(tally, shape, (await sender.send(shape.raw)).status)
            if number % every == 0:
                tally.resident[number] = service.process.memory_info().rss
        await sender.close()

    await asyncio.gather(*(run() for _ in range(clients)))
    tally.resident[requests] = service.process.memory_info().rss
    return tally


def note(tally: Tally, shape: Shape, status: int) -> None:
    tally.statuses[status] += 1
    # An exchange over a kept connection may end with it, and with half of what came before it.
    if status >= 500 or (status and status not in shape.fair):
        tally.unfair.append(f"{shape.name}: {status}")


async def show_progress(services: dict[str, Service], total: int, started: float) -> None:
    while True:
        await asyncio.sleep(10)
        resident = ", ".join(f"{s.name} {s.process.memory_info().rss // MEBIBYTE} MiB" for s in services.values())
        print(f"  {time.monotonic() - started:4.0f} s of {total} requests: {resident}", flush=True)


async def run_all(services: dict[str, Service], args: argparse.Namespace) -> dict[str, Tally]:
    started = time.monotonic()
    progress = asyncio.create_task(show_progress(services, args.requests, started))
    share = args.requests // len(services)
    tallies = await asyncio.gather(*(treat(s, share, args.clients, args.seed) for s in services.values()))
    progress.cancel()
    return dict(zip(services, tallies, strict=True))


def judge(service: Service, tally: Tally, bound: int) -> list[str]:
    """What is wrong, in words."""
    wrong = []
    if tally.unfair:
        wrong.append(f"{len(tally.unfair)} unfair answers, such as {tally.unfair[:3]}")
    if tally.growth() > bound:
        wrong.append(f"grew by {tally.growth() / MEBIBYTE:.1f} MiB after the warm-up, more than {bound / MEBIBYTE:g}")
    if lines := service.log_faults():
        wrong.append(f"{len(lines)} errors or broken lines in the log, such as {lines[0]}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.hostile", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="in all (default 100000)")
    parser.add_argument("--clients", type=int, default=8, help="at once, for each service (default 8)")
    parser.add_argument("--growth", type=float, default=8.0, help="MiB that a service may grow (default 8)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31), help="to repeat a run")
    args = parser.parse_args()
    print(f"seed {args.seed}: {args.requests} hostile requests", flush=True)
    started, failed = time.monotonic(), False
    report: dict[str, object] = {"seed": args.seed, "requests": args.requests}
    with running_shop() as services:
        for name, tally in asyncio.run(run_all(services, args)).items():
            wrong = judge(services[name], tally, int(args.growth * MEBIBYTE))
            failed = failed or bool(wrong)
            statuses = {str(status): count for status, count in sorted(tally.statuses.items())}
            samples = {str(number): rss for number, rss in sorted(tally.resident.items())}
            report[name] = {"statuses": statuses, "growth": tally.growth(), "resident": samples, "wrong": wrong}
            first, last = next(iter(samples.values())), list(samples.values())[-1]
            print(f"{name}: {tally.sent} sent, {statuses}")
            print(
                f"  {first / MEBIBYTE:.1f} to {last / MEBIBYTE:.1f} MiB, {tally.growth() / MEBIBYTE:+.1f} after warm-up"
            )
            for line in wrong:
                print(f"  error: {line}", file=sys.stderr)
    report["seconds"] = round(time.monotonic() - started, 1)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    print(f"{report['seconds']} s; {REPORT}")
    return int(failed)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StartError as error:
        sys.exit(f"error: {error}")
