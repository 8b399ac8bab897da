"""Sets the stage in a temporary folder, runs every claim in turn, and says how each went as soon as it is known."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from resilientslice.agent.answers import AgentError
from resilientslice.demo import basics, canaries, crashes, faults, limits, updates
from resilientslice.demo.report import Measured, Result, Verdict
from resilientslice.demo.stage import ClaimError, Stage, on_stage
from resilientslice.local.errors import LocalError
from resilientslice.local.processes.folder import StateFolder
from resilientslice.local.processes.ledger import reap
from resilientslice.local.runtime import LocalRuntime
from resilientslice.local.settings import RunSettings

READY_WITHIN = 120.0
"""Seconds for all services to get ready on a slow machine; a bound, not an expectation."""
CLAIM_WITHIN = 120.0
"""Seconds after which a claim is given up."""


@dataclass(frozen=True, slots=True)
class Claim:
    title: str
    bar: str
    measure: Callable[[Stage], Awaitable[Measured]]


CLAIMS: Sequence[Claim] = (
    Claim("orders succeed end to end", "all taken, all settled", basics.orders_succeed),
    Claim(
        "a noisy tenant gets 429, another is untouched",
        "passed ≤ burst + rate, the other 0 failed",
        basics.tenants_are_kept_apart,
    ),
    Claim(
        "a payments replica that fails every request is ejected and returns",
        "< 0.5 % failed, ejected ≤ 10 s, back ≤ 30 s",
        faults.failing_replica_is_ejected,
    ),
    Claim(
        "a hanging replica costs one try, not the request",
        "< 0.5 % failed, tries repeated",
        faults.hanging_replica_costs_one_try,
    ),
    Claim(
        "at three times its capacity a service takes what it can and refuses the rest at once",
        "goodput ≥ 80 % of capacity, refused in ≤ 25 ms",
        updates.overload_is_turned_away,
    ),
    Claim(
        "X-Canary: 1 reaches the canary, and only it, through every hop",
        "all with, none without",
        canaries.header_reaches_only_the_canary,
    ),
    Claim(
        "a weight edit moves that share of the requests",
        "± 3 points over 3,000, 0 failed, 0 mixed",
        canaries.weight_moves_the_share,
    ),
    Claim(
        "a canary at weight 50 that refuses connections costs callers nothing",
        "0 failed, its own failures counted",
        canaries.refusing_canary_costs_nothing,
    ),
    Claim(
        "a canary at weight 50 that answers only 503 costs callers nothing",
        "0 failed, its own failures counted",
        canaries.failing_canary_costs_nothing,
    ),
    Claim("weight 100 promotes", "0 failed, all on the new image", canaries.hundred_promotes),
    Claim("an undeclared call is refused", "0 reached", basics.undeclared_calls_are_refused),
    Claim("a bad edit is refused with its reason", "field named, 0 failed", basics.bad_edits_are_refused),
    Claim("every service is replaced under load", "0 failed, every process new", updates.every_service_is_replaced),
    Claim("a limit is exact over two replicas", "within 1 % of burst + rate x time", limits.limits_are_exact),
    Claim("the worker is killed with orders in its hands", "each settled once", crashes.worker_may_be_killed),
    Claim(
        "Redis stalls and dies, requests continue",
        "≥ 90 % of the throughput, median + ≤ 20 ms, limits within 20 %, shown, 0 failed",
        limits.redis_may_stall_and_die,
    ),
    Claim("PostgreSQL crashes amid payments", "0 lost, 0 doubled, repeats taken", crashes.postgres_may_restart),
)


@asynccontextmanager
async def set_stage(
    sample: Path,
    folder: Path,
    *,
    port: int,
    watch: bool = False,
    runs: Callable[[LocalRuntime], None] = lambda _: None,
) -> AsyncIterator[Stage]:
    """Copy the sample and its procfile to `folder` and run it there, from nothing, and leave nothing behind.

    The folder is the same each time, so that a demo finds, and ends, what a killed one left. LocalError when another
    demo is on stage. `runs` gets the runtime before it starts anything.
    """
    state = folder / "state"
    await asyncio.to_thread(_clear, state)
    file = folder / sample.name
    for source in (sample, sample.with_suffix(".procfile")):
        shutil.copyfile(source, file.with_name(source.name))
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    settings = RunSettings(file=file, state=state, port=port, watch=watch)
    try:
        runtime = LocalRuntime(settings)
        runs(runtime)
        async with runtime, on_stage(runtime, file, document) as stage:
            await runtime.settled(timeout=READY_WITHIN)
            yield stage
    finally:
        await asyncio.to_thread(_clear, state)


def _clear(state: Path) -> None:
    """End what a killed demo left, and remove its state."""
    folder = StateFolder(state)
    try:
        reap(folder)
        folder.remove_temporaries()
    finally:
        folder.close()
    shutil.rmtree(state)


async def run_claims(stage: Stage, *, say: Callable[[str], None]) -> list[Result]:
    """Measure every claim. One that fails or breaks does not keep the others from being measured."""
    results: list[Result] = []
    for number, claim in enumerate(CLAIMS, start=1):
        say(f"[{number:2}/{len(CLAIMS)}] {claim.title} …")
        result = await _judge(claim, stage)
        results.append(result)
        say(f"        {result.verdict.upper()}: {result.measured} (bar: {claim.bar}; {result.seconds:.1f} s)")
    return results


async def _judge(claim: Claim, stage: Stage) -> Result:
    loop = asyncio.get_running_loop()
    started = loop.time()
    try:
        async with asyncio.timeout(CLAIM_WITHIN):
            measured = await claim.measure(stage)
    except TimeoutError:
        measured = Measured(f"gave up after {CLAIM_WITHIN:g} s", holds=False)
    except (ClaimError, LocalError, AgentError) as error:
        measured = Measured(str(error), holds=False)
    return Result(
        claim=claim.title,
        measured=measured.figures,
        bar=claim.bar,
        verdict=Verdict.PASS if measured.holds else Verdict.FAIL,
        seconds=loop.time() - started,
    )
