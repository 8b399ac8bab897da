"""The stream of paid orders: who reads what, what a dead reader left behind, what nobody can read."""

from dataclasses import dataclass
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

# Counts a try of a message that failed by its own fault; the last one moves it to the dead letters. Nothing happens to
# a message that someone else has finished or buried meanwhile: this process may have stood still since it failed.
# Returns the tries so far, 0 if the message is nobody's any more.
# KEYS: stream, tries, dead. ARGV: group, id, most tries, most dead letters, then the epitaph's field, value ...
_FAIL = """
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if pending.err or #pending == 0 then return 0 end
local tries = redis.call('HINCRBY', KEYS[2], ARGV[2], 1)
if tries < tonumber(ARGV[3]) then return tries end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('HDEL', KEYS[2], ARGV[2])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], '*', '_tries', tries, unpack(ARGV, 5))
return tries
"""

# Only one that holds nothing: what a consumer holds is forgotten with it. KEYS: stream. ARGV: group, consumer.
_LEAVE = """
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
return redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
"""

Message = tuple[str, dict[str, str]]
"""The id in the stream and the fields."""


@dataclass(frozen=True, slots=True)
class Backlog:
    length: int
    """Messages in the stream, those in hand included."""
    pending: int
    """Those that a consumer has in hand."""
    dead: int


class OrderQueue:
    """One consumer of the group. StoreUnavailableError from every method."""

    def __init__(self, redis: RedisStore, *, consumer: str, batch: int, block: float, idle: float) -> None:
        self._redis = redis
        self._client = redis.client
        self._consumer = consumer
        self._batch = batch
        self._block_ms, self._idle_ms = int(block * 1000), int(idle * 1000)
        self._cursor = "0-0"
        self._mark = redis.client.register_script(_MARK)
        self._fail = redis.client.register_script(_FAIL)
        self._leave = redis.client.register_script(_LEAVE)

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
        """Messages that someone, or this consumer itself, took and did not finish for `idle` seconds."""
        with self._redis.guard():
            answer = await self._with_group(
                lambda: self._client.xautoclaim(
                    STREAM, GROUP, self._consumer, min_idle_time=self._idle_ms, start_id=self._cursor, count=self._batch
                )
            )
        # One look goes over a bounded part of what is pending, so the next one continues from there.
        self._cursor = answer[0]
        return [(message_id, fields) for message_id, fields in answer[1] if fields]

    async def finish(self, message_id: str, order_id: str) -> None:
        """Marks the order settled, then lets go of its message."""
        with self._redis.guard():
            await self._mark(keys=[f"order:{order_id}"], args=[])
            await self._let_go(message_id).execute()

    async def fail(self, message_id: str, fields: dict[str, str], *, reason: str, most: int) -> int:
        """Counts a failure that is the message's own; the one that makes `most` moves it to the dead letters.

        Returns the tries so far, 0 if someone else has finished the message meanwhile.
        """
        own = {name: value for name, value in fields.items() if name != "_tries"}
        epitaph = own | {"_id": message_id, "_reason": reason}
        flat = [part for pair in epitaph.items() for part in pair]
        with self._redis.guard():
            args: list[str | int] = [GROUP, message_id, most, _MOST_DEAD, *flat]
            return int(await self._fail(keys=[STREAM, TRIES, DEAD], args=args))

    async def backlog(self) -> Backlog:
        """How much waits, for the metrics."""
        with self._redis.guard():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.xlen(STREAM)
            pipeline.xlen(DEAD)
            pipeline.xinfo_groups(STREAM)
            length, dead, groups = await pipeline.execute(raise_on_error=False)
            for answer in (length, dead):
                if isinstance(answer, Exception):
                    raise answer
        # No stream, no groups: nothing has been ordered yet.
        pending = (
            0 if isinstance(groups, Exception) else sum(each["pending"] for each in groups if each["name"] == GROUP)
        )
        return Backlog(length, pending, dead)

    async def leave(self) -> None:
        """Takes this consumer, and those forgotten for an hour, out of the group unless they hold messages."""
        with self._redis.guard():
            try:
                consumers = await self._client.xinfo_consumers(STREAM, GROUP)
            except exceptions.ResponseError:
                return
            for consumer in consumers:
                gone = consumer["name"] == self._consumer or consumer["idle"] > _FORGOTTEN_MS
                if gone:
                    await self._leave(keys=[STREAM], args=[GROUP, consumer["name"]])

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
