"""What callers are told while something the shop needs is away, slow or stalled."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import aiohttp
import psutil
import psycopg
import pytest
from redis.asyncio import Redis

import shop_api.app
import shop_catalog.app
import shop_payments.app
from slicekit.faults import Fault, FaultKind

ORDER = {"items": [{"sku": "MUG-01", "quantity": 1}]}
HEADERS = {"X-Tenant": "gold", "Idempotency-Key": "k1"}


@pytest.fixture
async def catalog(launch: Any, stores: dict[str, str]) -> Any:
    return await launch(shop_catalog.app.build, "catalog", stores | {"REDIS_TIMEOUT": "2s"})


@pytest.fixture
async def payments(launch: Any, stores: dict[str, str]) -> Any:
    return await launch(shop_payments.app.build, "payments", stores | {"DB_TIMEOUT": "2s"})


@pytest.fixture
async def api(launch: Any, stores: dict[str, str], catalog: Any, payments: Any) -> Any:
    urls = {"CATALOG_URL": catalog.url, "PAYMENTS_URL": payments.url}
    return await launch(shop_api.app.build, "api", stores | urls | {"REDIS_TIMEOUT": "2s"})


async def order(http: aiohttp.ClientSession, api: Any, **headers: str) -> tuple[int, Any, Any]:
    async with http.post(f"{api.url}/orders", json=ORDER, headers=HEADERS | headers) as response:
        return response.status, await response.json(), response.headers


@pytest.mark.parametrize(("fault", "status"), [(503, 503), (500, 502), (504, 504), (429, 429)])
async def test_payments_failing_charges_and_queues_nothing(
    api: Any, payments: Any, http: aiohttp.ClientSession, redis: Redis, fault: int, status: int
) -> None:
    payments.kit.faults.put(Fault(FaultKind.FAIL, status=fault))
    answered, problem, headers = await order(http, api)
    assert (answered, problem["status"]) == (status, status)
    assert ("Retry-After" in headers) == (status in {429, 503})
    assert await redis.xlen("orders") == 0
    payments.kit.faults.clear()
    assert (await order(http, api))[0] == 201
    assert await redis.xlen("orders") == 1


async def test_a_slow_payment_ends_with_the_deadline(
    api: Any, payments: Any, http: aiohttp.ClientSession, redis: Redis
) -> None:
    payments.kit.faults.put(Fault(FaultKind.SLOW, delay=30))
    status, problem, _ = await order(http, api, **{"x-envoy-expected-rq-timeout-ms": "3000"})
    assert status == 504
    assert "payments: no answer" in problem["detail"]
    assert await redis.xlen("orders") == 0


@contextmanager
def stalled(port: int) -> Iterator[None]:
    """The server on the port stands still."""
    servers = [c.pid for c in psutil.net_connections("tcp") if c.laddr.port == port and c.status == psutil.CONN_LISTEN]
    server = psutil.Process(servers[0])
    server.suspend()
    try:
        yield
    finally:
        server.resume()


async def test_a_stalled_redis_stops_orders_not_products(
    api: Any, catalog: Any, stores: dict[str, str], http: aiohttp.ClientSession, redis: Redis, valkey_port: int
) -> None:
    with stalled(valkey_port):
        status, problem, headers = await order(http, api)
        assert (status, headers["Retry-After"]) == (503, "1")
        assert "redis" in problem["detail"]
        async with http.get(f"{api.url}/products") as response:
            assert response.status == 200
        async with http.get(f"{api.url}/readyz") as response:
            assert response.status == 200
            assert (await response.json())["checks"]["redis"]["ok"] is False
    with psycopg.connect(stores["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT count(*) FROM payments.payments").fetchone() == (0,)


async def test_a_blocked_database_is_not_waited_for(
    api: Any, stores: dict[str, str], http: aiohttp.ClientSession, eventually: Any
) -> None:
    with psycopg.connect(stores["DATABASE_URL"]) as connection:
        connection.execute("LOCK TABLE payments.payments IN ACCESS EXCLUSIVE MODE")
        status, problem, _ = await order(http, api)
        assert status == 503, "answered while it is blocked"
        assert "payments" in problem["detail"]

    async def placed() -> bool:
        return (await order(http, api))[0] == 201

    await eventually(placed)


async def test_nobody_at_payments(
    launch: Any, stores: dict[str, str], catalog: Any, http: aiohttp.ClientSession
) -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        urls = {"CATALOG_URL": catalog.url, "PAYMENTS_URL": f"http://127.0.0.1:{probe.getsockname()[1]}"}
        api = await launch(shop_api.app.build, "api", stores | urls)
        status, problem, _ = await order(http, api)
    assert status == 502
    assert problem["detail"].startswith("payments: cannot be reached")
