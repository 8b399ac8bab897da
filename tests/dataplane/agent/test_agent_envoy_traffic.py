"""Configurations change under traffic, and no request fails."""

import asyncio

import aiohttp
import psutil

PUBLISHES = 200
PACE_SECONDS = 0.002
"""Between requests: some hundreds a second leave the processor to what is tested."""


async def test_each_publish_replaces_cluster_and_route_and_none_of_the_requests_fails(serving, build):
    """Static, EDS and DNS clusters in turn: each kind becomes ready in its own way."""

    def config(number):
        name = f"n{number}"
        cluster = (
            build.static_cluster(name, serving.upstream),
            build.eds_cluster(name),
            build.dns_cluster(name, serving.upstream),
        )[number % 3]
        return build.configuration(
            clusters=[cluster],
            endpoints=[build.hosts(name, serving.upstream)] if number % 3 == 1 else [],
            listeners=[build.listener("front", serving.front)],
            routes=[build.routes("front", **{name: 1})],
        )

    failed, served, stop = [], 0, asyncio.Event()

    async def traffic(session):
        nonlocal served
        while not stop.is_set():
            async with session.get(f"http://127.0.0.1:{serving.front}/") as response:
                await response.read()
                served += 1
                if response.status != 200:
                    failed.append((response.status, await response.text()))
            await asyncio.sleep(PACE_SECONDS)

    async with aiohttp.ClientSession() as session:
        load = [asyncio.create_task(traffic(session)) for _ in range(2)]
        for number in range(PUBLISHES):
            before = served
            result = await serving.push(config(number))
            assert result.accepted, result
            await build.until(lambda before=before: asyncio.sleep(0, served > before), "requests continue")
        stop.set()
        await asyncio.gather(*load)
    assert failed == []

    async def only_the_last():
        snapshot = await serving.client.snapshot()
        return set(snapshot.clusters) == {"ads", f"n{PUBLISHES - 1}"}

    await build.until(only_the_last, "every old cluster is dropped")


async def test_a_weight_change_sends_routes_only_and_keeps_connections(serving):
    async with aiohttp.ClientSession() as session:
        for weight in range(30):
            assert (await serving.push(serving.basic(stable=100 - weight, canary=weight + 1))).accepted
            async with session.get(f"http://127.0.0.1:{serving.front}/") as response:
                assert response.status == 200
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(serving.folder / "api.sock"))) as session,
        session.get("http://agent/metrics") as response,
    ):
        lines = (await response.text()).splitlines()
    acks = {line.split('"')[1]: float(line.split()[-1]) for line in lines if line.startswith("rslice_agent_acks_total")}
    assert acks == {"clusters": 1, "endpoints": acks["endpoints"], "listeners": 1, "routes": 31}
    assert acks["endpoints"] <= 2
    snapshot = await serving.client.snapshot()
    assert snapshot.http["front"]["downstream_rq_total"] == 31


async def test_it_stays_small(serving):
    """There is one beside every Envoy; the bar is 60 MB."""
    for weight in range(20):
        assert (await serving.push(serving.basic(stable=100 - weight, canary=weight + 1))).accepted
        await serving.client.snapshot()
    resident = psutil.Process(serving.processes["agent"].pid).memory_info().rss
    assert resident < 60 * 1024 * 1024
