"""Agent and Envoy come and go, one without the other, and callers notice nothing that they need not."""

import asyncio
import json
import signal
import stat

PACE_SECONDS = 0.002
"""Between requests: some hundreds a second leave the processor to what is tested."""


async def test_envoy_restarts(serving):
    serving.end("envoy", signal.SIGKILL)
    serving.start_envoy()
    await serving.serves()
    assert await serving.client.ready()


async def test_killed_the_agent_comes_back_with_what_it_had_while_envoy_serves_on(serving, build):
    failed, stop = [], asyncio.Event()

    async def traffic():
        while not stop.is_set():
            status, _ = await serving.get()
            if status != 200:
                failed.append(status)
            await asyncio.sleep(PACE_SECONDS)

    before = await serving.client.snapshot()
    load = asyncio.create_task(traffic())
    serving.end("agent", signal.SIGKILL)
    assert (serving.folder / "ads.sock").exists(), "a dead agent's socket, which the next one replaces"
    serving.start_agent()
    await serving.ready()
    after = await serving.client.snapshot()
    assert (after.digest, after.acked, after.epoch) == (before.digest, before.acked, before.epoch)
    assert after.envoy.uptime >= before.envoy.uptime
    assert (await serving.push(serving.basic(canary=1))).accepted
    stop.set()
    await load
    assert failed == []


async def test_a_new_agent_with_an_old_envoy_drops_no_cluster_in_use(serving, build, tmp_path):
    """The newer, mounted copy has other clusters than those that Envoy's routes use when the agent starts."""
    newer = serving.basic()
    newer["clusters"] = [build.static_cluster("other", serving.upstream)]
    newer["endpoints"] = []
    newer["routes"] = [build.routes("front", other=1)]
    copy = tmp_path / "copy.json"
    copy.write_text(json.dumps({"epoch": [1, 50], "config": newer}))
    failed, stop = [], asyncio.Event()

    async def traffic():
        while not stop.is_set():
            status, _ = await serving.get()
            if status != 200:
                failed.append(status)
            await asyncio.sleep(PACE_SECONDS)

    load = asyncio.create_task(traffic())
    serving.end("agent", signal.SIGKILL)
    serving.start_agent("--fallback", str(copy))
    await serving.ready()

    async def moved():
        snapshot = await serving.client.snapshot()
        return "other" in snapshot.clusters and "stable" not in snapshot.clusters

    await build.until(moved, "the old clusters are dropped")
    stop.set()
    await load
    assert failed == []
    assert (await serving.client.snapshot()).epoch == (1, 50)


async def test_a_second_agent_on_the_same_sockets_is_refused(serving):
    first = serving.processes.pop("agent")
    serving.start_agent()
    assert serving.processes.pop("agent").wait(90) == 2
    assert "another process listens on it; stop it first" in serving.log("agent")
    serving.processes["agent"] = first
    assert (await serving.push(serving.basic(canary=1))).accepted


async def test_sigterm_leaves_no_socket(serving):
    modes = [stat.S_IMODE((serving.folder / name).stat().st_mode) for name in ("ads.sock", "api.sock")]
    assert modes == [0o600, 0o600]
    assert serving.end("agent") == 0
    assert not (serving.folder / "ads.sock").exists()
    assert not (serving.folder / "api.sock").exists()
    assert await serving.get() == (200, "ok")


async def test_a_corrupt_file_is_set_aside(serving):
    serving.end("agent", signal.SIGKILL)
    (serving.folder / "state" / "accepted.json").write_text("{")
    serving.start_agent()
    await serving.connected()
    assert "set aside as state/accepted.json.corrupt" in serving.log("agent")
    assert (serving.folder / "state" / "accepted.json.corrupt").read_text() == "{"
    assert not await serving.client.ready()
    assert await serving.get() == (200, "ok"), "Envoy keeps what it has"
    assert (await serving.push(serving.basic())).accepted


async def test_without_a_state_folder_it_serves_and_says_so(idle):
    (idle.folder / "state").write_text("not a folder")
    idle.start_agent()
    idle.start_envoy()
    await idle.connected()
    result = await idle.push(idle.basic())
    assert result.accepted
    assert not result.durable
    assert result.durable_reason == "state: Not a directory"
    assert await idle.get() == (200, "ok")
    (idle.folder / "state").unlink()
    (idle.folder / "state").mkdir()
    again = await idle.push(idle.basic())
    assert (again.accepted, again.durable) == (True, True)
