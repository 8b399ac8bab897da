"""One run: a shop, its clients, the faults of a seed, then healing, draining and counting."""

import asyncio
import json
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
from scripts.faults.clients import Clients
from scripts.faults.plan import Fault, draw_plan
from scripts.faults.shop import Shop
from scripts.faults.stores import send, until
from scripts.faults.verdict import POISON, Facts, judge

DRAIN_SECONDS = 90.0
STREAM, DEAD, GROUP = "orders", "orders:dead", "settlement"
# Whoever is in a transaction, and above all who commits.
_TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type ="
    " 'client backend' AND (state <> 'idle' OR query ILIKE 'commit%') AND random() < 0.5"
)
_BOOKINGS = (
    "SELECT order_id, count(*)::int, sum(ledger.amount_cents)::bigint FROM payments.ledger JOIN payments.payments"
    " USING (payment_id) GROUP BY payment_id, order_id"
)


@dataclass(frozen=True, slots=True)
class Result:
    """Of one run, as it stands in the report."""

    seed: int
    clean: bool
    faults: list[str]
    asked: int
    answers: dict[str, int]
    orders: int
    """Orders that a client was told are taken."""
    charges: int
    settlements: int
    abandoned: int
    """Charged, though nobody was ever told: their clients left. They are settled all the same."""
    relayed: int
    """Orders that only the outbox brought to the queue."""
    terminated: int
    """Connections that were cut in a transaction."""
    poisoned: int
    duplicates: list[str]
    lost: list[str]
    wrong: list[str]
    queues: dict[str, int]
    seconds: float

    def document(self) -> dict[str, Any]:
        return asdict(self)


