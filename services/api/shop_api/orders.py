"""Orders in Redis: reserved before money moves, confirmed and queued together, once.

An order is the hash `order:{id}`; fulfilment reads the stream `orders`. README.md describes both for the worker.
"""

import hashlib
import json
import secrets
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, cast

from slicekit.redis_store import RedisStore

STREAM = "orders"

# Returns the order that is there, or makes it. KEYS: order. ARGV: seconds to live, then field, value ...
_RESERVE = """
local there = redis.call('HGETALL', KEYS[1])
if #there > 0 then return there end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return {}
"""

# Marks a pending order as paid and queues it, both or neither, and only once. Returns the status the order has now.
# KEYS: order, stream. ARGV: seconds to live, payment id, then the message's field, value ...
_CONFIRM = """
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'pending' then return status end
redis.call('HSET', KEYS[1], 'status', 'paid', 'payment_id', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 3))
return 'paid'
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


class OrderLostError(Exception):
    """The order expired or was deleted between its reservation and its confirmation."""


class Orders:
    """StoreUnavailableError from every method."""

    def __init__(self, redis: RedisStore, *, ttl: float, pending_ttl: float) -> None:
        self._redis, self._ttl, self._pending_ttl = redis, int(ttl), int(pending_ttl)
        self._reserve = redis.client.register_script(_RESERVE)
        self._confirm = redis.client.register_script(_CONFIRM)

    async def find(self, order_id: str) -> Order | None:
        with self._redis.guard():
            fields = await cast(Awaitable[dict[str, str]], self._redis.client.hgetall(_key(order_id)))
        return _from_fields(order_id, fields) if fields else None

    async def reserve(self, order: Order) -> Order:
        """The order as it stands: this one, or the one a repeated or concurrent request has reserved before."""
        fields = {
            "tenant": order.tenant,
            "fingerprint": order.fingerprint,
            "lines": json.dumps(order.lines),
            "total_cents": str(order.total_cents),
            "currency": order.currency,
            "status": "pending",
        }
        flat = [part for pair in fields.items() for part in pair]
        with self._redis.guard():
            there = await self._reserve(keys=[_key(order.order_id)], args=[self._pending_ttl, *flat])
        pairs = dict(zip(there[::2], there[1::2], strict=True))
        return _from_fields(order.order_id, pairs) if pairs else order

    async def confirm(self, order: Order, *, payment_id: str, traceparent: str) -> str:
        """Queues the order unless it is queued already. Returns its status. OrderLostError if it is gone."""
        message = {
            "order_id": order.order_id,
            "tenant": order.tenant,
            "amount_cents": str(order.total_cents),
            "currency": order.currency,
            "traceparent": traceparent,
        }
        flat = [part for pair in message.items() for part in pair]
        with self._redis.guard():
            status = await self._confirm(keys=[_key(order.order_id), STREAM], args=[self._ttl, payment_id, *flat])
        if status is None:
            raise OrderLostError(order.order_id)
        return str(status)


def derive_order_id(tenant: str, key: str | None) -> str:
    """The same id for the same tenant and idempotency key; a random one without a key."""
    if key is None:
        return f"ord_{secrets.token_hex(16)}"
    digest = hashlib.sha256(f"{len(tenant)}:{tenant}:{key}".encode()).hexdigest()
    return f"ord_{digest[:32]}"


def _key(order_id: str) -> str:
    return f"order:{order_id}"


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
