"""Worker: every order settled once, through crashes, duplicates, poison and outages."""

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from redis.asyncio import Redis

import shop_worker.app
from shop_worker.queue import DEAD, GROUP, STREAM, TRIES, Backlog, OrderQueue
from slicekit import Environment, Kit, SettingError
from slicekit.redis_store import RedisStore

QUICK = {"PORT": "", "WORKER_BLOCK": "20ms", "WORKER_CLAIM_IDLE": "100ms", "WORKER_TRIES": "3"}
ORDER = {"order_id": "ord_1", "tenant": "gold", "amount_cents": "500", "currency": "EUR"}


@pytest.fixture
def launch_worker(launch: Any, stores: dict[str, str]) -> Any:
    async def start(pod: str = "worker-1", **changes: str) -> Any:
        return await launch(
            shop_worker.app.build, "worker", stores | QUICK | {"POD_NAME": pod} | changes, needs_port=False
        )

    return start


@pytest.fixture
async def store(stores: dict[str, str], redis: Redis) -> AsyncIterator[RedisStore]:
    store = RedisStore(Kit.from_env("worker", Environment(stores | {"PORT": ""}), needs_port=False))
    yield store
    await store.close()


def settled(database_url: str) -> list[tuple[str, str]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute("SELECT order_id, settled_by FROM worker.settlements ORDER BY 1").fetchall()


async def drained(redis: Redis, eventually: Any) -> None:
    async def empty() -> bool:
        return await redis.xlen(STREAM) == 0

    await eventually(empty)


async def test_orders_are_settled_once_by_several_workers(
    launch_worker: Any, stores: dict[str, str], redis: Redis, eventually: Any
) -> None:
    for number in range(100):
        # each order twice, as if the producer had repeated itself
        await redis.xadd(STREAM, ORDER | {"order_id": f"ord_{number % 50:02}"})
    await asyncio.gather(launch_worker("worker-1"), launch_worker("worker-2"))
    await drained(redis, eventually)
    assert [order for order, _ in settled(stores["DATABASE_URL"])] == [f"ord_{number:02}" for number in range(50)]


async def test_a_worker_killed_between_settling_and_acknowledging(
    spawn: Any, launch_worker: Any, stores: dict[str, str], redis: Redis, eventually: Any
) -> None:
    """Its message comes to another worker, which finds the order settled and only finishes the rest."""
    # A value of another type holds the first worker up right after the settlement.
    await redis.set("order:ord_1", "in the way")
    await redis.xadd(STREAM, ORDER)
    doomed = spawn("shop_worker", stores | QUICK | {"POD_NAME": "doomed", "WORKER_TRIES": "1000"})

    async def stuck() -> bool:
        return await redis.exists("orders:tries") == 1

    await eventually(stuck)
    doomed.popen.kill()
    assert await doomed.exit_code() == -signal.SIGKILL
    assert settled(stores["DATABASE_URL"]) == [("ord_1", f"doomed-{doomed.popen.pid}")]
    assert (await redis.xpending(STREAM, GROUP))["pending"] == 1

    await redis.delete("order:ord_1")
    await redis.hset("order:ord_1", mapping={"status": "paid", "tenant": "gold"})
    await launch_worker("heir")
    await drained(redis, eventually)
    assert settled(stores["DATABASE_URL"]) == [("ord_1", f"doomed-{doomed.popen.pid}")]
    assert await redis.hget("order:ord_1", "status") == "settled"
    assert (await redis.xpending(STREAM, GROUP))["pending"] == 0


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"order_id": "ord_1"}, "tenant: Field required"),
        (ORDER | {"amount_cents": "-1"}, "amount_cents: "),
        (ORDER | {"amount_cents": "much"}, "amount_cents: "),
        (ORDER | {"tenant": "\udcff\udcfe"}, "tenant: "),
        (ORDER | {"tenant": "a\x00b"}, "tenant: "),
        ({"\udcff": "\udcfe"}, "order_id: Field required"),
    ],
)
async def test_poison_goes_to_the_dead_letters_with_its_reason(
    launch_worker: Any,
    stores: dict[str, str],
    redis: Redis,
    eventually: Any,
    message: dict[str, str],
    reason: str,
) -> None:
    await redis.xadd(STREAM, message)
    await redis.xadd(STREAM, ORDER | {"order_id": "ord_good"})
    await launch_worker()
    await drained(redis, eventually)
    assert [order for order, _ in settled(stores["DATABASE_URL"])] == ["ord_good"]
    ((_, dead),) = await redis.xrange(DEAD)
    assert reason in dead["_reason"]
    assert dead["_tries"] == "3"
    assert message.items() <= dead.items()
    assert await redis.exists("orders:tries") == 0


