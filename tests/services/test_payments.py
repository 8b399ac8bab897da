"""Payments: one charge a tenant and key, whatever arrives at once."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import psycopg
import pytest

import shop_payments.app
from slicekit import StoreUnavailableError

PAYMENT = {"order_id": "ord_1", "amount_cents": 500, "currency": "EUR"}
Answer = tuple[int, dict[str, Any], Any]


PATIENCE = {"DB_TIMEOUT": "10s", "DB_CONNECT_TIMEOUT": "10s", "REQUEST_TIMEOUT": "20s"}


@pytest.fixture
async def payments(launch: Any, database_url: str) -> Any:
    return await launch(shop_payments.app.build, "payments", {"DATABASE_URL": database_url, **PATIENCE})


@pytest.fixture
def pay(payments: Any, http: aiohttp.ClientSession) -> Callable[..., Any]:
    async def send(key: str = "k1", tenant: str = "gold", **changes: Any) -> Answer:
        headers = {"X-Tenant": tenant, "Idempotency-Key": key}
        async with http.post(f"{payments.url}/pay", json=PAYMENT | changes, headers=headers) as response:
            return response.status, await response.json(), response.headers

    return send


def count(database_url: str, table: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(f"SELECT count(*) FROM payments.{table}".encode()).fetchone()
        assert row is not None
        return int(row[0])


async def test_fifty_duplicates_at_once_are_one_payment(pay: Any, database_url: str) -> None:
    answers: list[Answer] = await asyncio.gather(*(pay() for _ in range(50)))
    assert {status for status, _, _ in answers} == {201}
    assert len({document["payment_id"] for _, document, _ in answers}) == 1
    replayed = [headers.get("Idempotent-Replayed") for _, _, headers in answers]
    assert sorted(replayed, key=str) == [None] + ["true"] * 49
    assert (count(database_url, "payments"), count(database_url, "ledger")) == (1, 2)


async def test_a_replay_is_the_first_answer(pay: Any) -> None:
    _, first, _ = await pay()
    status, again, headers = await pay()
    assert (status, again, headers["Idempotent-Replayed"]) == (201, first, "true")


@pytest.mark.parametrize("change", [{"amount_cents": 501}, {"currency": "USD"}, {"order_id": "ord_2"}])
async def test_the_same_key_with_another_body_is_a_conflict(
    pay: Any, database_url: str, change: dict[str, Any]
) -> None:
    await pay()
    status, problem, _ = await pay(**change)
    assert (status, problem["status"]) == (409, 409)
    assert "another payment" in problem["detail"]
    assert count(database_url, "payments") == 1


async def test_an_order_is_not_paid_twice_under_two_keys(pay: Any, database_url: str) -> None:
    await pay("k1")
    status, problem, _ = await pay("k2")
    assert status == 409
    assert "has been paid" in problem["detail"]
    assert count(database_url, "payments") == 1


async def test_tenants_do_not_share_keys(pay: Any, database_url: str) -> None:
    assert [(await pay(tenant=tenant))[0] for tenant in ("gold", "silver")] == [201, 201]
    assert count(database_url, "payments") == 2


async def test_a_payment_is_found_by_its_tenant_only(pay: Any, payments: Any, http: aiohttp.ClientSession) -> None:
    _, paid, _ = await pay()
    for tenant, order, status in (("gold", "ord_1", 200), ("silver", "ord_1", 404), ("gold", "ord_2", 404)):
        async with http.get(f"{payments.url}/payments/{order}", headers={"X-Tenant": tenant}) as response:
            assert response.status == status
            assert status != 200 or await response.json() == paid


@pytest.mark.parametrize(
    ("headers", "body", "status", "words"),
    [
        ({}, PAYMENT, 400, "Idempotency-Key is required"),
        ({"Idempotency-Key": "a b"}, PAYMENT, 400, "visible ASCII"),
        ({"Idempotency-Key": "k" * 256}, PAYMENT, 400, "255"),
        ({"Idempotency-Key": "k"}, PAYMENT | {"amount_cents": 0}, 422, "amount_cents"),
        ({"Idempotency-Key": "k"}, PAYMENT | {"amount_cents": 10**12 + 1}, 422, "amount_cents"),
        ({"Idempotency-Key": "k"}, PAYMENT | {"amount_cents": 1.5}, 422, "amount_cents"),
        ({"Idempotency-Key": "k"}, PAYMENT | {"currency": "eur"}, 422, "currency"),
        ({"Idempotency-Key": "k"}, PAYMENT | {"order_id": "a'; DROP TABLE payments;--"}, 422, "order_id"),
        ({"Idempotency-Key": "k"}, PAYMENT | {"order_id": "\x00"}, 422, "order_id"),
    ],
)
async def test_hostile_payments_are_refused(
    payments: Any, http: aiohttp.ClientSession, headers: dict[str, str], body: Any, status: int, words: str
) -> None:
    async with http.post(f"{payments.url}/pay", json=body, headers=headers) as response:
        assert response.status == status
        assert words in (await response.json())["detail"]


async def test_a_memo_is_handed_out_until_it_is_done(
    launch: Any, database_url: str, http: aiohttp.ClientSession, eventually: Any
) -> None:
    payments = await launch(shop_payments.app.build, "payments", {"DATABASE_URL": database_url, "OUTBOX_PAUSE": "1s"})

    async def post(path: str, document: Any, **headers: str) -> Any:
        async with http.post(f"{payments.url}{path}", json=document, headers=headers) as response:
            return response.status, await response.json()

    for key, memo in (("k1", {"memo": "{}"}), ("k2", {})):
        charge = PAYMENT | {"order_id": key} | memo
        for _ in range(2):
            assert (await post("/pay", charge, **{"Idempotency-Key": key, "X-Tenant": "gold"}))[0] == 201
    assert await post("/outbox/claim", {}) == (200, {"payments": []})

    async def claimed() -> Any:
        return (await post("/outbox/claim", {"limit": 5}))[1]["payments"]

    for _ in range(2):
        (entry,) = await eventually(claimed)
        assert (entry["order_id"], entry["tenant"], entry["amount_cents"], entry["memo"]) == ("k1", "gold", 500, "{}")
        assert await claimed() == []
    assert await post("/outbox/done", {"payment_ids": [entry["payment_id"]]}) == (200, {"done": 1})
    assert await post("/outbox/done", {"payment_ids": [entry["payment_id"]]}) == (200, {"done": 0})
    assert count(database_url, "outbox") == 0


async def test_a_transaction_ended_by_the_server_may_be_tried_again(payments: Any) -> None:
    """As when this process stood still in the middle of one: no failure of ours, so no 500."""
    postgres = payments.kit.stores[0][0]

    async def stand_still(connection: Any) -> None:
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 50")
        await connection.execute("SELECT 1")
        while True:  # longer than it may be idle, each time, until the server has ended it
            await asyncio.sleep(0.2)
            await connection.execute("SELECT 1")

    async def read_only(connection: Any) -> None:
        await connection.execute("SET TRANSACTION READ ONLY")
        await connection.execute("CREATE TABLE never (id int)")

    for work in (stand_still, read_only):
        with pytest.raises(StoreUnavailableError):
            await postgres.transact(work)


async def test_postgres_going_away_and_coming_back(
    payments: Any, pay: Any, postgres: Any, http: aiohttp.ClientSession, eventually: Any
) -> None:
    """No crash: a 503 that may be retried, readiness says why, and the next try after the return succeeds."""
    postgres.stop()
    try:
        status, problem, headers = await pay()
        assert (status, headers["Retry-After"]) == (503, "1")
        assert "postgres" in problem["detail"]
        async with http.get(f"{payments.url}/readyz") as response:
            assert response.status == 503
            assert (await response.json())["checks"]["postgres"]["ok"] is False
    finally:
        postgres.start()

    async def paid() -> bool:
        return bool((await pay())[0] == 201)

    await eventually(paid)
