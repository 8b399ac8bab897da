"""The loop of the worker: reclaim, read, settle, until told to stop."""

import os
import socket

from prometheus_client import Gauge

from shop_worker.queue import OrderQueue
from shop_worker.settlement import Settlement
from slicekit import Kit, SettingError
from slicekit.durations import format_seconds
from slicekit.jobs import repeat
from slicekit.postgres import Postgres
from slicekit.redis_store import RedisStore

_SILENT_SECONDS = 30.0
_LOOK_SECONDS = 5.0


class Loop:
    """Runs as a job of the kit; a store that is away ends a round and the kit starts it again, with back-off."""

    def __init__(self, kit: Kit, queue: OrderQueue, settlement: Settlement, *, idle: float) -> None:
        self._kit, self._queue, self._settlement = kit, queue, settlement
        self._idle = idle
        self._last_round = kit.clock()

    async def run(self) -> None:
        await self._queue.create_group()
        reclaim_at = self._kit.clock()
        while not self._kit.stopping.is_set():
            self._last_round = now = self._kit.clock()
            messages = []
            if now >= reclaim_at:
                messages = await self._queue.reclaim()
                # A full batch means there may be more to take over.
                reclaim_at = now if messages else now + self._idle / 2
            for message in messages or await self._queue.read():
                await self._settlement.settle(message)
        await self._queue.leave()

    async def check(self) -> None:
        """Fails if the loop has not come round for long."""
        silent = self._kit.clock() - self._last_round
        if silent > _SILENT_SECONDS:
            raise RuntimeError(f"the queue has not been read for {silent:.0f} s")


class Watch:
    """A job that shows in the metrics how much waits to be settled."""

    def __init__(self, kit: Kit, queue: OrderQueue) -> None:
        self._kit, self._queue = kit, queue
        self._messages = Gauge(
            "queue_messages",
            "Orders in the stream, those of them that a worker has in hand, and dead letters.",
            ["app", "state"],
            registry=kit.metrics.registry,
        )

    async def run(self) -> None:
        await repeat(self._kit, self._look, pause=_LOOK_SECONDS)

    async def _look(self) -> None:
        backlog, app = await self._queue.backlog(), self._kit.settings.app
        self._messages.labels(app=app, state="queued").set(backlog.length)
        self._messages.labels(app=app, state="in_hand").set(backlog.pending)
        self._messages.labels(app=app, state="dead").set(backlog.dead)


def build(kit: Kit) -> None:
    """Environment: DATABASE_URL, REDIS_URL, and WORKER_BATCH (20), _BLOCK (1s), _CLAIM_IDLE (15s), _TRIES (5)."""
    block = kit.env.seconds("WORKER_BLOCK", 1.0, low=0.001, high=10)
    idle = kit.env.seconds("WORKER_CLAIM_IDLE", 15.0, low=0.01, high=3600)
    postgres = Postgres(kit, schema="worker", migrations="shop_worker.migrations")
    redis = RedisStore(kit, timeout=block + 1.0)
    if redis.timeout <= block:
        # Every read would end before its answer came, and what the answer brought would be nobody's for a while.
        raise SettingError("REDIS_TIMEOUT", f"must be more than WORKER_BLOCK, {format_seconds(block)}")
    kit.add_store(postgres)
    kit.add_store(redis)
    # The process too: a consumer that is shared could be taken out of the group while the other one uses it.
    consumer = f"{kit.settings.pod or socket.gethostname()}-{os.getpid()}"
    queue = OrderQueue(
        redis,
        consumer=consumer,
        batch=kit.env.integer("WORKER_BATCH", 20, low=1, high=1000),
        block=block,
        idle=idle,
    )
    tries = kit.env.integer("WORKER_TRIES", 5, low=1, high=1000)
    loop = Loop(kit, queue, Settlement(kit, queue, postgres, consumer, tries), idle=idle)
    kit.add_check("queue", loop.check)
    kit.add_job("settle", loop.run)
    kit.add_job("watch", Watch(kit, queue).run)
