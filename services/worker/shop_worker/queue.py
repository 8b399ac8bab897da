"""The stream of paid orders: who reads what, what a dead reader left behind, what nobody can read."""

from typing import Any

from redis import exceptions

from slicekit.redis_store import RedisStore

STREAM = "orders"
GROUP = "settlement"
DEAD = "orders:dead"
TRIES = "orders:tries"

_MOST_DEAD = 10_000
_FORGOTTEN_MS = 3_600_000

# Only an order that is still there: setting a field would otherwise bring an expired one back without its tenant.
_MARK = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'status', 'settled') end
return 1
"""

Message = tuple[str, dict[str, str]]
"""The id in the stream and the fields."""


class OrderQueue:
    """One consumer of the group. StoreUnavailableError from every method."""

    def __init__(self, redis: RedisStore, *, consumer: str, batch: int, block: float, idle: float) -> None:
        self._redis = redis
        self._client = redis.client
        self._consumer = consumer
        self._batch = batch
        self._block_ms, self._idle_ms = int(block * 1000), int(idle * 1000)
        self._mark = redis.client.register_script(_MARK)

    async def create_group(self) -> None:
        """From the first message on, so that an order that came before the first worker is settled too."""
        with self._redis.guard():
            try:
                await self._client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
            except exceptions.ResponseError as exc:
                if not str(exc).startswith("BUSYGROUP"):
                    raise

    async def read(self) -> list[Message]:
        """New messages, at most a batch; waits up to `block` seconds for the first."""
        with self._redis.guard():
            answer = await self._with_group(
                lambda: self._client.xreadgroup(
                    GROUP, self._consumer, {STREAM: ">"}, count=self._batch, block=self._block_ms
                )
            )
        return [(message_id, fields) for _, messages in answer or [] for message_id, fields in messages]

    async def reclaim(self) -> list[Message]:
        """Messages that somebody, or this consumer itself, took and did not finish for `idle` seconds."""
        with self._redis.guard():
            answer = await self._with_group(
                lambda: self._client.xautoclaim(
                    STREAM, GROUP, self._consumer, min_idle_time=self._idle_ms, start_id="0-0", count=self._batch
                )
            )
        return [(message_id, fields) for message_id, fields in answer[1] if fields]

    async def finish(self, message_id: str, order_id: str) -> None:
        """Marks the order settled, then lets go of its message."""
        with self._redis.guard():
            await self._mark(keys=[f"order:{order_id}"], args=[])
            await self._let_go(message_id).execute()

    async def count_try(self, message_id: str) -> int:
        """How often this message has failed by its own fault, this time included."""
        with self._redis.guard():
            return int(await self._client.hincrby(TRIES, message_id, 1))

    async def bury(self, message_id: str, fields: dict[str, str], *, reason: str, tries: int) -> None:
        """Moves a message to the dead-letter stream, both or neither."""
        with self._redis.guard():
            pipeline = self._let_go(message_id)
            epitaph: dict[Any, Any] = {**fields, "_id": message_id, "_reason": reason, "_tries": str(tries)}
            pipeline.xadd(DEAD, epitaph, maxlen=_MOST_DEAD, approximate=True)
            await pipeline.execute()

    async def leave(self) -> None:
        """Takes this consumer, and those forgotten for an hour, out of the group unless they hold messages."""
        with self._redis.guard():
            try:
                consumers = await self._client.xinfo_consumers(STREAM, GROUP)
            except exceptions.ResponseError:
                return
            for consumer in consumers:
                gone = consumer["name"] == self._consumer or consumer["idle"] > _FORGOTTEN_MS
                if gone and consumer["pending"] == 0:
                    await self._client.xgroup_delconsumer(STREAM, GROUP, consumer["name"])

    def _let_go(self, message_id: str) -> Any:
        pipeline = self._client.pipeline(transaction=True)
        pipeline.xack(STREAM, GROUP, message_id)
        pipeline.xdel(STREAM, message_id)
        pipeline.hdel(TRIES, message_id)
        return pipeline

    async def _with_group(self, command: Any) -> Any:
        """Makes the group again if Redis has lost it."""
        try:
            return await command()
        except exceptions.ResponseError as exc:
            if not str(exc).startswith("NOGROUP"):
                raise
            await self.create_group()
            return await command()
