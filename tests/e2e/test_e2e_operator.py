"""The operator is killed, frozen, away, upgraded, or may do too little: what runs goes on, and the end is right."""

import asyncio
import os
import random
import time

import operators
import pytest
from cluster import gets, is_ready, none_failed, restarts, sample, service_of, uids, until

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("E2E_KILLS", "15"))
VERSIONS = ("1.0.0", "1.1.0")


def two_of_web(**spec):
    document = sample("minimal")
    service_of(document, "web")["replicas"] = 2
    document["spec"].update(spec)
    return document


async def deployments(slice_):
    selector = f"resilientslice.dev/slice={slice_.name}"
    return sorted(d["metadata"]["name"] for d in await slice_.cluster.list("deploy", slice_.namespace, selector))


async def test_killed_at_any_moment_of_an_edit_it_ends_right(a_slice):
    slice_, cluster = a_slice("minimal"), a_slice("minimal").cluster
    chance = random.Random(int(os.environ.get("PYTHONHASHSEED", "1")))
    await slice_.apply(two_of_web(canary={"weight": 100}))
    await slice_.ready()
    async with slice_.traffic(gets(), per_second=20) as load:
        for number in range(KILLS):
            # a canary that starts, shifts and promotes: each of its moments may be the last of an operator
            weight = 99 + number % 2

            def change(document, number=number, weight=weight):
                service_of(document, "web")["env"] = [{"name": "ROUND", "value": str(number)}]
                document["spec"]["canary"]["weight"] = weight

            leads = await operators.leader(cluster)
            await slice_.edit(change)
            await asyncio.sleep(chance.uniform(0, 6))
            await operators.end(cluster, leads)
        await slice_.edit(lambda document: document["spec"].pop("canary"))
        await slice_.ready(240)
    none_failed(load.tally, 100)
    assert await deployments(slice_) == ["minimal-proxy", "minimal-web-stable"]
    pods = [pod for pod in await slice_.pods("web") if "deletionTimestamp" not in pod["metadata"]]
    assert len(pods) == 2
    assert {pod["spec"]["containers"][0]["env"][0]["value"] for pod in pods} >= {str(KILLS - 1)}


async def test_a_leader_that_was_frozen_changes_nothing_when_it_wakes(a_slice):
    slice_, cluster = a_slice("minimal"), a_slice("minimal").cluster
    await slice_.apply(two_of_web(canary={"weight": 0}))
    await slice_.ready()
    await slice_.edit(lambda document: service_of(document, "web").update(image="example.org/web:1.1.0"))
    await slice_.ready()
    frozen = await operators.leader(cluster)
    async with slice_.traffic(gets(), per_second=20) as load:
        await cluster.signal(19, operators.PROCESS, frozen)
        try:
            await slice_.patch({"canary": {"weight": 30}})

            async def another() -> bool:
                name = (await operators.holder(cluster)).rpartition("_")[0]
                return name not in ("", frozen["metadata"]["name"])

            await until(another, "another one leads", 60)
            await slice_.wait(lambda s: s["canary"]["weight"] == 30, "30 is observed", 60)
            await slice_.patch({"canary": {"weight": 10}})
            await slice_.wait(lambda s: s["canary"]["weight"] == 10, "10 is observed", 60)
            await slice_.ready()
            before = await slice_.status()
        finally:
            await cluster.signal(18, operators.PROCESS, frozen)
        await asyncio.sleep(5)  # time to do harm: nothing is waited for
        async with slice_.client() as client:
            tally = await client.closed_loop(gets(), count=1000, workers=8)
        assert 6 <= tally.share("web@canary") <= 14
        assert await slice_.status() == before, "nothing was written"
    none_failed(load.tally, 100)
    await operators.ready(cluster)


