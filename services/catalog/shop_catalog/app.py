"""The routes of catalog."""

from typing import Any

from aiohttp import web
from prometheus_client import Counter

from shop_catalog.contract import CONTRACT, SKU, SKUS
from shop_catalog.products import Cache, Found, Patience, Products
from slicekit import Kit, Need, Problem
from slicekit.postgres import Postgres
from slicekit.redis_store import RedisStore
from slicekit.routes import serve

_PRODUCTS = web.AppKey("products", Products)
_STALE = web.AppKey("stale", Counter)


def build(kit: Kit) -> web.Application:
    """Environment: DATABASE_URL, REDIS_URL, CATALOG_CACHE_TTL (30s), CATALOG_STALE_FOR (10m), CATALOG_HURRY (150ms)."""
    postgres = Postgres(kit, schema="catalog", migrations="shop_catalog.migrations")
    redis = RedisStore(kit, timeout=0.1)
    # Old products can be shown without it: a catalog that took itself out of traffic could not.
    kit.add_store(postgres, Need.AT_START)
    kit.add_store(redis, Need.NEVER)
    ttl = kit.env.seconds("CATALOG_CACHE_TTL", 30.0, low=0.001, high=86400)
    stale = kit.env.seconds("CATALOG_STALE_FOR", 600.0, low=0, high=7 * 86400)
    hurry = kit.env.seconds("CATALOG_HURRY", 0.15, low=0.01, high=60)
    cache = Cache(kit, redis, keep=ttl + stale)
    app = web.Application()
    app[_PRODUCTS] = Products(kit, postgres, cache, Patience(fresh=ttl, hurry=hurry))
    app[_STALE] = Counter(
        "catalog_stale_answers_total",
        "Answers from the cache alone, because PostgreSQL could not be asked.",
        ["app"],
        registry=kit.metrics.registry,
    ).labels(app=kit.settings.app)
    serve(app, CONTRACT, {"listProducts": _list_products, "getProduct": _get_product})
    return app


async def _list_products(request: web.Request) -> web.Response:
    """All products, or those named by `?sku=A&sku=B`; a sku that doesn't exist is left out."""
    skus = SKUS.read(request)
    products = request.app[_PRODUCTS]
    found = await products.find(skus) if skus else await products.listing()
    return _answer(request, {"products": found.products}, found)


async def _get_product(request: web.Request) -> web.Response:
    sku = SKU.read(request)
    found = await request.app[_PRODUCTS].find([sku])
    if not found.products:
        raise Problem(404, f"there is no product {sku}")
    return _answer(request, found.products[0], found)


def _answer(request: web.Request, document: Any, found: Found) -> web.Response:
    """Says by `X-Stale` and `Age` (seconds) that PostgreSQL was not asked, and how old the oldest product may be."""
    if found.stale is None:
        return web.json_response(document)
    request.app[_STALE].inc()
    return web.json_response(document, headers={"X-Stale": "true", "Age": str(int(found.stale))})