class Injector:
    """Does to a shop what a plan says."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self.poisoned = 0
        self.terminated = 0

    async def inject(self, fault: Fault) -> None:
        """Returns when the fault has ended."""
        shop = self._shop
        match fault.kind:
            case "kill":
                shop.kill(fault.target)
                await asyncio.sleep(fault.hold)
                shop.spawn(fault.target)
            case "freeze":
                send(shop.process(fault.target), signal.SIGSTOP)
                await asyncio.sleep(fault.hold)
                send(shop.process(fault.target), signal.SIGCONT)
            case "terminate":
                await asyncio.to_thread(self._terminate, fault.hold)
            case "restart-postgres" | "crash-postgres":
                await shop.postgres.end(signal.SIGINT if fault.kind == "restart-postgres" else signal.SIGQUIT)
                await asyncio.sleep(fault.hold)
                await shop.postgres.start()
            case "crash-redis" | "forget-redis":
                await shop.redis.kill(forget=fault.kind == "forget-redis")
                await asyncio.sleep(fault.hold)
                await shop.redis.start()
            case "poison":
                shop.redis.client.xadd(STREAM, {"order_id": POISON, "amount_cents": "much"})
                self.poisoned += 1
            case _:
                raise ValueError(f"there is no fault {fault.kind}")
        await asyncio.sleep(fault.gap)

    def _terminate(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        with psycopg.connect(self._shop.postgres.url, autocommit=True) as connection:
            while time.monotonic() < end:
                self.terminated += len(connection.execute(_TERMINATE).fetchall())


async def perform(seed: int, faults: int, folder: Path, say: Callable[[str], None]) -> Result:
    """Everything of one run. Its logs stay in `folder`. TimeoutError if the shop does not recover."""
    started = time.monotonic()
    plan = draw_plan(seed, faults)
    async with Shop(folder) as shop, aiohttp.ClientSession() as http:
        clients = Clients(http, [shop.url("api-0"), shop.url("api-1")], seed)
        injector = Injector(shop)
        running = asyncio.create_task(clients.run())
        try:
            await asyncio.sleep(0.5)
            for fault in plan:
                say(str(fault))
                await injector.inject(fault)
            say("heal")
            await shop.heal()
            clients.stop.set()
            await running
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        say("drain")
        await _drain(shop)
        forgot = any(fault.kind == "forget-redis" for fault in plan)
        facts = await asyncio.to_thread(_gather, shop, clients, injector.poisoned, forgot)
        return _result(seed, facts, Scene(plan, clients, injector, shop), seconds=time.monotonic() - started)


async def _drain(shop: Shop) -> None:
    """Until nothing waits any more; what is left after that is for the verdict to name."""

    async def empty() -> bool:
        return not any((await asyncio.to_thread(_queues, shop)).values())

    with suppress(TimeoutError):
        await until(empty, "drained queues", seconds=DRAIN_SECONDS)


def _queues(shop: Shop) -> dict[str, int]:
    redis = shop.redis.client
    groups: Any = redis.xinfo_groups(STREAM)
    length: Any = redis.xlen(STREAM)
    ((outbox,),) = shop.postgres.ask("SELECT count(*) FROM payments.outbox")
    pending = sum(group["pending"] for group in groups if group["name"] == GROUP)
    return {"queued": int(length), "pending": int(pending), "outbox": int(outbox)}


def _gather(shop: Shop, clients: Clients, poisoned: int, forgot: bool) -> Facts:
    ask, redis = shop.postgres.ask, shop.redis.client
    charges = [(order, int(cents)) for order, cents in ask("SELECT order_id, amount_cents FROM payments.payments")]
    settled = [(order, int(cents)) for order, cents in ask("SELECT order_id, amount_cents FROM worker.settlements")]
    dead: Any = redis.xrange(DEAD)
    shown: dict[str, str] = {order: str(redis.hget(f"order:{order}", "status")) for order, _ in charges}
    return Facts(
        acknowledged=clients.acknowledged,
        ids_by_key=clients.ids_by_key,
        charges=charges,
        bookings=[(order, int(rows), int(cents)) for order, rows, cents in ask(_BOOKINGS)],
        settlements=settled,
        shown=shown,
        poisoned=poisoned,
        dead=[fields.get("order_id", "") for _, fields in dead],
        forgot=forgot,
        **_queues(shop),
    )


@dataclass(frozen=True, slots=True)
class Scene:
    plan: tuple[Fault, ...]
    clients: Clients
    injector: Injector
    shop: Shop


def _result(seed: int, facts: Facts, scene: Scene, *, seconds: float) -> Result:
    clients, injector, shop = scene.clients, scene.injector, scene.shop
    verdict = judge(facts)
    wrong = verdict.wrong + clients.refused + [f"{name} has a traceback in its log" for name in shop.crashed()]
    return Result(
        seed=seed,
        clean=verdict.clean and not wrong,
        faults=[str(fault) for fault in scene.plan],
        asked=clients.asked,
        answers=dict(clients.answers),
        orders=len(facts.acknowledged),
        charges=len(facts.charges),
        settlements=len(facts.settlements),
        abandoned=len({order for order, _ in facts.charges} - facts.acknowledged.keys()),
        relayed=shop.count('"a charged order was not queued; it is now"'),
        terminated=injector.terminated,
        poisoned=injector.poisoned,
        duplicates=verdict.duplicates,
        lost=verdict.lost,
        wrong=wrong,
        queues={"stream": facts.queued, "pending": facts.pending, "outbox": facts.outbox, "dead": len(facts.dead)},
        seconds=round(seconds, 1),
    )


def write_report(file: Path, results: list[Result]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    runs = [result.document() for result in results]
    totals = {
        name: sum(run[name] for run in runs)
        for name in ("asked", "orders", "charges", "settlements", "abandoned", "relayed", "terminated", "poisoned")
    }
    totals |= {name: sum(len(run[name]) for run in runs) for name in ("faults", "duplicates", "lost", "wrong")}
    document = {"clean": all(result.clean for result in results), "totals": totals, "runs": runs}
    file.write_text(json.dumps(document, indent=2) + "\n")
