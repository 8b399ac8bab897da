"""Claims about money when something dies: what was paid is paid once, what was ordered is settled once."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import redis.asyncio

from resilientslice.api.services import StoreName
from resilientslice.demo.basics import until_settled
from resilientslice.demo.load import Request, Tally
from resilientslice.demo.report import Measured
from resilientslice.demo.stage import ClaimError, Stage, until
from resilientslice.demo.traffic import SKUS, order

ORDERS, PER_SECOND = 160, 40
BEFORE = 30
"""Payments that are made before PostgreSQL goes."""
REPEATED_WITHIN = 30.0
JOBS, HELD = 60, 10
"""Orders that are placed, and how many of them the worker has taken when it is killed."""
SETTLED_WITHIN = 40.0
STREAM, GROUP, DEAD = "orders", "settlement", "orders:dead"

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

_PAYMENTS = "SELECT count(*) FROM payments.payments"
_CHARGES = """
SELECT p.order_id, count(*) FROM payments.payments p JOIN payments.ledger l USING (payment_id)
WHERE l.account = 'customer' AND p.order_id = ANY(%s) GROUP BY p.order_id
"""
_SUM = "SELECT coalesce(sum(amount_cents), 0) FROM payments.ledger"
_LOCK = "LOCK TABLE worker.settlements IN EXCLUSIVE MODE"
_SETTLEMENTS = "SELECT order_id, count(*) FROM worker.settlements WHERE order_id = ANY(%s) GROUP BY order_id"


async def postgres_may_restart(stage: Stage) -> Measured:
    """PostgreSQL is stopped as by a crash while orders are paid. Who got an answer is charged once; who was refused
    repeats the order with the same key and is charged once, too."""
    requests = [order(f"restart-{n}", SKUS[n % len(SKUS)]) for n in range(ORDERS)]
    start = await _payments(stage)
    paying = asyncio.create_task(stage.client.paced(requests, per_second=PER_SECOND))

    async def under_way() -> bool:
        return await _payments(stage) >= start + BEFORE

    try:
        await until(under_way, within=30, what=f"{BEFORE} payments")
        before = stage.pid(StoreName.POSTGRES)
        os.kill(before, signal.SIGQUIT)
        took = await stage.restarted(StoreName.POSTGRES, before, within=30)
    finally:
        tally = await paying
    refused = tally.failed
    ids = await _taken(stage, requests, tally)
    charges, total = await _charges(stage, sorted(ids))
    lost, doubled = len(ids - charges.keys()), sum(count > 1 for count in charges.values())
    await stage.settled()
    figures = (
        f"{tally.total - refused} of {ORDERS} orders taken at once, {refused} when repeated; PostgreSQL back"
        f" after {took:.1f} s; {lost} payments lost, {doubled} doubled"
    )
    return Measured(figures, len(ids) == ORDERS and lost == 0 and doubled == 0 and total == 0)


async def _taken(stage: Stage, requests: Sequence[Request], tally: Tally) -> set[str]:
    """Send what was refused again, with the same key, until all is taken; the ids of the orders."""
    answers = dict(enumerate(tally.answers))

    async def all_taken() -> bool:
        waiting = [number for number, answer in answers.items() if not answer.succeeded]
        again = await stage.client.paced([requests[number] for number in waiting], per_second=PER_SECOND)
        answers.update(zip(waiting, again.answers, strict=True))
        return again.failed == 0

    await until(all_taken, within=REPEATED_WITHIN, what="taking of the orders that were refused")
    return {answer.body["order_id"] for answer in answers.values()}


async def worker_may_be_killed(stage: Stage) -> Measured:
    """The worker is killed with orders in its hands: the next one settles them, and each order once."""
    requests = [order(f"job-{n}", SKUS[n % len(SKUS)]) for n in range(JOBS)]
    async with _redis(stage) as queue:
        buried = await queue.xlen(DEAD)
        async with _postgres(stage) as connection:
            # nothing can be settled now, so what the worker takes stays in its hands
            await connection.execute(_LOCK)
            tally = await stage.client.paced(requests, per_second=PER_SECOND)

            async def holds_some() -> bool:
                return await _in_hands(queue) >= HELD

            await until(holds_some, within=20, what=f"{HELD} orders in the worker's hands")
            in_hands = await _in_hands(queue)
            worker = stage.replicas("worker")[0]
            if worker.pid is None:
                raise ClaimError("the worker is not running")
            os.kill(worker.pid, signal.SIGKILL)
            await connection.rollback()
        ids = sorted(await _taken(stage, requests, tally))
        took = await until_settled(stage, ids, within=SETTLED_WITHIN)

        async def nothing_left() -> bool:
            return await _in_hands(queue) == 0

        await until(nothing_left, within=10, what="an empty stream of orders")
        buried = await queue.xlen(DEAD) - buried
    await stage.settled()
    async with _postgres(stage) as connection:
        settled = dict(await (await connection.execute(_SETTLEMENTS, (ids,))).fetchall())
    figures = (
        f"{in_hands} of {tally.total} orders in its hands when it was killed; {len(settled)} settled,"
        f" {sum(count > 1 for count in settled.values())} twice, the last {took:.1f} s later"
    )
    holds = len(ids) == JOBS and settled == dict.fromkeys(ids, 1) and buried == 0
    return Measured(figures, holds)


async def _in_hands(queue: "redis.asyncio.Redis") -> int:
    """Orders that a worker has taken and not finished."""
    return int((await queue.xpending(STREAM, GROUP))["pending"])


async def _payments(stage: Stage) -> int:
    async with _postgres(stage) as connection:
        row = await (await connection.execute(_PAYMENTS)).fetchone()
    return int(row[0]) if row else 0


async def _charges(stage: Stage, ids: list[str]) -> tuple[dict[str, int], int]:
    """How often the customer of each order was charged, and what all entries of the ledger add up to."""
    async with _postgres(stage) as connection:
        charges = dict(await (await connection.execute(_CHARGES, (ids,))).fetchall())
        row = await (await connection.execute(_SUM)).fetchone()
    return charges, int(row[0]) if row else 0


@asynccontextmanager
async def _postgres(stage: Stage) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(stage.store(StoreName.POSTGRES).url) as connection:
        yield connection


@asynccontextmanager
async def _redis(stage: Stage) -> AsyncIterator["redis.asyncio.Redis"]:
    client = redis.asyncio.Redis.from_url(stage.store(StoreName.REDIS).url, decode_responses=True)
    try:
        yield client
    finally:
        await client.aclose()
