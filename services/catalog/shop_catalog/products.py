"""Products in PostgreSQL, read through a cache in Redis that may fail without anybody noticing but the metrics."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypedDict, cast

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from redis.exceptions import RedisError

from slicekit import Kit
from slicekit.health import reason_of
from slicekit.postgres import Postgres
from slicekit.redis_store import RedisStore

_LISTING = "catalog:listing"
_LONGEST_LISTING = 500
# After a failure the cache is left alone for this long, so that a stalled Redis costs one time-out, not one a request.
_PAUSE_SECONDS = 1.0


class Product(TypedDict):
    sku: str
    name: str
    price_cents: int
    currency: str


class Cache:
    """JSON documents in Redis for `ttl` seconds. Every failure counts as "not in the cache"."""

    def __init__(self, kit: Kit, redis: RedisStore, *, ttl: float) -> None:
        self._kit, self._redis, self._ttl = kit, redis, ttl
        self._paused_until = float("-inf")

    async def get(self, keys: list[str]) -> list[Any]:
        """The documents of `keys`, None for each that isn't there."""
        raw: list[str | None] = await self._attempt(lambda: self._redis.client.mget(keys)) or [None] * len(keys)
        return [_parse(text) for text in raw]

    async def put(self, documents: dict[str, Any]) -> None:
        pipeline = self._redis.client.pipeline(transaction=False)
        for key, document in documents.items():
            pipeline.set(key, json.dumps(document), px=max(1, int(self._ttl * 1000)))
        await self._attempt(pipeline.execute)

    async def _attempt(self, work: Callable[[], Awaitable[Any]]) -> Any:
        if self._kit.clock() < self._paused_until:
            return None
        try:
            return await work()
        except (RedisError, OSError, TimeoutError) as exc:
            self._paused_until = self._kit.clock() + _PAUSE_SECONDS
            self._kit.metrics.observe_store_error("redis")
            self._kit.log.warning("cache left out", reason=reason_of(exc), seconds=_PAUSE_SECONDS)
            return None


class Products:
    """What there is to buy. StoreUnavailableError if neither the cache nor PostgreSQL can say."""

    def __init__(self, postgres: Postgres, cache: Cache) -> None:
        self._postgres, self._cache = postgres, cache

    async def listing(self) -> list[Product]:
        (cached,) = await self._cache.get([_LISTING])
        if cached is not None:
            return list(cached)
        products = await self._query(
            "SELECT sku, name, price_cents, currency FROM products ORDER BY sku LIMIT %s", _LONGEST_LISTING
        )
        await self._cache.put({_LISTING: products})
        return products

    async def find(self, skus: list[str]) -> list[Product]:
        """Those of `skus` that exist, sorted by sku."""
        cached = await self._cache.get([_key(sku) for sku in skus])
        found: dict[str, Product] = {product["sku"]: product for product in cached if product is not None}
        missing = [sku for sku in skus if sku not in found]
        if missing:
            fresh = await self._query(
                "SELECT sku, name, price_cents, currency FROM products WHERE sku = ANY(%s)", missing
            )
            found |= {product["sku"]: product for product in fresh}
            if fresh:
                await self._cache.put({_key(product["sku"]): product for product in fresh})
        return [found[sku] for sku in sorted(found)]

    async def _query(self, statement: str, argument: Any) -> list[Product]:
        async def ask(connection: AsyncConnection) -> list[Product]:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(statement.encode(), [argument])
            return cast(list[Product], await cursor.fetchall())

        return await self._postgres.transact(ask)


def _key(sku: str) -> str:
    return f"catalog:product:{sku}"


def _parse(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None
