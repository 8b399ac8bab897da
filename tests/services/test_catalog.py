"""Catalog: right prices with, without and despite the cache."""

import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import aiohttp
import psycopg
import pytest
from redis.asyncio import Redis

import shop_catalog.app


async def get(http: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
    async with http.get(url) as response:
        return response.status, await response.json()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and says nothing, as a stalled Redis does."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


def double_prices(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE catalog.products SET price_cents = price_cents * 2")


async def test_prices_come_from_the_cache_until_they_expire(
    launch: Any, stores: dict[str, str], http: aiohttp.ClientSession, redis: Redis
) -> None:
    catalog = await launch(shop_catalog.app.build, "catalog", stores)
    for path in ("/products", "/products/MUG-01"):
        assert (await get(http, catalog.url + path))[0] == 200
    double_prices(stores["DATABASE_URL"])
    assert (await get(http, f"{catalog.url}/products/MUG-01"))[1]["price_cents"] == 900
    assert 0 < await redis.pttl("catalog:product:MUG-01") <= 30_000
    await redis.flushall()
    assert (await get(http, f"{catalog.url}/products/MUG-01"))[1]["price_cents"] == 1800


async def test_several_skus_at_once(launch: Any, stores: dict[str, str], http: aiohttp.ClientSession) -> None:
    catalog = await launch(shop_catalog.app.build, "catalog", stores)
    await get(http, f"{catalog.url}/products/POT-1L")
    status, answer = await get(http, f"{catalog.url}/products?sku=POT-1L&sku=MUG-02&sku=NONE-1&sku=MUG-02")
    assert status == 200
    assert [product["sku"] for product in answer["products"]] == ["MUG-02", "POT-1L"]


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "redis://127.0.0.1:{silent}/0"])
async def test_no_cache_no_failure(
    launch: Any, stores: dict[str, str], http: aiohttp.ClientSession, silent_port: int, url: str
) -> None:
    catalog = await launch(
        shop_catalog.app.build,
        "catalog",
        stores | {"REDIS_URL": url.format(silent=silent_port), "REDIS_TIMEOUT": "100ms"},
    )
    for _ in range(3):
        assert (await get(http, f"{catalog.url}/products/MUG-01"))[0] == 200
    status, report = await get(http, f"{catalog.url}/readyz")
    assert (status, report["ready"]) == (200, True)
    assert report["checks"]["redis"]["ok"] is False
    assert report["checks"]["redis"]["required"] is False


async def test_rubbish_in_the_cache_counts_as_nothing(
    launch: Any, stores: dict[str, str], http: aiohttp.ClientSession, redis: Redis
) -> None:
    await redis.set("catalog:product:MUG-01", "\udcff{")
    catalog = await launch(shop_catalog.app.build, "catalog", stores)
    assert (await get(http, f"{catalog.url}/products/MUG-01"))[1]["price_cents"] == 900


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/products/NONE-1", 404),
        ("/products/mug", 400),
        ("/products/%00", 400),
        ("/products/MUG-01%0A", 400),
        ("/products?sku=" + "A" * 33, 400),
        ("/products?" + "&".join(f"sku=A{number}" for number in range(51)), 400),
        ("/nothing", 404),
    ],
)
async def test_hostile_paths_are_refused(
    launch: Any, stores: dict[str, str], http: aiohttp.ClientSession, path: str, status: int
) -> None:
    catalog = await launch(shop_catalog.app.build, "catalog", stores)
    answered, problem = await get(http, catalog.url + path)
    assert (answered, problem["status"]) == (status, status)
