"""The routes of catalog."""

import re

from aiohttp import web

from shop_catalog.products import Cache, Products
from slicekit import Kit, Need, Problem
from slicekit.postgres import Postgres
from slicekit.redis_store import RedisStore

_SKU = re.compile(r"[A-Z0-9][A-Z0-9-]{1,31}", re.ASCII)
_MOST_SKUS = 50
_PRODUCTS = web.AppKey("products", Products)


def build(kit: Kit) -> web.Application:
    """Environment: DATABASE_URL, REDIS_URL, CATALOG_CACHE_TTL (30s)."""
    postgres = Postgres(kit, schema="catalog", migrations="shop_catalog.migrations")
    redis = RedisStore(kit, timeout=0.1)
    kit.add_store(postgres)
    kit.add_store(redis, Need.NEVER)
    ttl = kit.env.seconds("CATALOG_CACHE_TTL", 30.0, low=0.001, high=86400)
    app = web.Application()
    app[_PRODUCTS] = Products(postgres, Cache(kit, redis, ttl=ttl))
    app.router.add_get("/products", _list_products)
    app.router.add_get("/products/{sku}", _get_product)
    return app


async def _list_products(request: web.Request) -> web.Response:
    """All products, or those named by `?sku=A&sku=B`; a sku that doesn't exist is left out."""
    skus = list(dict.fromkeys(request.query.getall("sku", [])))
    if len(skus) > _MOST_SKUS:
        raise Problem(400, f"ask for at most {_MOST_SKUS} skus at once")
    products = request.app[_PRODUCTS]
    found = await products.find([_sku(sku) for sku in skus]) if skus else await products.listing()
    return web.json_response({"products": found})


async def _get_product(request: web.Request) -> web.Response:
    sku = _sku(request.match_info["sku"])
    found = await request.app[_PRODUCTS].find([sku])
    if not found:
        raise Problem(404, f"there is no product {sku}")
    return web.json_response(found[0])


def _sku(text: str) -> str:
    if not _SKU.fullmatch(text):
        raise Problem(400, "a sku is 2 to 32 of A-Z, 0-9 and -, and does not begin with -")
    return text
