"""Claims about replicas that fail or hang: callers hardly notice, and the replica comes back when it is well."""

import itertools

from resilientslice.demo.load import Background, Request
from resilientslice.demo.report import Measured
from resilientslice.demo.stage import Stage, until
from resilientslice.demo.traffic import SKUS, order

RATE = 50
EJECTED_WITHIN = 10.0
RETURNED_WITHIN = 30.0
MAX_ERROR_PERCENT = 0.5
ORDERS = 250

_keys = itertools.count()


def _next_order(number: int) -> Request:
    return order(f"fault-{next(_keys)}", SKUS[number % len(SKUS)])


async def failing_replica_is_ejected(stage: Stage) -> Measured:
    """One payments replica answers only 503; it is ejected, and returns after it healed."""
    victim = stage.replicas("payments")[0]
    async with Background(stage.client, _next_order, per_second=RATE) as traffic:
        await stage.fault([victim], "fail", probability=1.0, status=503, **{"for": "60s"})
        ejected = await until(lambda: stage.ejected(victim), within=EJECTED_WITHIN, what=f"ejection of {victim.name}")
        await _until_count(traffic, ORDERS)
        await stage.heal([victim])
        back = await stage.returned(victim, within=RETURNED_WITHIN)
    tally = traffic.tally
    percent = 100 * tally.failed / tally.total
    figures = (
        f"{tally.failed} of {tally.total} orders failed ({percent:.2f} %), ejected after {ejected:.1f} s, "
        f"back {back:.1f} s after healing"
    )
    return Measured(figures, percent < MAX_ERROR_PERCENT)


async def hanging_replica_costs_one_try(stage: Stage) -> Measured:
    """One payments replica hangs; the per-try time-out ends that try and another replica answers."""
    victim = stage.replicas("payments")[0]
    await stage.fault([victim], "slow", probability=1.0, delay="5s", **{"for": "60s"})
    retries = await stage.counter("payments-stable", "upstream_rq_retry")
    tally = await stage.client.paced([_next_order(n) for n in range(ORDERS)], per_second=RATE)
    saved = await stage.counter("payments-stable", "upstream_rq_retry") - retries
    await stage.heal([victim])
    percent = 100 * tally.failed / tally.total
    figures = (
        f"{tally.failed} of {tally.total} orders failed, {saved} tries repeated, "
        f"p99 {tally.percentile(99) * 1000:.0f} ms, slowest {tally.percentile(100) * 1000:.0f} ms"
    )
    return Measured(figures, percent < MAX_ERROR_PERCENT and saved > 0)


async def _until_count(traffic: Background, count: int) -> None:
    async def enough() -> bool:
        return traffic.tally.total >= count

    await until(enough, within=60, what=f"{count} orders")
