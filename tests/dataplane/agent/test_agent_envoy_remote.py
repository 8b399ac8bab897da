"""The agent over TCP, beside a real Envoy: signed pushes, the mounted copy, draining."""

import asyncio
import contextlib
import gzip
import json
import os
import signal
import statistics
import time
from pathlib import Path

import aiohttp
import pytest

from resilientslice.agent.client import AgentClient
from resilientslice.agent.resources import json_digest
from resilientslice.envoys import AgentPod, Fleet, SigningKeys, new_key

KEY = ("shop", "shop")


@pytest.fixture
async def remote(idle, monkeypatch, build):
    """A pair whose agent listens on TCP too; the arguments to start it again, and its address."""
    monkeypatch.setenv("POD_UID", "uid-1")
    (idle.folder / "key").mkdir()
    (idle.folder / "key" / "current").write_text(new_key())
    address = f"127.0.0.1:{build.free_port()}"
    arguments = ("--listen", address, "--key-dir", "key", "--ready-file", "ready", "--fallback", "mounted/config.json")
    arguments += ("--drain", "--drain-least-seconds", "0.5", "--drain-seconds", "600")
    idle.start_agent(*arguments)
    idle.start_envoy()
    await idle.connected()
    return idle, arguments, address


@pytest.fixture
async def fleet(remote):
    pair, _, address = remote
    async with Fleet() as made:
        keys = SigningKeys.of((pair.folder / "key" / "current").read_bytes())
        made.set_members(KEY, [AgentPod("proxy-1", "uid-1", address, ready=True)], keys)
        yield made


async def push(fleet, pair, config):
    pair.sequence += 1
    return await fleet.push(KEY, config, json_digest(config), (1, pair.sequence), timeout=60.0)


async def test_a_signed_push_is_answered_by_envoy(remote, fleet, build):
    pair, _, _ = remote
    assert not (pair.folder / "ready").exists()
    assert (await push(fleet, pair, pair.basic())).accepted
    assert await pair.get() == (200, "ok")
    assert (pair.folder / "ready").exists()
    await fleet.poll(KEY)
    view = fleet.view(KEY, canary=["stable"])
    assert view.envoys.proxies.all_run(json_digest(pair.basic()))
    assert view.unreachable == {}
    took = []
    for number in range(30):
        begun = time.perf_counter()
        report = await push(fleet, pair, pair.basic(stable=99 - number, canary=1 + number))
        took.append((time.perf_counter() - begun) * 1000)
        assert report.accepted
    print(f"push over TCP: median {statistics.median(took):.1f} ms of {len(took)}")
    broken = pair.basic()
    broken["listeners"] = [build.listener("front", pair.front, "203.0.113.1")]
    refused = (await push(fleet, pair, broken)).rejected
    assert refused is not None
    assert refused.type == "listeners"
    assert await pair.get() == (200, "ok")


async def test_what_is_not_signed_is_refused_and_counted(remote, fleet):
    pair, _, address = remote
    async with aiohttp.ClientSession() as session:
        for method, path in (("PUT", "/config"), ("GET", "/snapshot"), ("GET", "/metrics"), ("GET", "/nothing")):
            async with session.request(method, f"http://{address}{path}", data=b"{}") as response:
                assert (response.status, (await response.json())["reason"]) == (401, "unsigned")
    stranger = SigningKeys.of(new_key().encode())
    fleet.set_members(KEY, [AgentPod("proxy-1", "uid-1", address, ready=True)], stranger)
    assert not (await push(fleet, pair, pair.basic())).accepted
    (pair.folder / "key" / "next").write_bytes(stranger.current)
    (pair.folder / "key" / "current").rename(pair.folder / "key" / "previous")
    (pair.folder / "key" / "next").rename(pair.folder / "key" / "current")
    assert (await push(fleet, pair, pair.basic())).accepted, "the new key counts without a restart"
    connector = aiohttp.UnixConnector(os.path.relpath(pair.folder / "api.sock"))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get("http://agent/metrics") as response,
    ):
        text = await response.text()
    assert 'rslice_agent_refused_requests_total{reason="unsigned"} 4.0' in text
    assert 'rslice_agent_refused_requests_total{reason="signature"} 1.0' in text


async def test_a_body_that_is_too_large_is_refused_without_being_read(remote):
    _, _, address = remote
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    headers = "".join(f"X-Rslice-{name}: {'0' * size}\r\n" for name, size in [("Nonce", 32), ("Digest", 64)])
    headers += f"X-Rslice-Time: 1\r\nX-Rslice-Signature: {'0' * 64}\r\n"
    writer.write(f"PUT /config HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: 99999999\r\n\r\n".encode())
    async with asyncio.timeout(90):
        head = await reader.readuntil(b"\r\n")
    assert b" 413 " in head
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@pytest.mark.parametrize("packed", [False, True])
async def test_a_newer_mounted_copy_is_followed_and_an_older_one_is_not(remote, fleet, build, packed):
    """Replaced as Kubernetes does it: files lead through a link to a folder, which is switched."""
    pair, _, _ = remote
    name = "config.json.gz" if packed else "config.json"

    def mount(version, epoch, config):
        folder = pair.folder / "mounted" / version
        folder.mkdir(parents=True)
        data = json.dumps({"epoch": epoch, "config": config}).encode()
        (folder / name).write_bytes(gzip.compress(data) if packed else data)
        (pair.folder / "mounted" / "next").symlink_to(version)
        (pair.folder / "mounted" / "next").rename(pair.folder / "mounted" / "..data")
        if not (pair.folder / "mounted" / name).is_symlink():
            (pair.folder / "mounted" / name).symlink_to(f"..data/{name}")

    assert (await push(fleet, pair, pair.basic())).accepted
    newer = pair.basic(stable=1, canary=1)
    mount("..1", [1, 50], newer)

    async def taken():
        return (await pair.client.snapshot()).acked == json_digest(newer)

    await build.until(taken, "the mounted copy is installed")
    mount("..2", [1, 49], pair.basic())
    newest = pair.basic(stable=1, canary=3)
    mount("..3", [1, 51], newest)

    async def newest_taken():
        return (await pair.client.snapshot()).acked == json_digest(newest)

    await build.until(newest_taken, "the next copy is installed")
    mount("..4", [1, 50], newer)
    await asyncio.sleep(2.5)  # longer than two looks: nothing must happen, which nothing tells of
    assert (await pair.client.snapshot()).epoch == (1, 51)