@pytest.mark.smoke
async def test_without_an_operator_everything_goes_on(a_slice):
    slice_, cluster = a_slice("minimal"), a_slice("minimal").cluster
    limits = {
        "default": {"requestsPerSecond": 5, "burst": 5},
        "tenants": [{"name": "gold", "requestsPerSecond": 1000, "burst": 2000}],
    }
    await slice_.apply(two_of_web(rateLimit=limits))
    await slice_.ready()
    await operators.scale(cluster, 0)
    try:
        async with slice_.traffic(gets(), per_second=40) as load:
            for chosen in ({"component": "proxy"}, {"service": "web"}):
                before = await slice_.pods(**chosen)
                name = before[0]["metadata"]["name"]
                await cluster.kubectl("delete", "pod", name, "-n", slice_.namespace, "--wait=false")

                async def replaced(before=before, chosen=chosen) -> bool:
                    ready = [pod for pod in await slice_.pods(**chosen) if is_ready(pod)]
                    return len(ready) == 2 and not uids(ready) & uids(before[:1])

                await until(replaced, "a new pod serves without the operator's help", 120)
            async with slice_.client() as client:
                limited = await client.closed_loop(gets(headers={"X-Tenant": "none-of-ours"}), count=100, workers=4)
            assert limited.statuses[429] > 50
        none_failed(load.tally, 100)
    finally:
        await operators.scale(cluster, 2)
    await slice_.patch({"resilience": {"timeout": "900ms"}})
    await slice_.ready(120)


async def test_an_upgrade_with_other_proxies_restarts_no_service(a_slice):
    """The image of the agent has a second name, so that the pods of the proxies change and nothing else does."""
    slice_, cluster = a_slice("minimal"), a_slice("minimal").cluster
    await slice_.apply(two_of_web())
    await slice_.ready()
    web, proxies = uids(await slice_.pods("web")), uids(await slice_.pods(component="proxy"))
    found = await cluster.get("deployment", operators.DEPLOYMENT, operators.SYSTEM)
    container = found["spec"]["template"]["spec"]["containers"][0]
    told = {entry["name"]: entry.get("value") for entry in container["env"]}
    async with slice_.traffic(gets(), per_second=40) as load:
        await operators.set_image(cluster, "RSLICE_AGENT_IMAGE", container["image"])
        try:

            async def rolled() -> bool:
                pods = await slice_.pods(component="proxy")
                return len(pods) == 2 and not uids(pods) & proxies and all(is_ready(pod) for pod in pods)

            await until(rolled, "the proxies were replaced", 180)
            await slice_.ready()
        finally:
            await operators.set_image(cluster, "RSLICE_AGENT_IMAGE", told["RSLICE_AGENT_IMAGE"])
    none_failed(load.tally, 100)
    assert uids(await slice_.pods("web")) == web
    assert restarts(await slice_.pods("web")) == 0


async def test_a_right_that_is_missing_is_said_and_taken_up_once_given(a_slice):
    slice_ = a_slice("minimal")
    async with operators.without_right(slice_.cluster, "networkpolicies", "patch"):
        await slice_.apply(sample("minimal"))
        message = await slice_.said("Stalled", "Forbidden", 30)
        assert "networkpolicies" in message
        assert not await slice_.pods(), "no pod starts without its isolation"
    await slice_.ready()


async def test_an_agent_is_killed_and_nobody_notices(a_slice):
    slice_, cluster = a_slice("minimal"), a_slice("minimal").cluster
    await slice_.apply(two_of_web())
    await slice_.ready()
    victim = (await slice_.pods(component="proxy"))[0]
    async with slice_.traffic(gets(), per_second=40) as load:
        started = time.monotonic()
        await cluster.signal(9, "resilientslice.agent", victim)

        async def back() -> bool:
            pod = await cluster.get("pod", victim["metadata"]["name"], slice_.namespace)
            return pod is not None and restarts([pod]) == 1 and is_ready(pod)

        await until(back, "the agent is back", 60)
        print(f"agent: back after {time.monotonic() - started:.1f} s")
        await slice_.patch({"resilience": {"timeout": "900ms"}})
        await slice_.ready()
    none_failed(load.tally, 40)
