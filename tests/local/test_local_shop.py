"""The sample shop end to end: real PostgreSQL, a Redis-compatible server, four services, one order."""

import asyncio
import json
from pathlib import Path

import aiohttp
from tests.local.conftest import patient_shop

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


async def read(session: aiohttp.ClientSession, order: str) -> dict[str, object]:
    async with session.get(f"/orders/{order}") as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, object] = await answer.json()
        return found
