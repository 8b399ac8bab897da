"""Catalog: right prices with, without and despite the cache."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import aiohttp
import psycopg
import pytest
from redis.asyncio import Redis

import shop_catalog.app

# Seconds since PostgreSQL was asked, where 10 are fresh and 20 more are answered in need.
AGES = {300: "MUG-01", 1500: "MUG-02", 2100: "POT-1L"}
"""Seconds."""


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
    # kept for longer than it counts as fresh, for the day that PostgreSQL is away
    assert 30_000 < await redis.pttl("catalog:product:MUG-01") <= 630_000
    await redis.flushall()
    assert (await get(http, f"{catalog.url}/products/MUG-01"))[1]["price_cents"] == 1800


async def test_several_skus_at_once(launch: Any, stores: dict[str, str], http: aiohttp.ClientSession) -> None:
    catalog = await launch(shop_catalog.app.build, "catalog", stores)
    await get(http, f"{catalog.url}/products/POT-1L")
    status, answer = await get(http, f"{catalog.url}/products?sku=POT-1L&sku=MUG-02&sku=NONE-1&sku=MUG-02")
    assert status == 200
    assert [product["sku"] for product in answer["products"]] == ["MUG-02", "POT-1L"]


async def test_without_postgres_old_products_are_answered_and_said_to_be_old(
    launch: Any, stores: dict[str, str], http: aiohttp.ClientSession, postgres: Any, eventually: Any
) -> None:
    """Old for a bounded time, then a 503; readiness stays, for a catalog out of traffic answers nothing."""
    patience = {"CATALOG_CACHE_TTL": "50ms", "CATALOG_STALE_FOR": "600s", "DB_TIMEOUT": "500ms"}
    catalog = await launch(shop_catalog.app.build, "catalog", stores | patience)
    paths = ("/products", "/products/MUG-01", "/products?sku=MUG-01&sku=TRAY-OAK")
    fresh = [await get(http, catalog.url + path) for path in paths]
    await asyncio.sleep(0.1)
    postgres.stop()
    try:
        for path, answer in zip(paths, fresh, strict=True):
            async with http.get(catalog.url + path) as response:
                assert (response.status, await response.json()) == answer
                assert response.headers["X-Stale"] == "true"
                assert int(response.headers["Age"]) >= 0
        status, report = await get(http, f"{catalog.url}/readyz")
        assert (status, report["checks"]["postgres"]["ok"]) == (200, False)
        async with http.get(f"{catalog.admin}/metrics") as response:
            assert 'catalog_stale_answers_total{app="catalog"} 3.0' in await response.text()
    finally:
        postgres.start()

    async def fresh_again() -> bool:
        async with http.get(f"{catalog.url}/products") as response:
            return response.status == 200 and "X-Stale" not in response.headers

    await eventually(fresh_again)


async def test_what_is_too_old_is_not_answered(
    launch: Any, stores: dict[str, str], http: aiohttp.ClientSession, postgres: Any, redis: Redis
) -> None:
    patience = {"CATALOG_CACHE_TTL": "600s", "CATALOG_STALE_FOR": "1200s", "DB_TIMEOUT": "500ms"}
    catalog = await launch(shop_catalog.app.build, "catalog", stores | patience)
    products = {age: (await get(http, f"{catalog.url}/products/{sku}"))[1] for age, sku in AGES.items()}
    for age, product in products.items():
        entry = {"at": time.time() - age, "document": product}
        await redis.set(f"catalog:product:{product['sku']}", json.dumps(entry))
    postgres.stop()
    try:
        for age, product in products.items():
            async with http.get(f"{catalog.url}/products/{product['sku']}") as response:
                assert response.status == (200 if age < 1800 else 503), age
                assert ("X-Stale" in response.headers) == (600 < age < 1800), age
                assert ("Retry-After" in response.headers) == (age > 1800), age
    finally:
        postgres.start()


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
