"""What payments notes with a charge, so that the order can be queued from it alone."""

import json
from typing import Annotated, Any

from pydantic import BaseModel, Field

from shop_api.orders import Order


class Memo(BaseModel):
    fingerprint: str
    lines: list[dict[str, Any]]
    traceparent: str = ""


class Charged(BaseModel):
    """An entry of payments' outbox."""

    payment_id: str
    order_id: str
    tenant: str
    amount_cents: Annotated[int, Field(ge=1)]
    currency: str
    memo: str


def render_memo(order: Order, traceparent: str) -> str:
    document = {"fingerprint": order.fingerprint, "lines": order.lines, "traceparent": traceparent}
    return json.dumps(document, separators=(",", ":"))


def read_order(charged: Charged) -> tuple[Order, str]:
    """The order as it was charged, and its traceparent. ValueError for a memo that is not ours."""
    memo = Memo.model_validate_json(charged.memo)
    order = Order(
        order_id=charged.order_id,
        tenant=charged.tenant,
        fingerprint=memo.fingerprint,
        lines=memo.lines,
        total_cents=charged.amount_cents,
        currency=charged.currency,
    )
    return order, memo.traceparent
