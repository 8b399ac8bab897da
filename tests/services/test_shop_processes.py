"""The whole shop as processes, as it is run: stopped under traffic, started before its stores."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiohttp
import psycopg
from redis.asyncio import Redis

ORDER = {"items": [{"sku": "MUG-01", "quantity": 1}]}


class Balancer:
    """Sends to those that were ready when last asked, every 20 ms: what DNS or endpoints do in a cluster."""

    def __init__(self, http: aiohttp.ClientSession, urls: list[str]) -> None:
        self._http, self._urls = http, urls
        self.ready = list(urls)
        self.turn = 0

    def pick(self) -> str:
        self.turn += 1
        return self.ready[self.turn % len(self.ready)]

    async def watch(self) -> None:
        while True:
            self.ready = [url for url in self._urls if await self._is_ready(url)]
            await asyncio.sleep(0.02)

    async def _is_ready(self, url: str) -> bool:
        with suppress(aiohttp.ClientError):
            async with self._http.get(f"{url}/readyz") as response:
                return response.status == 200
        return False


async def order_until(stop: asyncio.Event, http: aiohttp.ClientSession, balancer: Balancer, answers: list[Any]) -> None:
    while not stop.is_set():
        try:
            async with http.post(f"{balancer.pick()}/orders", json=ORDER, headers={"X-Tenant": "gold"}) as response:
                answers.append(response.status)
        except aiohttp.ClientError as exc:
            answers.append(exc)


async def test_sigterm_under_traffic_fails_no_request(
    spawn: Any,
    stores: dict[str, str],
    http: aiohttp.ClientSession,
    await_ready: Callable[[str], Awaitable[None]],
    eventually: Any,
    redis: Redis,
) -> None:
    catalog, payments = spawn("shop_catalog", stores), spawn("shop_payments", stores)
    env = stores | {"CATALOG_URL": catalog.url, "PAYMENTS_URL": payments.url, "DRAIN_SECONDS": "0.5"}
    apis = [spawn("shop_api", env), spawn("shop_api", env)]
    worker = spawn("shop_worker", stores | {"PORT": ""})
    for service in (catalog, payments, *apis):
        await await_ready(service.url)
    await await_ready(worker.admin)

    stop, answers = asyncio.Event(), list[Any]()
    balancer = Balancer(http, [api.url for api in apis])
    watching = asyncio.create_task(balancer.watch())
    clients = [asyncio.create_task(order_until(stop, http, balancer, answers)) for _ in range(4)]

    async def more_than(count: int) -> None:
        async def arrived() -> bool:
            return len(answers) > count

        await eventually(arrived)

    await more_than(60)
    apis[0].popen.send_signal(signal.SIGTERM)
    assert await apis[0].exit_code() == 0
    await more_than(len(answers) + 60)
    stop.set()
    await asyncio.gather(*clients)
    watching.cancel()
    assert set(answers) == {201}

    async def all_settled() -> bool:
        return await redis.xlen("orders") == 0

    await eventually(all_settled)
    for service in (apis[1], worker, payments, catalog):
        service.popen.send_signal(signal.SIGTERM)
    assert [await service.exit_code() for service in (apis[1], worker, payments, catalog)] == [0, 0, 0, 0]
    with psycopg.connect(stores["DATABASE_URL"]) as connection:
        for table in ("worker.settlements", "payments.payments"):
            assert connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (len(answers),)
    for service in (*apis, worker, payments, catalog):
        lines = [json.loads(line) for line in service.log.read_bytes().splitlines()]
        assert lines[-1]["event"] == "stopped"
        assert "error" not in {line["level"] for line in lines}


async def test_a_request_in_flight_is_finished(
    spawn: Any, stores: dict[str, str], http: aiohttp.ClientSession, await_ready: Any, eventually: Any
) -> None:
    catalog = spawn("shop_catalog", stores | {"SLOW_MODE": "delay=800ms"})
    await await_ready(catalog.url)
    slow = asyncio.create_task(http.get(f"{catalog.url}/products"))

    async def in_flight() -> bool:
        async with http.get(f"{catalog.admin}/metrics") as response:
            return 'http_requests_in_flight{app="catalog"} 1.0' in await response.text()

    await eventually(in_flight)
    catalog.popen.send_signal(signal.SIGTERM)
    async with await slow as response:
        assert (response.status, response.headers["Connection"]) == (200, "close")
        assert len((await response.json())["products"]) == 10
    assert await catalog.exit_code() == 0


async def test_started_before_its_stores(
    spawn: Any, stores: dict[str, str], http: aiohttp.ClientSession, postgres: Any, await_ready: Any, eventually: Any
) -> None:
    """It waits and says for whom, can be told to stop meanwhile, and begins when they come."""
    postgres.stop()
    try:
        waiting, impatient = spawn("shop_payments", stores), spawn("shop_payments", stores)

        async def explained(url: str) -> bool:
            with suppress(aiohttp.ClientError):
                async with http.get(f"{url}/readyz") as response:
                    assert response.status == 503
                    return "refused" in (await response.json())["checks"]["postgres"]["reason"]
            return False

        for service in (waiting, impatient):
            await eventually(lambda url=service.url: explained(url))
        impatient.popen.send_signal(signal.SIGTERM)
        assert await impatient.exit_code() == 0
    finally:
        postgres.start()
    await await_ready(waiting.url)
