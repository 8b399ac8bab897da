"""Products in PostgreSQL, read through a cache in Redis that may fail without anyone noticing but the metrics.

While PostgreSQL is away, what the cache remembers is answered for a bounded time, and said to be old.
"""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypedDict, cast

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from redis.exceptions import RedisError

from slicekit import Kit
from slicekit.health import reason_of
from slicekit.postgres import Postgres
from slicekit.problems import StoreUnavailableError
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


@dataclass(frozen=True, slots=True)
class Remembered:
    """A document and its age in seconds."""

    document: Any
    age: float


@dataclass(frozen=True, slots=True)
class Found:
    """`stale` is the age in seconds of the oldest product if PostgreSQL could not be asked, else None."""

    products: list[Product]
    stale: float | None = None


class Cache:
    """JSON documents in Redis, kept for `keep` seconds. Every failure counts as "not in the cache"."""

    def __init__(self, kit: Kit, redis: RedisStore, *, keep: float, now: Callable[[], float] = time.time) -> None:
        self._kit, self._redis, self._keep, self._now = kit, redis, keep, now
        self._paused_until = float("-inf")

    async def get(self, keys: list[str]) -> list[Remembered | None]:
        """The documents of `keys`, None for each that isn't there."""
        raw: list[str | None] = await self._attempt(lambda: self._redis.client.mget(keys)) or [None] * len(keys)
        return [self._parse(text) for text in raw]

    async def put(self, documents: dict[str, Any]) -> None:
        pipeline = self._redis.client.pipeline(transaction=False)
        for key, document in documents.items():
            text = json.dumps({"at": self._now(), "document": document})
            pipeline.set(key, text, px=max(1, int(self._keep * 1000)))
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

    def _parse(self, text: str | None) -> Remembered | None:
        try:
            entry = None if text is None else json.loads(text)
            age = self._now() - float(entry["at"]) if entry else 0.0
            return Remembered(entry["document"], max(0.0, age)) if entry and age <= self._keep else None
        except (ValueError, TypeError, KeyError):
            return None


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: how long an answer counts as fresh, and how long PostgreSQL is waited for when an old one is at hand."""

    fresh: float
    hurry: float


class Products:
    """What there is to buy. StoreUnavailableError if neither the cache nor PostgreSQL can say."""

    def __init__(self, kit: Kit, postgres: Postgres, cache: Cache, patience: Patience) -> None:
        self._kit, self._postgres, self._cache, self._patience = kit, postgres, cache, patience
        self._paused_until = float("-inf")

    async def listing(self) -> Found:
        (cached,) = await self._cache.get([_LISTING])
        if cached is not None and cached.age <= self._patience.fresh:
            return Found(cached.document)
        statement = "SELECT sku, name, price_cents, currency FROM products ORDER BY sku LIMIT %s"
        try:
            products = await self._query(statement, _LONGEST_LISTING, hurry=cached is not None)
        except StoreUnavailableError as exc:
            if cached is None:
                raise
            self._note(exc)
            return Found(cached.document, stale=cached.age)
        await self._cache.put({_LISTING: products})
        return Found(products)

    async def find(self, skus: list[str]) -> Found:
        """Those of `skus` that exist, sorted by sku."""
        cached = dict(zip(skus, await self._cache.get([_key(sku) for sku in skus]), strict=True))
        kept = {sku: entry for sku, entry in cached.items() if entry is not None}
        found: dict[str, Product] = {
            sku: entry.document for sku, entry in kept.items() if entry.age <= self._patience.fresh
        }
        missing = [sku for sku in skus if sku not in found]
        stale = None
        if missing:
            statement = "SELECT sku, name, price_cents, currency FROM products WHERE sku = ANY(%s)"
            try:
                fresh = await self._query(statement, missing, hurry=all(sku in kept for sku in missing))
            except StoreUnavailableError as exc:
                if any(sku not in kept for sku in missing):
                    raise
                self._note(exc)
                found |= {sku: kept[sku].document for sku in missing}
                stale = max(kept[sku].age for sku in missing)
            else:
                found |= {product["sku"]: product for product in fresh}
                if fresh:
                    await self._cache.put({_key(product["sku"]): product for product in fresh})
        return Found([found[sku] for sku in sorted(found)], stale)

    async def _query(self, statement: str, argument: Any, *, hurry: bool) -> list[Product]:
        """`hurry`: an old answer is at hand, so a PostgreSQL that failed a moment ago is not asked, and a slow one
        not waited for."""

        async def ask(connection: AsyncConnection) -> list[Product]:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(statement.encode(), [argument])
            return cast(list[Product], await cursor.fetchall())

        if hurry and self._kit.clock() < self._paused_until:
            raise StoreUnavailableError("postgres", "it failed a moment ago")
        return await self._postgres.transact(ask, within=self._patience.hurry if hurry else None)

    def _note(self, exc: StoreUnavailableError) -> None:
        """An old answer is given in place of a failure: that is for the metrics and the log to tell."""
        if self._kit.clock() < self._paused_until:
            return
        self._paused_until = self._kit.clock() + _PAUSE_SECONDS
        self._kit.metrics.observe_store_error(exc.store)
        self._kit.log.warning("old products are answered", store=exc.store, reason=exc.reason)


def _key(sku: str) -> str:
    return f"catalog:product:{sku}"
