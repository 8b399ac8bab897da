"""Orders in Redis: reserved before money moves, queued once when it has moved.

An order is the hash `order:{id}`; fulfilment reads the stream `orders`. README.md describes both for the worker.
"""

import hashlib
import json
import secrets
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, cast

from slicekit import Problem
from slicekit.redis_store import RedisStore

STREAM = "orders"

# Returns the order that is there, or makes it; "full" if too many wait to be fulfilled.
# KEYS: order, stream. ARGV: seconds to live, the longest stream, then field, value ...
_RESERVE = """
local there = redis.call('HGETALL', KEYS[1])
if #there > 0 then return there end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[2]) then return 'full' end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return {}
"""

# Marks an order as paid and queues it, both or neither, and only once. What was charged is written over whatever is
# there: the order may have been lost, or reserved again at another price, between its charge and now.
# Returns the status the order has now, for how many seconds it has been queued, and 1 if it was queued just now.
# KEYS: order, stream. ARGV: seconds to live, how many of the following make the order, those, then the message's.
_QUEUE = """
local now = tonumber(redis.call('TIME')[1])
local status = redis.call('HGET', KEYS[1], 'status')
if status and status ~= 'pending' then
  return {status, math.max(0, now - tonumber(redis.call('HGET', KEYS[1], 'queued_at') or 0)), 0}
end
local last = 2 + tonumber(ARGV[2])
redis.call('HSET', KEYS[1], 'status', 'paid', 'queued_at', now, unpack(ARGV, 3, last))
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('XADD', KEYS[2], '*', unpack(ARGV, last + 1))
return {'paid', 0, 1}
"""


@dataclass(frozen=True, slots=True)
class Order:
    """Money is in cents. `fingerprint` tells whether a repeated request asks for the same."""

    order_id: str
    tenant: str
    fingerprint: str
    lines: list[dict[str, Any]]
    total_cents: int
    currency: str
    status: str = "pending"

    def document(self) -> dict[str, Any]:
        """As callers see it."""
        return {
            "order_id": self.order_id,
            "status": self.status,
            "items": self.lines,
            "total_cents": self.total_cents,
            "currency": self.currency,
        }


@dataclass(frozen=True, slots=True)
class Queued:
    """`seconds` since the order was queued; `fresh` if this very call did it."""

    status: str
    seconds: int
    fresh: bool


class Orders:
    """StoreUnavailableError from every method."""

    def __init__(self, redis: RedisStore, *, ttl: float, pending_ttl: float, backlog: int) -> None:
        self._redis, self._ttl, self._pending_ttl, self._backlog = redis, int(ttl), int(pending_ttl), backlog
        self._reserve = redis.client.register_script(_RESERVE)
        self._queue = redis.client.register_script(_QUEUE)

    async def answer(self) -> None:
        """Returns if orders can be read now."""
        with self._redis.guard():
            await self._redis.check()

    async def find(self, order_id: str) -> Order | None:
        with self._redis.guard():
            fields = await cast(Awaitable[dict[str, str]], self._redis.client.hgetall(_key(order_id)))
        return _from_fields(order_id, fields) if fields else None

    async def reserve(self, order: Order) -> Order:
        """The order as it stands: this one, or the one a repeated or concurrent request has reserved before.

        Problem 503 if so many orders wait for the worker that another one would only be charged and wait.
        """
        fields = _flat(_fields(order) | {"status": "pending"})
        keys = [_key(order.order_id), STREAM]
        with self._redis.guard():
            there = await self._reserve(keys=keys, args=[self._pending_ttl, self._backlog, *fields])
        if there == "full":
            raise Problem(503, "too many orders wait to be fulfilled; try again later", retry_after=5)
        pairs = dict(zip(there[::2], there[1::2], strict=True))
        return _from_fields(order.order_id, pairs) if pairs else order

    async def queue(self, order: Order, *, payment_id: str, traceparent: str) -> Queued:
        """Queues an order that is charged, unless it is queued already."""
        fields = _flat(_fields(order) | {"payment_id": payment_id})
        message = {
            "order_id": order.order_id,
            "tenant": order.tenant,
            "amount_cents": str(order.total_cents),
            "currency": order.currency,
            "traceparent": traceparent,
        }
        keys = [_key(order.order_id), STREAM]
        with self._redis.guard():
            answer = await self._queue(keys=keys, args=[self._ttl, len(fields), *fields, *_flat(message)])
        status, seconds, fresh = answer
        return Queued(str(status), int(seconds), bool(fresh))


def derive_order_id(tenant: str, key: str | None) -> str:
    """The same id for the same tenant and idempotency key; a random one without a key."""
    if key is None:
        return f"ord_{secrets.token_hex(16)}"
    digest = hashlib.sha256(f"{len(tenant)}:{tenant}:{key}".encode()).hexdigest()
    return f"ord_{digest[:32]}"


def _key(order_id: str) -> str:
    return f"order:{order_id}"


def _flat(fields: dict[str, str]) -> list[str]:
    return [part for pair in fields.items() for part in pair]


def _fields(order: Order) -> dict[str, str]:
    return {
        "tenant": order.tenant,
        "fingerprint": order.fingerprint,
        "lines": json.dumps(order.lines),
        "total_cents": str(order.total_cents),
        "currency": order.currency,
    }


def _from_fields(order_id: str, fields: dict[str, str]) -> Order:
    return Order(
        order_id=order_id,
        tenant=fields["tenant"],
        fingerprint=fields["fingerprint"],
        lines=json.loads(fields["lines"]),
        total_cents=int(fields["total_cents"]),
        currency=fields["currency"],
        status=fields["status"],
    )
