"""The routes of payments."""

import re
from typing import Annotated
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shop_payments.ledger import Charge, KeyReusedError, Ledger, OrderPaidError
from shop_payments.outbox import Outbox, OutboxWatch
from slicekit import Kit, Problem, current, kit_of
from slicekit.context import ANONYMOUS, IDEMPOTENCY_KEY
from slicekit.postgres import Postgres

_LEDGER = web.AppKey("ledger", Ledger)
_OUTBOX = web.AppKey("outbox", Outbox)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_ORDER_ID = r"^[A-Za-z0-9_-]{1,64}$"


class PayBody(BaseModel):
    """`POST /pay`."""

    model_config = ConfigDict(extra="forbid")

    order_id: Annotated[str, StringConstraints(pattern=_ORDER_ID)]
    amount_cents: Annotated[int, Field(ge=1, le=10**12)]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    memo: Annotated[str, StringConstraints(max_length=16_384, pattern=r"^[^\x00]*$")] | None = None
    """What the outbox hands out once the charge is committed."""


class ClaimBody(BaseModel):
    """`POST /outbox/claim`."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=500)] = 100


class DoneBody(BaseModel):
    """`POST /outbox/done`."""

    model_config = ConfigDict(extra="forbid")

    payment_ids: Annotated[list[UUID], Field(min_length=1, max_length=500)]


def build(kit: Kit) -> web.Application:
    """Environment: DATABASE_URL, OUTBOX_PAUSE (5s)."""
    postgres = Postgres(kit, schema="payments", migrations="shop_payments.migrations")
    kit.add_store(postgres)
    outbox = Outbox(postgres, pause=kit.env.seconds("OUTBOX_PAUSE", 5.0, low=0.01, high=600))
    kit.add_job("outbox", OutboxWatch(kit, outbox).run)
    app = web.Application()
    app[_LEDGER] = Ledger(postgres, outbox)
    app[_OUTBOX] = outbox
    app.router.add_post("/pay", _pay)
    app.router.add_post("/outbox/claim", _claim)
    app.router.add_post("/outbox/done", _done)
    app.router.add_get("/payments/{order_id}", _get_payment)
    return app


async def _pay(request: web.Request) -> web.Response:
    key = request.headers.get(IDEMPOTENCY_KEY, "")
    if not _KEY.fullmatch(key):
        raise Problem(400, f"{IDEMPOTENCY_KEY} is required: 1 to 255 visible ASCII characters")
    body = await kit_of(request).read_json(request, PayBody)
    charge = Charge(_tenant(), key, body.order_id, body.amount_cents, body.currency, body.memo)
    try:
        receipt = await request.app[_LEDGER].pay(charge)
    except KeyReusedError as exc:
        raise Problem(409, f"this {IDEMPOTENCY_KEY} was used for another payment; use a new one") from exc
    except OrderPaidError as exc:
        raise Problem(409, f"order {body.order_id} has been paid under another {IDEMPOTENCY_KEY}") from exc
    headers = {"Idempotent-Replayed": "true"} if receipt.replayed else None
    return web.json_response(receipt.payment, status=201, headers=headers)


async def _get_payment(request: web.Request) -> web.Response:
    order_id = request.match_info["order_id"]
    payment = await request.app[_LEDGER].find(_tenant(), order_id) if re.fullmatch(_ORDER_ID, order_id) else None
    if payment is None:
        raise Problem(404, "there is no payment for this order")
    return web.json_response(payment)


async def _claim(request: web.Request) -> web.Response:
    """Payments of every tenant whose announcement nobody has seen yet."""
    body = await kit_of(request).read_json(request, ClaimBody)
    return web.json_response({"payments": await request.app[_OUTBOX].claim(body.limit)})


async def _done(request: web.Request) -> web.Response:
    body = await kit_of(request).read_json(request, DoneBody)
    return web.json_response({"done": await request.app[_OUTBOX].finish(body.payment_ids)})


def _tenant() -> str:
    context = current()
    return context.tenant if context else ANONYMOUS