async def test_killed_under_load_nothing_fails_and_it_comes_back_with_the_same(remote, fleet, build):
    pair, arguments, _ = remote
    assert (await push(fleet, pair, pair.basic())).accepted
    before = await pair.client.snapshot()
    statuses, stop = [], asyncio.Event()

    async def traffic():
        async with aiohttp.ClientSession() as session:
            while not stop.is_set():
                async with session.get(f"http://127.0.0.1:{pair.front}/") as response:
                    statuses.append(response.status)

    load = [asyncio.create_task(traffic()) for _ in range(4)]
    for _ in range(3):
        pair.end("agent", signal.SIGKILL)
        pair.start_agent(*arguments)
        await pair.ready()

    async def enough():
        return len(statuses) > 100

    await build.until(enough, "so many answers that a failure would have shown")
    stop.set()
    await asyncio.gather(*load)
    after = await pair.client.snapshot()
    assert (after.acked, after.epoch) == (before.acked, before.epoch)
    assert set(statuses) == {200}


async def test_sigterm_drains_without_a_failed_request(remote, fleet, build):
    """Clients continue until they are told to close, as behind a Service that has taken the pod out meanwhile."""
    pair, _, _ = remote
    assert (await push(fleet, pair, pair.basic())).accepted
    statuses, leave = [], asyncio.Event()

    async def client():
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
            while True:
                async with session.get(f"http://127.0.0.1:{pair.front}/") as response:
                    statuses.append(response.status)
                    if leave.is_set() and response.headers.get("Connection") == "close":
                        return

    load = [asyncio.create_task(client()) for _ in range(4)]
    process = pair.processes.pop("agent")
    process.send_signal(signal.SIGTERM)

    async def unready():
        return not (pair.folder / "ready").exists()

    await build.until(unready, "readiness is false")
    assert not await pair.client.ready()
    leave.set()
    await asyncio.wait_for(asyncio.gather(*load), 90)
    assert await asyncio.to_thread(process.wait, 90) == 0
    assert set(statuses) == {200}
    assert pair.processes["envoy"].poll() is None, "Kubernetes ends Envoy, after the agent"
    assert "Envoy is drained" in pair.log("agent")


async def test_a_second_sigterm_ends_at_once_what_a_connection_would_hold(remote, fleet, build):
    pair, _, _ = remote
    assert (await push(fleet, pair, pair.basic())).accepted
    _, writer = await asyncio.open_connection("127.0.0.1", pair.front)  # idle: it never hears that it is to close
    process = pair.processes.pop("agent")
    process.send_signal(signal.SIGTERM)

    async def draining():
        return "Envoy drains" in pair.log("agent")

    await build.until(draining, "draining has begun")
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 90) == 0
    assert "Envoy is drained" not in pair.log("agent")
    writer.close()
    await writer.wait_closed()


def resident(pair):
    """MB of the agent."""
    status = (Path("/proc") / str(pair.processes["agent"].pid) / "status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def test_a_push_to_two_proxies_is_as_quick_as_to_one(remote, build):
    """Both are asked at once. The figures are printed; what fails the test is far from any of them."""
    pair, arguments, address = remote
    (pair.folder / "two").mkdir()
    for name in ("key", "bootstrap.json"):
        (pair.folder / "two" / name).symlink_to(f"../{name}")
    async with AgentClient(Path(os.path.relpath(pair.folder / "two" / "api.sock"))) as client, Fleet() as fleet:
        other = type(pair)(pair.folder / "two", client, build.free_port(), pair.upstream)
        second = f"127.0.0.1:{build.free_port()}"
        try:
            other.start_agent(*(second if argument == address else argument for argument in arguments))
            other.start_envoy()
            await other.connected()
            keys = SigningKeys.of((pair.folder / "key" / "current").read_bytes())
            addresses = (("one", address), ("two", second))
            fleet.set_members(KEY, [AgentPod(name, "uid-1", where, ready=True) for name, where in addresses], keys)
            config = pair.basic()
            config["listeners"] = []
            config["routes"] = []
            took = []
            for number in range(1, 51):
                config["clusters"] = [build.static_cluster(f"c{number}", pair.upstream)]
                config["endpoints"] = []
                begun = time.perf_counter()
                report = await fleet.push(KEY, config, json_digest(config), (1, number), timeout=60.0)
                took.append((time.perf_counter() - begun) * 1000)
                assert report.accepted, report
            print(f"push to two over TCP: median {statistics.median(took):.1f} ms, worst {max(took):.1f} ms")
            print(f"agents: {resident(pair):.1f} and {resident(other):.1f} MB")
            assert fleet.view(KEY).envoys.proxies.all_run(json_digest(config))
            assert max(resident(pair), resident(other)) < 70
        finally:
            for name in list(other.processes):
                other.end(name, signal.SIGKILL)
