"""Settles one message: first the row that can exist only once, then the order's status, then the acknowledgement.

Killed anywhere in between, the message comes back and the steps that were done do nothing the second time.
"""

from dataclasses import dataclass
from typing import Annotated

import psycopg
from psycopg import AsyncConnection
from pydantic import BaseModel, Field, StringConstraints, ValidationError
from redis.exceptions import ResponseError

from shop_worker.queue import Message, OrderQueue
from slicekit import Kit
from slicekit.health import reason_of
from slicekit.postgres import Postgres

_SETTLE = (
    "INSERT INTO settlements (order_id, tenant, amount_cents, currency, settled_by) VALUES (%s, %s, %s, %s, %s)"
    " ON CONFLICT (order_id) DO NOTHING"
)


class PaidOrder(BaseModel):
    """A message of the stream. Redis knows strings only, so numbers are parsed."""

    order_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    tenant: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00]+$")]
    amount_cents: Annotated[int, Field(ge=1, le=10**12)]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    traceparent: str = ""

    @property
    def trace_id(self) -> str:
        parts = self.traceparent.split("-")
        return parts[1] if len(parts) == 4 else ""


@dataclass(frozen=True, slots=True)
class Settlement:
    kit: Kit
    queue: OrderQueue
    postgres: Postgres
    consumer: str
    most_tries: int

    async def settle(self, message: Message) -> None:
        """StoreUnavailableError leaves the message for later and counts no try: an outage is not its fault."""
        message_id, fields = message
        try:
            order = PaidOrder.model_validate(fields)
            await self._record(order)
            await self.queue.finish(message_id, order.order_id)
        except (ValidationError, psycopg.DataError, psycopg.IntegrityError, ResponseError) as exc:
            await self._give_up_on(message_id, fields, exc)
            return
        self.kit.log.info("order settled", order_id=order.order_id, tenant=order.tenant, trace_id=order.trace_id)

    async def _record(self, order: PaidOrder) -> None:
        async def work(connection: AsyncConnection) -> None:
            await connection.execute(
                _SETTLE, [order.order_id, order.tenant, order.amount_cents, order.currency, self.consumer]
            )

        await self.postgres.transact(work)

    async def _give_up_on(self, message_id: str, fields: dict[str, str], exc: Exception) -> None:
        reason = _reason(exc)
        tries = await self.queue.fail(message_id, fields, reason=reason, most=self.most_tries)
        if 0 < tries < self.most_tries:
            self.kit.log.warning("message failed", message_id=message_id, tries=tries, reason=reason)
        elif tries:
            self.kit.log.error("message given up", message_id=message_id, tries=tries, reason=reason)


def _reason(exc: Exception) -> str:
    if isinstance(exc, ValidationError):
        return "; ".join(
            f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in exc.errors(include_url=False)
        )[:500]
    return reason_of(exc)
