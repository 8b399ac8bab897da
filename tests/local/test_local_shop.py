"""The sample shop end to end: real PostgreSQL, a Redis-compatible server, four services, one order."""

import asyncio
import json
import os
import signal
from pathlib import Path

import aiohttp
from tests.local.conftest import patient_shop

from resilientslice.api.services import StoreName
from resilientslice.api.status import Condition
from resilientslice.local.runtime import LocalRuntime
from resilientslice.local.settings import RunSettings


async def test_an_order_is_taken_charged_settled_and_kept(tmp_path: Path) -> None:
    settings = RunSettings(file=patient_shop(tmp_path), port=0, watch=False)
    async with LocalRuntime(settings) as runtime:
        await runtime.settled(90)
        assert len(runtime.replicas()) == 8
        headers = {"X-Tenant": "gold", "Idempotency-Key": "one"}
        body = {"items": [{"sku": "MUG-01", "quantity": 2}]}
        async with aiohttp.ClientSession(runtime.front_url, headers=headers) as session:
            async with session.post("/orders", json=body) as answer:
                assert answer.status in (200, 201, 202), await answer.text()
                order = await answer.json()
            async with asyncio.timeout(90):
                while (settled := await read(session, order["order_id"]))["status"] != "settled":
                    await asyncio.sleep(0.05)
        scene = runtime.scene()
        assert dict(scene.stores) == {"shop-postgres": True, "shop-redis": True}
        secrets = [json.loads(path.read_text()) for path in (runtime.state / "credentials").iterdir()]
        passwords = [password for secret in secrets for password in secret.values()]
        assert len(passwords) == 4
        said = "".join(log.read_text() for log in (runtime.state / "logs").glob("*.log"))
        said += (runtime.state / "status.json").read_text() + "".join(event.message for event in runtime.events)
        assert not [password for password in passwords if password in said], "a password is in a log"
    async with LocalRuntime(settings) as runtime:
        await runtime.settled(90)
        async with aiohttp.ClientSession(runtime.front_url, headers=headers) as session:
            assert await read(session, order["order_id"]) == settled, "data outlives the runtime"
        await a_store_that_does_not_answer_is_said(runtime)


async def a_store_that_does_not_answer_is_said(runtime: LocalRuntime) -> None:
    """In the same conditions as in a cluster."""
    assert [(s.name, s.ready, s.desired) for s in runtime.status.stores] == [("postgres", 1, 1), ("redis", 1, 1)]
    pid = runtime.store(StoreName.REDIS).pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        await says(runtime, "False", "StoreNotReady")
        assert "Not ready: redis 0/1" in ready(runtime).message
        assert "shop-redis: " in ready(runtime).message
    finally:
        os.kill(pid, signal.SIGCONT)
    await says(runtime, "True", "Serving")


async def says(runtime: LocalRuntime, status: str, reason: str) -> None:
    async with asyncio.timeout(60):
        while (ready(runtime).status, ready(runtime).reason) != (status, reason):
            await asyncio.sleep(0.05)


def ready(runtime: LocalRuntime) -> Condition:
    return next(condition for condition in runtime.status.conditions if condition.type == "Ready")


async def read(session: aiohttp.ClientSession, order: str) -> dict[str, object]:
    async with session.get(f"/orders/{order}") as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, object] = await answer.json()
        return found
