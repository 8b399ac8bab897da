"""An order's way through api, catalog, payments and worker, all real, on real stores."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import psycopg
import pytest
from redis.asyncio import Redis

import shop_api.app
import shop_catalog.app
import shop_payments.app
import shop_worker.app

ORDER = {"items": [{"sku": "MUG-01", "quantity": 2}, {"sku": "POT-1L", "quantity": 1}]}
TOTAL = 2 * 900 + 3450


@pytest.fixture
async def shop(launch: Any, stores: dict[str, str]) -> Any:
    """The whole shop but the worker."""
    catalog = await launch(shop_catalog.app.build, "catalog", stores)
    payments = await launch(
        shop_payments.app.build, "payments", stores | {"RSLICE_TRACK": "canary", "OUTBOX_PAUSE": "3s"}
    )
    urls = {"CATALOG_URL": catalog.url, "PAYMENTS_URL": payments.url}
    return await launch(shop_api.app.build, "api", stores | urls | {"RELAY_PAUSE": "50ms"})


async def place(http: aiohttp.ClientSession, url: str, **headers: str) -> tuple[int, dict[str, Any], Any]:
    async with http.post(f"{url}/orders", json=ORDER, headers={"X-Tenant": "gold", **headers}) as response:
        return response.status, await response.json(content_type=None), response.headers


async def test_an_order_is_priced_charged_queued_and_settled(
    shop: Any,
    launch: Any,
    stores: dict[str, str],
    http: aiohttp.ClientSession,
    eventually: Callable[..., Awaitable[Any]],
) -> None:
    status, order, headers = await place(http, shop.url)
    assert (status, order["status"], order["total_cents"]) == (201, "paid", TOTAL)
    assert headers["X-Served-By"] == "api@stable, catalog@stable, payments@canary"
    assert headers["Location"] == f"/orders/{order['order_id']}"

    await launch(shop_worker.app.build, "worker", stores | {"PORT": "", "WORKER_BLOCK": "50ms"}, needs_port=False)

    async def settled() -> bool:
        async with http.get(f"{shop.url}{headers['Location']}", headers={"X-Tenant": "gold"}) as response:
            return (await response.json())["status"] == "settled"

    await eventually(settled)
    with psycopg.connect(stores["DATABASE_URL"]) as connection:
        rows = connection.execute("SELECT order_id, tenant, amount_cents FROM worker.settlements").fetchall()
        booked = connection.execute("SELECT account, amount_cents FROM payments.ledger ORDER BY 1").fetchall()
    assert rows == [(order["order_id"], "gold", TOTAL)]
    assert booked == [("customer", -TOTAL), ("shop", TOTAL)]


async def test_an_order_is_readable_by_its_tenant_only(shop: Any, http: aiohttp.ClientSession) -> None:
    _, order, _ = await place(http, shop.url)
    for tenant, status in (("gold", 200), ("silver", 404)):
        async with http.get(f"{shop.url}/orders/{order['order_id']}", headers={"X-Tenant": tenant}) as response:
            assert response.status == status


async def test_a_repeated_post_is_one_order_one_payment_one_message(
    shop: Any, stores: dict[str, str], http: aiohttp.ClientSession, redis: Redis
) -> None:
    answers = await asyncio.gather(*(place(http, shop.url, **{"Idempotency-Key": "k1"}) for _ in range(20)))
    assert {status for status, _, _ in answers} == {201}
    assert len({order["order_id"] for _, order, _ in answers}) == 1
    assert await redis.xlen("orders") == 1
    with psycopg.connect(stores["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT count(*) FROM payments.payments").fetchone() == (1,)

    status, order, headers = await place(http, shop.url, **{"Idempotency-Key": "k1"})
    assert (status, headers["Idempotent-Replayed"]) == (201, "true")
    assert order == answers[0][1]


async def test_the_same_key_is_another_order_for_another_tenant(shop: Any, http: aiohttp.ClientSession) -> None:
    _, first, _ = await place(http, shop.url, **{"Idempotency-Key": "k1"})
    _, second, _ = await place(http, shop.url, **{"Idempotency-Key": "k1", "X-Tenant": "silver"})
    assert first["order_id"] != second["order_id"]


async def test_the_same_key_for_other_items_is_a_conflict(shop: Any, http: aiohttp.ClientSession) -> None:
    await place(http, shop.url, **{"Idempotency-Key": "k1"})
    other = {"items": [{"sku": "MUG-01", "quantity": 3}]}
    headers = {"X-Tenant": "gold", "Idempotency-Key": "k1"}
    async with http.post(f"{shop.url}/orders", json=other, headers=headers) as response:
        assert response.status == 409
        assert "another order" in (await response.json(content_type=None))["detail"]


async def test_a_payment_conflict_is_a_conflict_of_the_order(
    shop: Any, stores: dict[str, str], http: aiohttp.ClientSession, redis: Redis
) -> None:
    """The key has been used at payments for something else, so nothing is queued."""
    with psycopg.connect(stores["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(
            "INSERT INTO payments.payments VALUES ('gold', 'k9', gen_random_uuid(), 'ord_x', 1, 'EUR', now())"
        )
    status, problem, _ = await place(http, shop.url, **{"Idempotency-Key": "k9"})
    assert (status, problem["status"]) == (409, 409)
    assert await redis.xlen("orders") == 0


async def test_an_order_that_was_charged_but_not_queued_is_completed_by_a_retry(
    shop: Any, stores: dict[str, str], http: aiohttp.ClientSession, redis: Redis
) -> None:
    _, order, _ = await place(http, shop.url, **{"Idempotency-Key": "k1"})
    # As if api had died after the charge, and prices had changed meanwhile.
    await redis.delete("orders")
    await redis.hset(f"order:{order['order_id']}", "status", "pending")
    await redis.delete(*await redis.keys("catalog:*"))
    with psycopg.connect(stores["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("UPDATE catalog.products SET price_cents = price_cents * 2")
    status, again, _ = await place(http, shop.url, **{"Idempotency-Key": "k1"})
    assert (status, again["status"], again["total_cents"]) == (201, "paid", TOTAL)
    assert await redis.xlen("orders") == 1


@pytest.mark.parametrize("lost", ["the queueing", "all of Redis"])
async def test_a_charged_order_that_nobody_repeats_is_queued_all_the_same(
    shop: Any, stores: dict[str, str], http: aiohttp.ClientSession, redis: Redis, eventually: Any, lost: str
) -> None:
    """Api died after the charge, or Redis lost what it had acknowledged, and the client never came back."""
    _, order, headers = await place(http, shop.url)
    before = await redis.hgetall(f"order:{order['order_id']}")
    if lost == "all of Redis":
        await redis.flushall()
    else:
        await redis.delete("orders")
        await redis.hset(f"order:{order['order_id']}", "status", "pending")

    async def queued() -> bool:
        return await redis.xlen("orders") == 1

    await eventually(queued)
    ((_, message),) = await redis.xrange("orders")
    assert (message["order_id"], message["amount_cents"]) == (order["order_id"], str(TOTAL))
    after = await redis.hgetall(f"order:{order['order_id']}")
    assert before | {"queued_at": after["queued_at"]} == after
    async with http.get(f"{shop.url}{headers['Location']}", headers={"X-Tenant": "gold"}) as response:
        assert await response.json() == order

    async def done() -> bool:
        with psycopg.connect(stores["DATABASE_URL"]) as connection:
            return connection.execute("SELECT count(*) FROM payments.outbox").fetchone() == (0,)

    await eventually(done)
    assert await redis.xlen("orders") == 1


async def test_readiness_says_that_charges_are_not_looked_after(
    launch: Any, shop: Any, stores: dict[str, str], http: aiohttp.ClientSession, eventually: Any, monkeypatch: Any
) -> None:
    """And the service stays in traffic: whether payments answers the relay is none of a request's business."""
    monkeypatch.setattr("shop_api.relay._SILENT_SECONDS", 0.2)
    env = {"CATALOG_URL": shop.kit.env.values["CATALOG_URL"], "PAYMENTS_URL": "http://127.0.0.1:1"}
    api = await launch(shop_api.app.build, "api", stores | env | {"RELAY_PAUSE": "10ms"})

    async def said() -> bool:
        async with http.get(f"{api.url}/readyz") as response:
            assert response.status == 200
            return "not been looked after" in (await response.json())["checks"]["relay"]["reason"]

    await eventually(said)
    async with http.get(f"{shop.url}/readyz") as response:
        assert (await response.json())["checks"]["relay"]["ok"] is True


