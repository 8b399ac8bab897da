"""What a pod mounts is there for a process, too, and an edit of it restarts nothing."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from resilientslice.local.errors import LocalError
from resilientslice.local.runtime import LocalRuntime
from resilientslice.local.settings import RunSettings

SAMPLES = Path(__file__).parents[2] / "samples"
Fetch = Callable[..., Awaitable[tuple[int, dict[str, str]]]]

MOUNTED = """\
    - {name: FILE_CONFIG, value: /etc/web/app.conf}
    - {name: FILE_TOKEN, value: /run/keys/token}
    - {name: FILE_CACHE, value: /var/cache/none}
    - {name: FILE_PHOTO, value: /data/photo}
    volumes:
    - {name: config, mountPath: /etc/web, configMap: {name: web}, readOnly: true}
    - {name: keys, mountPath: /run/keys, secret: {name: keys}}
    - {name: cache, mountPath: /var/cache, emptyDir: {}}
    - {name: photos, mountPath: /data, persistentVolumeClaim: {claimName: photos}}
"""


async def read_until(fetch: Fetch, url: str, name: str, expected: str) -> None:
    async with asyncio.timeout(90):
        while (await fetch(url))[1][name] != expected:
            await asyncio.sleep(0.05)


async def test_processes_read_what_they_mount_and_see_an_edit_without_a_restart(files: Any, fetch: Fetch) -> None:
    token = "    - {name: TOKEN, valueFrom: {secretKeyRef: {name: keys, key: token}}}\n"
    files.edit(token, token + MOUNTED)
    env = files.file.with_suffix(".env")
    with pytest.raises(LocalError, match="service web: no value for any key of `web`, mounted at /etc/web"):
        await LocalRuntime(files.settings).__aenter__()
    env.write_text("keys/token=s3cret\nweb/app.conf=http://tiny-peer:9000\n")
    async with LocalRuntime(files.settings) as runtime:
        await runtime.settled(60)
        body = (await fetch(runtime.front_url))[1]
        assert body["FILE_CONFIG"] == runtime.internal_url("peer"), "names are addresses in files, too"
        assert body["FILE_TOKEN"] == "s3cret"
        own = runtime.state / "tmp" / body["POD_NAME"] / "volumes" / "cache"
        assert own.is_dir()
        assert body["FILE_CACHE"] == f"no {own / 'none'}"
        claim = runtime.state / "volumes" / "persistentVolumeClaim" / "photos"
        (claim / "photo").write_text("kept")
        assert (await fetch(runtime.front_url))[1]["FILE_PHOTO"] == "kept"
        pids = runtime.pids()
        env.write_text("keys/token=s3cret\nweb/app.conf=other\n")
        assert await runtime.reload() == ""
        await read_until(fetch, runtime.front_url, "FILE_CONFIG", "other")
        await runtime.settled(60)
        assert runtime.pids() == pids
        assert runtime.status.revision.canary == ""
    assert not (claim.parents[1] / "secret").exists()
    assert (claim / "photo").read_text() == "kept", "a claim outlives the runtime"


async def test_a_slice_whose_services_limit_tenants_starts_and_takes_other_limits_over(tmp_path: Path) -> None:
    for name in ("shop-canary.yaml", "shop-canary.procfile"):
        shutil.copy(SAMPLES / name, tmp_path)
    file = tmp_path / "shop-canary.yaml"
    document = yaml.safe_load(file.read_text())
    for part in (document["spec"], document["spec"]["services"][0]):
        part["resilience"] = {"timeout": "60s", "retries": {"perTryTimeout": "20s"}}
    file.write_text(yaml.safe_dump(document))
    async with LocalRuntime(RunSettings(file=file, port=0, watch=False)) as runtime:
        await runtime.settled(120)
        assert runtime.status.phase == "Ready"
        pids = {replica.name: replica.pid for replica in runtime.replicas()}
        policies: list[str] = []
        async with aiohttp.ClientSession(runtime.front_url, headers={"X-Tenant": "gold"}) as session:
            assert await policy(session) == '"tenant";q=100;w=1'
            document["spec"]["rateLimit"]["tenants"] = [{"name": "gold", "requestsPerSecond": 7, "burst": 9}]
            file.write_text(yaml.safe_dump(document))
            assert await runtime.reload() == ""
            async with asyncio.timeout(90):
                while len(policies) < 20:
                    policies = [*policies, found] if (found := await policy(session)) == '"tenant";q=7;w=1' else []
                    await asyncio.sleep(0.05)
        await runtime.settled(60)
        assert {replica.name: replica.pid for replica in runtime.replicas()} == pids, "other limits restart nothing"


async def policy(session: aiohttp.ClientSession) -> str:
    async with session.get("/products") as answer:
        assert answer.status in (200, 429), await answer.text()
        return answer.headers["RateLimit-Policy"]
