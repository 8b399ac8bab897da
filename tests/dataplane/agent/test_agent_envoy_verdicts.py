"""What a real Envoy says to what it is given, and what it serves afterwards."""

import asyncio
import signal

import aiohttp
import pytest

from resilientslice.agent.client import StaleEpochError, SupersededError, UnansweredError


async def test_accepted_served_counted_and_again_at_once(serving):
    first = await serving.client.push(serving.basic(), (1, serving.sequence))
    assert first.accepted
    assert set(first.versions) == {"clusters", "endpoints", "listeners", "routes"}
    assert first.durable
    second = await serving.push(serving.basic(stable=50, canary=50))
    same = ("clusters", "endpoints", "listeners")
    assert {kind: second.versions[kind] for kind in same} == {kind: first.versions[kind] for kind in same}
    assert second.versions["routes"] != first.versions["routes"]
    for _ in range(20):
        assert await serving.get() == (200, "ok")
    snapshot = await serving.client.snapshot()
    assert snapshot.digest == snapshot.acked == second.digest
    assert snapshot.rejected is None
    assert (snapshot.envoy.live, snapshot.envoy.connected, snapshot.envoy.error) == (True, 1, "")
    assert snapshot.envoy.version.startswith("1.")
    assert snapshot.http["front"]["downstream_rq_2xx"] == 21
    counted = [snapshot.clusters[name]["upstream_rq_2xx"] for name in ("stable", "canary")]
    assert sum(counted) == 21
    assert min(counted) > 0
    assert snapshot.clusters["stable"]["membership_healthy"] == 1
    assert snapshot.ejected == ()


async def test_refused_in_envoys_words_and_the_good_one_serves_on(serving, build):
    good = (await serving.client.snapshot()).acked
    route, address, cluster, endpoints = (serving.basic() for _ in range(4))
    route["routes"] = [build.routes("front", nobody=1)]
    address["listeners"].append(build.listener("other", 1, "not an address"))
    address["routes"].append(build.routes("other", stable=1))
    cluster["clusters"].append(build.static_cluster("slow", 1) | {"connect_timeout": "0s"})
    endpoints["clusters"].append(build.eds_cluster("extra"))
    endpoints["endpoints"].append(build.hosts("extra", 1))
    endpoints["endpoints"][-1]["endpoints"][0]["lb_endpoints"][0]["load_balancing_weight"] = 0
    for config, kind, words in (
        (route, "routes", "unknown weighted cluster 'nobody'"),
        (address, "listeners", "malformed IP address: not an address"),
        (cluster, "clusters", "ConnectTimeout: value must be greater than 0s"),
        (endpoints, "endpoints", "LoadBalancingWeight: value must be greater than or equal to 1"),
    ):
        result = await serving.push(config)
        assert (result.accepted, result.type, result.serving) == (False, kind, good)
        assert words in result.message
        assert await serving.get() == (200, "ok")
        snapshot = await serving.client.snapshot()
        assert snapshot.digest == snapshot.acked == good
        assert words in snapshot.rejected.message
        again = await serving.push(config)
        assert (again.accepted, again.message) == (False, result.message), "known, without asking Envoy"
    assert (await serving.push(serving.basic(stable=1, canary=1))).accepted, "nothing is stuck"
    serving.end("envoy")
    serving.start_envoy()
    await serving.serves()  # what was refused is not given to an Envoy that restarts
    assert (await serving.push(serving.basic(canary=1))).accepted


async def test_what_cannot_be_read_and_what_is_too_old_never_reaches_envoy(serving):
    config = serving.basic()
    config["clusters"][1]["lb_polcy"] = "ROUND_ROBIN"
    result = await serving.push(config)
    assert (result.accepted, result.path, result.type) == (False, "config.clusters[1]", "")
    assert "lb_polcy" in result.message
    await serving.client.push(serving.basic(canary=1), (2, 0))
    with pytest.raises(StaleEpochError, match=r"\[1, 99\] is not newer than the one held, \[2, 0\]") as refused:
        await serving.client.push(serving.basic(), (1, 99))
    assert refused.value.held == (2, 0)
    assert await serving.get() == (200, "ok")


async def test_of_three_at_once_the_middle_one_is_superseded(serving, build):
    """Envoy is stopped, so that the others find the first one under way, whatever the machine's load."""
    envoy = serving.processes["envoy"]
    first, second, third = (
        serving.basic(canary=1),
        serving.basic(stable=1, canary=1),
        serving.basic(stable=9, canary=1),
    )
    envoy.send_signal(signal.SIGSTOP)
    pushes = []
    for config in (first, second, third):
        pushes.append(asyncio.create_task(serving.push(config)))
        taken = serving.sequence + 1

        async def seen(taken=taken):
            return (await state_of(serving))["epoch"] == [1, taken]

        await build.until(seen, f"epoch {taken} is taken")
    envoy.send_signal(signal.SIGCONT)
    results = await asyncio.gather(*pushes, return_exceptions=True)
    assert results[0].accepted
    assert isinstance(results[1], SupersededError)
    assert results[2].accepted
    assert results[1].by == results[2].digest
    assert (await serving.client.snapshot()).acked == results[2].digest


async def test_an_envoy_that_hangs_is_a_timeout_and_the_configuration_arrives_later(serving, build):
    envoy = serving.processes["envoy"]
    envoy.send_signal(signal.SIGSTOP)
    with pytest.raises(UnansweredError, match="Envoy has not answered: waiting at routes"):
        await serving.push(serving.basic(canary=1), timeout=0.1)
    snapshot = await serving.client.snapshot()
    assert "admin" in snapshot.envoy.error
    assert snapshot.digest != snapshot.acked
    envoy.send_signal(signal.SIGCONT)

    async def arrived():
        answer = await state_of(serving)
        return answer["acked"] == snapshot.digest

    await build.until(arrived, "the configuration is acknowledged")


async def state_of(pair):
    connector = aiohttp.UnixConnector(str(pair.folder / "api.sock"))
    async with aiohttp.ClientSession(connector=connector) as session, session.get("http://agent/config") as response:
        return await response.json()


async def test_without_envoy_it_is_kept_and_given_to_the_one_that_comes(idle, build):
    idle.start_agent()
    await build.until(lambda: asyncio.sleep(0, (idle.folder / "api.sock").exists()), "the agent listens")
    assert not await idle.client.ready()
    with pytest.raises(UnansweredError, match="no Envoy is connected"):
        await idle.push(idle.basic(), timeout=0.1)
    snapshot = await idle.client.snapshot()
    assert (snapshot.acked, snapshot.envoy.connected) == ("", 0)
    assert "admin" in snapshot.envoy.error
    idle.start_envoy()
    await idle.serves()
    assert await idle.client.ready()
