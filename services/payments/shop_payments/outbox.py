"""What others must be told because a payment happened: rows written with the payment, handed out until they are done.

A charge is committed here, its order is queued elsewhere, and the caller of both may die in between. The row makes
the two agree: it is committed with the money, and it comes back until someone has seen the order queued.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prometheus_client import Gauge
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from slicekit import Kit
from slicekit.jobs import repeat
from slicekit.postgres import Postgres

_ADD = "INSERT INTO outbox (payment_id, memo, due_at) VALUES (%s, %s, now() + make_interval(secs => %s))"
# Two who ask at once get different rows; one who dies with rows in hand holds them up for `secs` only.
_CLAIM = (
    "UPDATE outbox SET due_at = now() + make_interval(secs => %s) FROM payments"
    " WHERE payments.payment_id = outbox.payment_id AND outbox.payment_id IN"
    " (SELECT payment_id FROM outbox WHERE due_at <= now() ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED)"
    " RETURNING payments.payment_id, order_id, tenant, amount_cents, currency, memo"
)
_DONE = "DELETE FROM outbox WHERE payment_id = ANY(%s)"
_STATE = "SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 FROM outbox"

_LOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Outbox:
    """`pause` is in seconds: how long a row is left alone after the payment, and after each time it was handed out."""

    postgres: Postgres
    pause: float

    async def add(self, connection: AsyncConnection, payment_id: UUID, memo: str) -> None:
        """In the transaction of the payment."""
        await connection.execute(_ADD, [payment_id, memo, self.pause])

    async def claim(self, limit: int) -> list[dict[str, Any]]:
        """At most `limit` rows that are due, each with its payment. StoreUnavailableError."""

        async def work(connection: AsyncConnection) -> list[dict[str, Any]]:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(_CLAIM, [self.pause, limit])
            return await cursor.fetchall()

        rows = await self.postgres.transact(work)
        return [row | {"payment_id": str(row["payment_id"])} for row in rows]

    async def finish(self, payment_ids: list[UUID]) -> int:
        """Deletes rows; returns how many there were. StoreUnavailableError."""

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(_DONE, [payment_ids])).rowcount

        return await self.postgres.transact(work)

    async def state(self) -> tuple[int, float]:
        """How many rows wait, and the age of the oldest in seconds. StoreUnavailableError."""

        async def ask(connection: AsyncConnection) -> tuple[int, float]:
            row = await (await connection.execute(_STATE)).fetchone()
            return (row[0], row[1]) if row else (0, 0.0)

        return await self.postgres.transact(ask)


class OutboxWatch:
    """A job that shows the outbox in the metrics: rows that grow old mean that nobody announces payments."""

    def __init__(self, kit: Kit, outbox: Outbox) -> None:
        self._kit, self._outbox = kit, outbox
        registry, app = kit.metrics.registry, kit.settings.app
        rows = Gauge("outbox_rows", "Payments not yet seen announced.", ["app"], registry=registry)
        oldest = Gauge("outbox_oldest_seconds", "Age of the oldest of them.", ["app"], registry=registry)
        self._rows, self._oldest = rows.labels(app=app), oldest.labels(app=app)

    async def run(self) -> None:
        await repeat(self._kit, self._look, pause=_LOOK_SECONDS)

    async def _look(self) -> None:
        rows, oldest = await self._outbox.state()
        self._rows.set(rows)
        self._oldest.set(oldest)
