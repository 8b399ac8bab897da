"""The order of steps that makes a repeated POST harmless: look, price, reserve, charge, queue."""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from shop_api.memo import render_memo
from shop_api.orders import Order, Orders, derive_order_id
from slicekit import Problem, Reply, RequestContext, Upstream


@dataclass(frozen=True, slots=True)
class Item:
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Checkout:
    """Every step may be repeated. What a step can't do becomes a Problem that says whether to try again."""

    orders: Orders
    catalog: Upstream
    payments: Upstream

    async def place(self, context: RequestContext, items: list[Item], key: str | None) -> tuple[Order, bool]:
        """The order, and whether it had been placed before."""
        order_id = derive_order_id(context.tenant, key)
        fingerprint = _fingerprint(items)
        order = await self.orders.find(order_id) if key else None
        if order is None:
            lines, currency = await self._price(items)
            total = sum(line["quantity"] * line["price_cents"] for line in lines)
            # Before money moves, so that nobody is charged for an order that can't be kept.
            order = await self.orders.reserve(Order(order_id, context.tenant, fingerprint, lines, total, currency))
        if order.fingerprint != fingerprint:
            raise Problem(409, "this Idempotency-Key was used for another order; use a new one")
        if order.status != "pending":
            return order, True
        traceparent = context.trace.traceparent
        payment_id = await self._charge(order, key or order_id, traceparent)
        # If this fails, or nobody lives to do it, the relay does, from what payments has noted with the charge.
        queued = await self.orders.queue(order, payment_id=payment_id, traceparent=traceparent)
        return replace(order, status=queued.status), False

    async def _price(self, items: list[Item]) -> tuple[list[dict[str, Any]], str]:
        """The lines with their prices, and the currency. Problem 422 for a sku that doesn't exist."""
        skus = dict.fromkeys(item.sku for item in items)
        reply = await self.catalog.get("/products", params=[("sku", sku) for sku in skus])
        if reply.status != 200:
            raise reply.failure()
        try:
            products = {product["sku"]: product for product in reply.json()["products"]}
            prices = {sku: int(product["price_cents"]) for sku, product in products.items()}
            currencies = {str(product["currency"]) for product in products.values()}
        except (KeyError, TypeError, ValueError) as exc:
            raise _misunderstood(reply) from exc
        if unknown := [sku for sku in skus if sku not in prices]:
            raise Problem(422, f"there is no product {', '.join(unknown)}", unknown_skus=unknown)
        if len(currencies) != 1:
            raise Problem(422, f"one order is in one currency, these are {', '.join(sorted(currencies))}")
        lines = [{"sku": item.sku, "quantity": item.quantity, "price_cents": prices[item.sku]} for item in items]
        return lines, currencies.pop()

    async def _charge(self, order: Order, key: str, traceparent: str) -> str:
        """The id of the payment, new or first made by an earlier try."""
        reply = await self.payments.post(
            "/pay",
            {
                "order_id": order.order_id,
                "amount_cents": order.total_cents,
                "currency": order.currency,
                "memo": render_memo(order, traceparent),
            },
            idempotency_key=key,
        )
        if reply.status == 409:
            raise Problem(409, "this Idempotency-Key was used for another payment; use a new one")
        if reply.status not in {200, 201}:
            raise reply.failure()
        try:
            return str(reply.json()["payment_id"])
        except (KeyError, TypeError) as exc:
            raise _misunderstood(reply) from exc


def _fingerprint(items: list[Item]) -> str:
    asked = [[item.sku, item.quantity] for item in items]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _misunderstood(reply: Reply) -> Problem:
    return Problem(502, f"{reply.target}: answered something this version does not understand")
