"""The one transaction that makes a payment happen once: the key is taken and the money is booked together."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from shop_payments.outbox import Outbox
from slicekit.postgres import Postgres

_TAKE_KEY = (
    "INSERT INTO payments (tenant, idempotency_key, payment_id, order_id, amount_cents, currency)"
    " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
    " RETURNING payment_id, order_id, amount_cents, currency, created_at"
)
_BOOK = "INSERT INTO ledger (payment_id, account, amount_cents) VALUES (%s, 'customer', %s), (%s, 'shop', %s)"
_BY_KEY = (
    "SELECT payment_id, order_id, amount_cents, currency, created_at FROM payments"
    " WHERE tenant = %s AND idempotency_key = %s"
)
_BY_ORDER = (
    "SELECT payment_id, order_id, amount_cents, currency, created_at FROM payments WHERE tenant = %s AND order_id = %s"
)


@dataclass(frozen=True, slots=True)
class Charge:
    """What is asked for. Money is in cents."""

    tenant: str
    key: str
    order_id: str
    amount_cents: int
    currency: str
    memo: str | None = None
    """Handed out by the outbox until it is done; no part of what makes two charges the same."""


@dataclass(frozen=True, slots=True)
class Receipt:
    payment: dict[str, Any]
    replayed: bool
    """True if the payment was there already."""


class KeyReusedError(Exception):
    """The key has been used for another payment."""


class OrderPaidError(Exception):
    """The order has been paid under another key."""


class Ledger:
    """Payments in PostgreSQL. StoreUnavailableError from every method."""

    def __init__(self, postgres: Postgres, outbox: Outbox) -> None:
        self._postgres, self._outbox = postgres, outbox

    async def pay(self, charge: Charge) -> Receipt:
        """KeyReusedError or OrderPaidError if it must not happen; repeating a call is safe."""

        async def work(connection: AsyncConnection) -> Receipt:
            cursor = connection.cursor(row_factory=dict_row)
            # Two at once: the second waits here for the first one's commit, and then finds the conflict.
            await cursor.execute(
                _TAKE_KEY,
                [charge.tenant, charge.key, uuid4(), charge.order_id, charge.amount_cents, charge.currency],
            )
            if row := await cursor.fetchone():
                payment_id, amount = row["payment_id"], charge.amount_cents
                await cursor.execute(_BOOK, [payment_id, -amount, payment_id, amount])
                if charge.memo is not None:
                    await self._outbox.add(connection, payment_id, charge.memo)
                return Receipt(_document(row), replayed=False)
            await cursor.execute(_BY_KEY, [charge.tenant, charge.key])
            first = await cursor.fetchone()
            if first is None:
                raise OrderPaidError
            if (first["order_id"], first["amount_cents"], first["currency"]) != (
                charge.order_id,
                charge.amount_cents,
                charge.currency,
            ):
                raise KeyReusedError
            return Receipt(_document(first), replayed=True)

        return await self._postgres.transact(work)

    async def find(self, tenant: str, order_id: str) -> dict[str, Any] | None:
        """The payment of an order of this tenant."""

        async def ask(connection: AsyncConnection) -> dict[str, Any] | None:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(_BY_ORDER, [tenant, order_id])
            row = await cursor.fetchone()
            return _document(row) if row else None

        return await self._postgres.transact(ask)


def _document(row: dict[str, Any]) -> dict[str, Any]:
    """The same bytes each time, so that a repeated request gets the first answer."""
    return {
        "payment_id": str(row["payment_id"]),
        "order_id": row["order_id"],
        "amount_cents": row["amount_cents"],
        "currency": row["currency"],
        "created_at": row["created_at"].isoformat(),
    }
