"""The routes of api."""

import re
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shop_api.checkout import Checkout, Item
from shop_api.orders import Orders
from shop_api.relay import Relay
from slicekit import Kit, Need, Problem, RequestContext, Upstream, current, kit_of
from slicekit.context import IDEMPOTENCY_KEY
from slicekit.redis_store import RedisStore

_CHECKOUT = web.AppKey("checkout", Checkout)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_PASSED_ON = ("Content-Type", "Age", "X-Stale")
_ORDER_ID = re.compile(r"ord_[0-9a-f]{32}")


class ItemBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sku: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9][A-Z0-9-]{1,31}$")]
    quantity: Annotated[int, Field(ge=1, le=1000)]


class OrderBody(BaseModel):
    """`POST /orders`."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[ItemBody], Field(min_length=1, max_length=50)]


def build(kit: Kit) -> web.Application:
    """Environment: REDIS_URL, CATALOG_URL, PAYMENTS_URL, ORDER_TTL (168h), PENDING_ORDER_TTL (24h),
    ORDER_BACKLOG (100000), RELAY_PAUSE (1s).
    """
    redis = RedisStore(kit, timeout=0.3)
    # Without Redis no order can be taken, but products can still be shown: so it is waited for at start only.
    kit.add_store(redis, Need.AT_START)
    orders = Orders(
        redis,
        ttl=kit.env.seconds("ORDER_TTL", 7 * 86400, low=60, high=366 * 86400),
        pending_ttl=kit.env.seconds("PENDING_ORDER_TTL", 86400, low=60, high=366 * 86400),
        backlog=kit.env.integer("ORDER_BACKLOG", 100_000, low=1, high=10**9),
    )
    catalog, payments = _upstream(kit, "catalog"), _upstream(kit, "payments")
    relay = Relay(kit, orders, payments, pause=kit.env.seconds("RELAY_PAUSE", 1.0, low=0.01, high=600))
    kit.add_job("relay", relay.run)
    kit.add_check("relay", relay.check, Need.NEVER)
    app = web.Application()
    app[_CHECKOUT] = Checkout(orders, catalog, payments)
    app.router.add_post("/orders", _post_order)
    app.router.add_get("/orders/{order_id}", _get_order)
    app.router.add_get("/products", _get_products)
    app.router.add_get("/products/{sku}", _get_products)
    return app


def _upstream(kit: Kit, target: str) -> Upstream:
    variable = f"{target.upper()}_URL"
    return kit.upstream(target, kit.env.url(variable, "http", "https", example=f"http://shop-{target}:8080"))


async def _post_order(request: web.Request) -> web.Response:
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not _KEY.fullmatch(key):
        raise Problem(400, f"{IDEMPOTENCY_KEY} must be 1 to 255 visible ASCII characters")
    body = await kit_of(request).read_json(request, OrderBody)
    items = [Item(item.sku, item.quantity) for item in body.items]
    order, replayed = await request.app[_CHECKOUT].place(_context(), items, key)
    headers = {"Location": f"/orders/{order.order_id}"} | ({"Idempotent-Replayed": "true"} if replayed else {})
    return web.json_response(order.document(), status=201, headers=headers)


async def _get_order(request: web.Request) -> web.Response:
    order_id = request.match_info["order_id"]
    order = await request.app[_CHECKOUT].orders.find(order_id) if _ORDER_ID.fullmatch(order_id) else None
    # The same answer for an order of another tenant: whether it exists is none of this one's business.
    if order is None or order.tenant != _context().tenant:
        raise Problem(404, "there is no such order")
    return web.json_response(order.document())


async def _get_products(request: web.Request) -> web.Response:
    """What catalog answers, and its own words where it refuses."""
    catalog = request.app[_CHECKOUT].catalog
    sku = request.match_info.get("sku")
    if sku is not None and not re.fullmatch(r"[A-Za-z0-9-]{1,64}", sku):
        raise Problem(404, "there is no such product")
    reply = await catalog.get(f"/products/{sku}" if sku else "/products")
    if reply.status not in {200, 400, 404}:
        raise reply.failure()
    headers = {name: reply.headers[name] for name in _PASSED_ON if name in reply.headers}
    return web.Response(status=reply.status, body=reply.body, headers={"Content-Type": "application/json"} | headers)


def _context() -> RequestContext:
    context = current()
    if context is None:
        raise RuntimeError("this handler runs outside of slicekit's middleware")
    return context