async def test_no_order_is_taken_while_too_many_wait(
    launch: Any, shop: Any, stores: dict[str, str], http: aiohttp.ClientSession, redis: Redis
) -> None:
    env = {name: shop.kit.env.values[name] for name in ("CATALOG_URL", "PAYMENTS_URL")}
    api = await launch(shop_api.app.build, "api", stores | env | {"ORDER_BACKLOG": "2"})
    placed = [await place(http, api.url, **{"Idempotency-Key": f"k{n}"}) for n in range(3)]
    assert [status for status, _, _ in placed] == [201, 201, 503]
    assert "too many orders" in placed[2][1]["detail"]
    assert placed[2][2]["Retry-After"] == "5"
    assert (await place(http, api.url, **{"Idempotency-Key": "k0"}))[0] == 201
    with psycopg.connect(stores["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT count(*) FROM payments.payments").fetchone() == (2,)


async def test_products_pass_through(shop: Any, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{shop.url}/products") as response:
        assert response.status == 200
        assert response.headers["X-Served-By"] == "api@stable, catalog@stable"
        assert len((await response.json())["products"]) == 10
    async with http.get(f"{shop.url}/products/NONE-1") as response:
        assert response.status == 404
        assert (await response.json(content_type=None))["detail"] == "there is no product NONE-1"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "words"),
    [
        (b"{", "application/json", 400, "not JSON"),
        (b"\xff\xfe", "application/json", 400, "not JSON"),
        (b"[" * 5000, "application/json", 400, "nested too deeply"),
        (b"", "application/json", 400, "not JSON"),
        (b"null", "application/json", 422, "body"),
        (b"{}", "text/plain", 415, "application/json"),
        (b'{"items":[' + b" " * 70_000 + b"]}", "application/json", 413, "65536 bytes"),
        (b'{"items":[]}', "application/json", 422, "items"),
        (b'{"items":[{"sku":"MUG-01","quantity":1e400}]}', "application/json", 422, "items[0].quantity"),
        (b'{"items":[{"sku":"MUG-01","quantity":1001}]}', "application/json", 422, "items[0].quantity"),
        (b'{"items":[{"sku":"MUG-01","quantity":0}]}', "application/json", 422, "items[0].quantity"),
        (b'{"items":[{"sku":"MUG-01","quantity":"2"}]}', "application/json", 422, "items[0].quantity"),
        (b'{"items":[{"sku":"MUG-01","quantity":true}]}', "application/json", 422, "items[0].quantity"),
        (b'{"items":[{"sku":"MUG-01","quantity":1,"price":1}]}', "application/json", 422, "items[0].price"),
        (b'{"items":[{"sku":"mug\\n","quantity":1}]}', "application/json", 422, "items[0].sku"),
        (b'{"items":[{"sku":"MUG-01\\n","quantity":1}]}', "application/json", 422, "items[0].sku"),
        (b'{"items":[{"sku":"NO-SUCH","quantity":1}]}', "application/json", 422, "no product NO-SUCH"),
        (b'{"items":[' + b",".join([b'{"sku":"MUG-01","quantity":1}'] * 51) + b"]}", "application/json", 422, "items"),
    ],
)
async def test_hostile_orders_are_refused(
    hostile_api: str, http: aiohttp.ClientSession, body: bytes, content_type: str, status: int, words: str
) -> None:
    async with http.post(f"{hostile_api}/orders", data=body, headers={"Content-Type": content_type}) as response:
        assert (response.status, response.content_type) == (status, "application/problem+json")
        problem = await response.json(content_type=None)
    assert problem["status"] == status
    assert words in problem["detail"]
    assert len(problem["trace_id"]) == 32


@pytest.fixture
async def hostile_api(shop: Any) -> str:
    return str(shop.url)
