"""The routes of api."""

from aiohttp import web

from shop_api.checkout import Checkout, Item
from shop_api.contract import CONTRACT, KEY, ORDER_ID, SKU, OrderBody
from shop_api.orders import Orders
from shop_api.relay import Relay
from slicekit import Kit, Need, Problem, RequestContext, Upstream, current, kit_of
from slicekit.redis_store import RedisStore
from slicekit.routes import serve

_CHECKOUT = web.AppKey("checkout", Checkout)
_PASSED_ON = ("Content-Type", "Age", "X-Stale")


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
    handlers = {
        "placeOrder": _post_order,
        "getOrder": _get_order,
        "listProducts": _get_products,
        "getProduct": _get_products,
    }
    serve(app, CONTRACT, handlers)
    return app


def _upstream(kit: Kit, target: str) -> Upstream:
    variable = f"{target.upper()}_URL"
    return kit.upstream(target, kit.env.url(variable, "http", "https", example=f"http://shop-{target}:8080"))


async def _post_order(request: web.Request) -> web.Response:
    key = KEY.read(request)
    body = await kit_of(request).read_json(request, OrderBody)
    items = [Item(item.sku, item.quantity) for item in body.items]
    order, replayed = await request.app[_CHECKOUT].place(_context(), items, key)
    headers = {"Location": f"/orders/{order.order_id}"} | ({"Idempotent-Replayed": "true"} if replayed else {})
    return web.json_response(order.document(), status=201, headers=headers)


async def _get_order(request: web.Request) -> web.Response:
    order = await request.app[_CHECKOUT].orders.find(ORDER_ID.read(request))
    # The same answer for an order of another tenant: whether it exists is none of this one's business.
    if order is None or order.tenant != _context().tenant:
        raise Problem(404, "there is no such order")
    return web.json_response(order.document())


async def _get_products(request: web.Request) -> web.Response:
    """What catalog answers, and its own words where it refuses."""
    catalog = request.app[_CHECKOUT].catalog
    sku = SKU.read(request) if SKU.name in request.match_info else None
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
