"""The routes of payments."""

from aiohttp import web

from shop_payments.contract import CONTRACT, KEY, ORDER_ID, ClaimBody, DoneBody, PayBody
from shop_payments.ledger import Charge, KeyReusedError, Ledger, OrderPaidError
from shop_payments.outbox import Outbox, OutboxWatch
from slicekit import Kit, Problem, current, kit_of
from slicekit.context import ANONYMOUS, IDEMPOTENCY_KEY
from slicekit.postgres import Postgres
from slicekit.routes import serve

_LEDGER = web.AppKey("ledger", Ledger)
_OUTBOX = web.AppKey("outbox", Outbox)


def build(kit: Kit) -> web.Application:
    """Environment: DATABASE_URL, OUTBOX_PAUSE (5s)."""
    postgres = Postgres(kit, schema="payments", migrations="shop_payments.migrations")
    kit.add_store(postgres)
    outbox = Outbox(postgres, pause=kit.env.seconds("OUTBOX_PAUSE", 5.0, low=0.01, high=600))
    kit.add_job("outbox", OutboxWatch(kit, outbox).run)
    app = web.Application()
    app[_LEDGER] = Ledger(postgres, outbox)
    app[_OUTBOX] = outbox
    handlers = {"pay": _pay, "getPayment": _get_payment, "claimOutbox": _claim, "finishOutbox": _done}
    serve(app, CONTRACT, handlers)
    return app


async def _pay(request: web.Request) -> web.Response:
    key = KEY.read(request)
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
    payment = await request.app[_LEDGER].find(_tenant(), ORDER_ID.read(request))
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
