"""A slice of tiny services on the real thing: processes, agent and Envoy, from the plan."""

import asyncio
import errno
import json
import os
import secrets
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from socket import create_server
from typing import Any

import aiohttp
import psutil
import pytest

from resilientslice.files import SliceFileError
from resilientslice.local.errors import LocalError, NotSettledError
from resilientslice.local.processes.ports import LOOPBACK, is_free
from resilientslice.local.processes.report import ReplicaState
from resilientslice.local.runtime import LocalRuntime
from resilientslice.local.settings import RunSettings
from resilientslice.render.names import Track

Fetch = Callable[..., Awaitable[tuple[int, dict[str, str]]]]
Until = Callable[[Callable[[], object]], Awaitable[None]]


class Load:
    """GETs and POSTs by a few keep-alive clients until told to stop; counts what failed and what served."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.failed: list[str] = []
        self.served: list[str] = []
        self.connections = 0
        self._stop = asyncio.Event()

    async def __aenter__(self) -> "Load":
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(self._connected)
        self._session = aiohttp.ClientSession(trace_configs=[trace])
        self._tasks = [asyncio.create_task(self._run("POST" if n else "GET")) for n in range(3)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)
        await self._session.close()

    async def _connected(self, *_: object) -> None:
        self.connections += 1

    async def _run(self, method: str) -> None:
        while not self._stop.is_set():
            try:
                async with self._session.request(method, self.url, headers={"X-Tenant": "a"}) as answer:
                    body = await answer.text()
                    if answer.status != 200:
                        self.failed.append(f"{answer.status} {body}")
                    else:
                        self.served.append(json.loads(body)["version"])
            except aiohttp.ClientError as error:
                self.failed.append(repr(error))
            await asyncio.sleep(0.01)


def state_of(files: Any) -> Path:
    folder: Path = files.file.parent / ".rslice" / "tiny"
    return folder


async def test_replicas_serve_behind_envoy_with_the_environment_of_a_pod(files: Any, fetch: Fetch) -> None:
    # a name of its own: listeners get ports by name, and another slice may hold `peer`'s between the two runs
    name = f"mate{secrets.token_hex(4)}"
    files.rename("peer", name)
    async with LocalRuntime(files.settings) as runtime:
        await runtime.settled(90)
        status, body = await fetch(runtime.front_url)
        assert status == 200
        assert body["POD_NAME"] in {"tiny-web-stable-0", "tiny-web-stable-1"}
        assert body["RSLICE_TRACK"] == "stable"
        assert body[f"{name.upper()}_URL"] == runtime.internal_url(name)
        assert (body["GREETING"], body["TOKEN"]) == ("hello", "s3cret")
        assert body["TMPDIR"] == str(state_of(files) / "tmp" / body["POD_NAME"])
        status, body = await fetch(runtime.internal_url(name))
        assert (status, body["POD_NAME"]) == (200, f"tiny-{name}-stable-0")
        assert [(r.service, r.track, r.index, r.ready, r.version) for r in runtime.replicas()] == [
            (name, Track.STABLE, 0, True, "1"),
            ("web", Track.STABLE, 0, True, "1"),
            ("web", Track.STABLE, 1, True, "1"),
        ]
        assert runtime.status.phase == "Ready"
        pids, front, peer = runtime.pids(), runtime.front_url, runtime.internal_url(name)
        assert len(pids) == 5
        assert "s3cret" not in (state_of(files) / "status.json").read_text()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not (state_of(files) / "tmp").exists()
    assert list((state_of(files) / "run").iterdir()) == []
    async with LocalRuntime(files.settings) as runtime:
        assert (runtime.front_url, runtime.internal_url) != ("", "")
        await runtime.settled(90)
        assert (runtime.front_url, runtime.internal_url(name)) == (front, peer), "ports stay over restarts"


async def test_image_edit_canary_weight_and_promotion_fail_no_request(files: Any, fetch: Fetch, until: Until) -> None:
    async with LocalRuntime(files.settings) as runtime:
        await runtime.settled(90)
        before = {r.name: r.pid for r in runtime.replicas()}
        async with Load(runtime.front_url) as load:
            await until(lambda: load.connections == 3)
            files.edit("web:1", "web:2")
            assert await runtime.reload() == ""
            await runtime.settled(90)
            assert runtime.status.canary.weight == 0
            assert [r.version for r in runtime.replicas("web")] == ["1", "1", "2", "2"]
            assert set(load.served) == {"1"}
            assert (await fetch(runtime.front_url, {"X-Canary": "1"}))[1]["version"] == "2"
            files.edit("weight: 0", "weight: 50")
            assert await runtime.reload() == ""
            await runtime.settled(90)
            assert runtime.status.canary.weight == 50
            at = len(load.served)
            while len(load.served) < at + 60:
                await asyncio.sleep(0.05)
            assert set(load.served[at:]) == {"1", "2"}
            assert load.connections == 3, "neither a canary nor a weight drops a connection"
            assert {r.name: r.pid for r in runtime.replicas() if r.name in before} == before, (
                "a weight restarts nothing"
            )
            files.edit("weight: 50", "weight: 100")
            assert await runtime.reload() == ""
            await runtime.settled(90)
        assert load.failed == []
        assert [(r.track, r.version) for r in runtime.replicas("web")] == [(Track.STABLE, "2")] * 2
        assert runtime.status.revision.canary == ""
        assert [r.pid for r in runtime.replicas("peer")] == [before["tiny-peer-stable-0"]]
        reasons = [event.reason for event in runtime.events]
        order = ["CanaryStarted", "CanaryReady", "CanaryWeight", "Promoting", "Promoted", "CanaryRemoved"]
        assert [reason for reason in order if reason in reasons] == order


async def test_canary_outlives_the_runtime(files: Any) -> None:
    async with LocalRuntime(files.settings) as runtime:
        await runtime.settled(90)
        files.edit("web:1", "web:2")
        await runtime.reload()
        await runtime.settled(90)
        canary = runtime.status.revision.canary
        assert canary
    async with LocalRuntime(files.settings) as runtime:
        await runtime.settled(90)
        assert runtime.status.revision.canary == canary
        assert [r.version for r in runtime.replicas("web")] == ["1", "1", "2", "2"]


async def test_what_crashes_or_is_not_there_is_named_and_harms_no_other(files: Any, fetch: Fetch, until: Until) -> None:
    services = """
  - {name: crash, image: "c:1", port: 8080, replicas: 1, command: [python, -c, "print('no luck'); exit(7)"]}
  - {name: gone, image: "g:1", port: 8080, replicas: 1, command: [no-such-program]}
  canary:"""
    files.edit("\n  canary:", services)
    async with LocalRuntime(files.settings) as runtime:
        await until(lambda: runtime.replicas("web") and all(r.ready for r in runtime.replicas("web")))
        await until(lambda: runtime.status.config.acked == 1)

        def failing() -> list[Any]:
            return [*runtime.replicas("crash"), *runtime.replicas("gone")]

        # for a moment, now and then, each of them is tried again
        await until(lambda: all(r.restarts >= 3 and r.state is ReplicaState.BACK_OFF for r in failing()))
        crash, gone = failing()
        assert "exited with code 7" in crash.message
        assert "no luck" in crash.message
        assert "command not found: no-such-program" in gone.message
        assert "CrashLoopBackOff" in [event.reason for event in runtime.events]
        with pytest.raises(NotSettledError) as error:
            await runtime.settled(0.1)
        assert "tiny-crash-stable: 0 of 1 replicas ready" in str(error.value)
        assert "command not found: no-such-program" in str(error.value)
        assert (await fetch(runtime.front_url))[0] == 200


async def test_a_wrong_edit_is_refused_whole_and_what_runs_goes_on(files: Any, fetch: Fetch) -> None:
    async with LocalRuntime(files.settings) as runtime:
        await runtime.settled(90)
        pids = runtime.pids()
        good = files.file.read_text()
        for wrong, words in [
            (good.replace("replicas: 2", "replicas: two"), "spec.services[0].replicas"),
            (good.replace("replicas: 2", "replica: 2"), "replicas"),
            (good + "---\n" + good, "2 slices"),
            ("", "empty"),
            ("{", "tiny.yaml"),
            (good.replace("name: tiny", "name: other"), "not the same slice; the old one is called tiny"),
            (good.replace("name: peer", "name: friend").replace("[peer]", "[friend]"), "no command for friend"),
            (good.replace("token}", "other}"), "TOKEN (key `other` of `keys`)"),
        ]:
            files.file.write_text(wrong)
            assert words in await runtime.reload()
            assert words in runtime.rejected
            assert runtime.scene().rejected == runtime.rejected
        refused = [event for event in runtime.events if event.reason == "EditRefused"]
        assert len(refused) == 8
        files.procfile.write_text("nonsense\n")
        files.file.write_text(good)
        assert "tiny.procfile:1: expected" in await runtime.reload()
        assert runtime.pids() == pids
        assert (await fetch(runtime.front_url))[0] == 200


async def test_edits_are_noticed_also_when_an_editor_renames(files: Any, until: Until) -> None:
    settings = RunSettings(file=files.file, port=0)
    async with LocalRuntime(settings) as runtime:
        await runtime.settled(90)
        other = files.file.with_name("tiny.yaml.swp")
        other.write_text(files.file.read_text().replace("    replicas: 1", "    replicas: 2"))
        other.rename(files.file)
        await until(lambda: len(runtime.replicas("peer")) == 2)
        await runtime.settled(90)
        files.file.write_text("not a slice")
        await until(lambda: runtime.rejected)
        files.edit("not a slice", other.name)
        files.file.write_text("also wrong: 1")
        files.procfile.write_text(files.procfile.read_text() + "# touched\n")
        await until(lambda: "also wrong" in runtime.rejected or "kind" in runtime.rejected)


async def test_another_command_is_rolled_out_without_a_revision(files: Any, fetch: Fetch) -> None:
    async with LocalRuntime(files.settings) as runtime:
        await runtime.settled(90)
        revision = runtime.status.revision.stable
        async with Load(runtime.front_url) as load:
            files.procfile.write_text(files.procfile.read_text().replace("1\nweb@2", "1b\nweb@2"))
            assert await runtime.reload() == ""
            await runtime.settled(90)
        assert load.failed == []
        assert (await fetch(runtime.front_url))[1]["version"] == "1b"
        assert runtime.status.revision.stable == revision
        assert runtime.status.revision.canary == ""


async def test_a_full_disk_while_running_is_said_and_harms_nobody(
    files: Any, fetch: Fetch, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with LocalRuntime(files.settings) as runtime:
        await runtime.settled(90)

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("resilientslice.local.processes.folder.write_atomically", full)
        files.edit("    replicas: 1", "    replicas: 2")
        assert await runtime.reload() == ""
        await until(lambda: len([r for r in runtime.replicas("peer") if r.ready]) == 2)
        await until(lambda: "no space left" in runtime.scene().trouble or "No space left" in runtime.scene().trouble)
        assert (await fetch(runtime.front_url))[0] == 200
        monkeypatch.undo()
        await until(lambda: runtime.scene().trouble == "")


async def test_what_prevents_a_start_is_one_clear_message(files: Any) -> None:
    with closing(create_server((LOOPBACK, 0))) as server:
        port = server.getsockname()[1]
        with pytest.raises(LocalError, match=rf"port {port} on 127.0.0.1 is in use by .*\(PID {os.getpid()}\).*--port"):
            await LocalRuntime(RunSettings(file=files.file, port=port)).__aenter__()
    async with LocalRuntime(files.settings):
        with pytest.raises(LocalError, match=rf"another runtime uses it \(PID {os.getpid()}\)"):
            await LocalRuntime(files.settings).__aenter__()
    with pytest.raises(SliceFileError, match="no such file"):
        await LocalRuntime(RunSettings(file=files.file.with_name("no.yaml"))).__aenter__()
    files.procfile.unlink()
    files.file.with_suffix(".env").unlink()
    with pytest.raises(LocalError) as error:
        await LocalRuntime(files.settings).__aenter__()
    lines = str(error.value).splitlines()
    assert lines[0].startswith("no command for peer, web; add `peer: COMMAND`, `web: COMMAND` to ")
    assert lines[1].startswith(
        "service web: no value for TOKEN (key `token` of `keys`): set the variable, or add a line"
    )
    assert is_free(port)


async def test_ports_that_move_without_a_canary_section_fail_no_request(files: Any, until: Until) -> None:
    files.edit("  canary: {weight: 0}\n", "")
    async with LocalRuntime(files.settings) as runtime:
        await runtime.settled(60)
        before = {replica.name: replica.pid for replica in runtime.replicas()}
        async with Load(runtime.front_url) as load:
            await until(lambda: load.connections == 3)
            files.edit("port: 8080", "port: 8181")
            files.edit("port: 9000", "port: 9191")
            files.edit("web:1", "web:2")
            assert await runtime.reload() == ""
            await runtime.settled(60)
        assert load.failed == []
        assert set(load.served) >= {"1"}
        assert [(r.track, r.version) for r in runtime.replicas("web")] == [(Track.STABLE, "2")] * 2
        assert not {r.pid for r in runtime.replicas()} & set(before.values())
        reasons = [event.reason for event in runtime.events]
        assert {"CanaryStarted", "Promoting", "CanaryRemoved"} <= set(reasons)
        assert runtime.status.phase == "Ready"


async def test_a_service_that_former_replicas_call_goes_after_them(files: Any) -> None:
    files.edit("  canary: {weight: 0}\n", "")
    files.edit("port: 8080", "port: 8080\n    terminationGracePeriod: 1s")
    files.edit("port: 9000", "port: 9000\n    terminationGracePeriod: 1s")
    async with LocalRuntime(files.settings) as runtime:
        await runtime.settled(60)
        peer = {replica.pid for replica in runtime.replicas("peer")}
        services, _, _ = files.file.read_text().partition("  - name: peer")
        files.file.write_text(services.replace("    dependsOn: [peer]\n", ""))
        assert await runtime.reload() == ""
        assert {replica.pid for replica in runtime.replicas("peer")} == peer, "web still runs as it was"
        await runtime.settled(60)
        async with asyncio.timeout(120):
            while runtime.replicas("peer"):
                await asyncio.sleep(0.05)
        assert {r.service for r in runtime.replicas()} == {"web"}