async def test_a_worker_that_stood_still_buries_nothing_that_another_has_finished(
    store: RedisStore, redis: Redis, eventually: Any
) -> None:
    """The message failed here, then this process stopped for long; meanwhile another settled it."""
    await redis.xadd(STREAM, ORDER)
    queues = [OrderQueue(store, consumer=name, batch=5, block=0.01, idle=0.001) for name in ("slow", "heir")]
    slow, heir = queues
    await slow.create_group()
    ((message_id, fields),) = await slow.read()
    assert [taken for taken, _ in await eventually(heir.reclaim)] == [message_id]
    await heir.finish(message_id, ORDER["order_id"])
    assert await slow.fail(message_id, fields, reason="WRONGTYPE", most=1) == 0
    assert (await redis.exists(DEAD), await redis.exists(TRIES)) == (0, 0)


async def test_poison_is_buried_once_and_counted(store: RedisStore, redis: Redis) -> None:
    await redis.xadd(STREAM, ORDER | {"_tries": "forged", "_reason": "forged"})
    queue = OrderQueue(store, consumer="one", batch=5, block=0.01, idle=0.001)
    assert await queue.backlog() == Backlog(1, 0, 0)
    await queue.create_group()
    ((message_id, fields),) = await queue.read()
    assert await queue.backlog() == Backlog(1, 1, 0)
    tries = [await queue.fail(message_id, fields, reason="rotten", most=2) for _ in range(3)]
    assert tries == [1, 2, 0]
    assert await queue.backlog() == Backlog(0, 0, 1)
    ((_, dead),) = await redis.xrange(DEAD)
    assert (dead["_tries"], dead["_reason"], dead["_id"]) == ("2", "rotten", message_id)


async def test_a_consumer_that_holds_messages_stays_in_the_group(store: RedisStore, redis: Redis) -> None:
    """A message is forgotten with the consumer that holds it, and nobody would ever get it again."""
    await redis.xadd(STREAM, ORDER)
    queue = OrderQueue(store, consumer="busy", batch=5, block=0.01, idle=0.001)
    await queue.create_group()
    ((message_id, _),) = await queue.read()
    await queue.leave()
    assert (await redis.xpending(STREAM, GROUP))["pending"] == 1
    await queue.finish(message_id, ORDER["order_id"])
    await queue.leave()
    assert await redis.xinfo_consumers(STREAM, GROUP) == []


async def test_a_redis_that_cannot_write_its_file_costs_no_try(
    launch_worker: Any, stores: dict[str, str], redis: Redis, eventually: Any
) -> None:
    """It answers MISCONF or NOREPLICAS to every write: that is an outage, not the fault of the orders."""
    worker = await launch_worker()
    await redis.config_set("min-replicas-to-write", 1)
    try:

        async def noticed() -> bool:
            metrics = worker.kit.metrics.response().body.decode()
            return 'store_errors_total{app="worker",store="redis"}' in metrics

        await eventually(noticed)
    finally:
        await redis.config_set("min-replicas-to-write", 0)
    await redis.xadd(STREAM, ORDER)
    await drained(redis, eventually)
    assert await redis.exists(DEAD) == 0


async def test_reads_must_be_able_to_end(launch_worker: Any) -> None:
    with pytest.raises(SettingError, match="REDIS_TIMEOUT: must be more than WORKER_BLOCK"):
        await launch_worker(WORKER_BLOCK="1s", REDIS_TIMEOUT="1s")


async def test_an_order_that_expired_is_not_brought_back(launch_worker: Any, redis: Redis, eventually: Any) -> None:
    await redis.xadd(STREAM, ORDER)
    await launch_worker()
    await drained(redis, eventually)
    assert await redis.exists("order:ord_1") == 0


async def test_an_outage_of_postgres_costs_no_try(
    launch_worker: Any, stores: dict[str, str], redis: Redis, postgres: Any, eventually: Any
) -> None:
    await launch_worker()
    postgres.stop()
    try:
        await redis.xadd(STREAM, ORDER)

        async def taken() -> bool:
            return (await redis.xpending(STREAM, GROUP))["pending"] == 1

        await eventually(taken)
    finally:
        postgres.start()
    await drained(redis, eventually)
    assert [order for order, _ in settled(stores["DATABASE_URL"])] == ["ord_1"]
    assert await redis.exists(DEAD) == 0


async def test_redis_that_lost_everything(
    launch_worker: Any, stores: dict[str, str], redis: Redis, eventually: Any
) -> None:
    await launch_worker()
    await redis.flushall()
    await redis.xadd(STREAM, ORDER)
    await drained(redis, eventually)
    assert [order for order, _ in settled(stores["DATABASE_URL"])] == ["ord_1"]


async def test_a_worker_that_stops_leaves_the_group(launch_worker: Any, redis: Redis, eventually: Any) -> None:
    worker = await launch_worker()

    async def joined() -> bool:
        return bool(await redis.exists(STREAM)) and len(await redis.xinfo_consumers(STREAM, GROUP)) == 1

    await eventually(joined)
    await worker.server.stop()
    assert await redis.xinfo_consumers(STREAM, GROUP) == []
