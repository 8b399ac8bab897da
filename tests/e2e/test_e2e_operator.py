"""The operator is killed, frozen, away, upgraded, or may do too little: what runs continues, and the end is right."""

import asyncio
import contextlib
import json
import os
import random
import time

import operators
import pytest

from testkit.files import sample, service_of
from testkit.live_cluster import gets, is_ready, none_failed, restarts, uids, until

pytestmark = pytest.mark.e2e

EDITS = int(os.environ.get("E2E_EDITS", "50"))
FROZEN_SECONDS = 60.0


def two_of_web(**spec):
    document = sample("minimal")
    service_of(document, "web")["replicas"] = 2
    document["spec"].update(spec)
    return document


async def deployments(slice_):
    selector = f"resilientslice.dev/slice={slice_.name}"
    return sorted(d["metadata"]["name"] for d in await slice_.cluster.list("deploy", slice_.namespace, selector))


@contextlib.asynccontextmanager
async def killed_at_random(cluster, chance):
    """Operators that lead are killed at moments that nobody chose, while the block runs. Yields their names."""
    killed = []

    async def kill() -> None:
        while True:
            leads = await operators.leader(cluster)
            await asyncio.sleep(chance.uniform(0, 12))
            await operators.end(cluster, leads)
            killed.append(leads["metadata"]["name"])

    killing = asyncio.create_task(kill())
    try:
        yield killed
    finally:
        if killing.done():
            killing.result()
        killing.cancel()
        await asyncio.wait([killing])


async def test_killed_at_any_moment_of_fifty_edits_it_ends_right(a_slice):
    slice_, cluster = a_slice("minimal"), a_slice("minimal").cluster
    chance = random.Random(int(os.environ.get("E2E_SEED", "1")))
    await slice_.apply(two_of_web(canary={"weight": 100}))
    await slice_.ready()
    async with slice_.traffic(gets(), per_second=20) as load:
        async with killed_at_random(cluster, chance) as killed:
            for number in range(EDITS):
                # a canary that starts, shifts and promotes: each of its moments may be the last of an operator
                weight = 99 + number % 2

                def change(document, number=number, weight=weight):
                    service_of(document, "web")["env"] = [{"name": "ROUND", "value": str(number)}]
                    document["spec"]["canary"]["weight"] = weight

                await slice_.edit(change)
                await asyncio.sleep(chance.uniform(0, 6))
        await slice_.edit(lambda document: document["spec"].pop("canary"))
        await slice_.ready(240)
    print(f"{EDITS} edits, {len(killed)} operators killed, {load.tally.total} requests")
    assert len(killed) >= EDITS // 10
    none_failed(load.tally, 100)
    await nothing_is_orphaned(slice_)

    async def two_of_the_last() -> bool:
        pods = [pod for pod in await slice_.pods("web") if "deletionTimestamp" not in pod["metadata"]]
        return [_round(pod) for pod in pods] == [str(EDITS - 1)] * 2

    # the pods of an old ReplicaSet go a moment after it was scaled down
    await until(two_of_the_last, "two pods of the last edit serve, and no others", 120)
    await operators.ready(cluster)


def _round(pod):
    return next(entry["value"] for entry in pod["spec"]["containers"][0]["env"] if entry["name"] == "ROUND")


async def nothing_is_orphaned(slice_):
    assert await deployments(slice_) == ["minimal-proxy", "minimal-web-stable"]
    chosen = f"resilientslice.dev/slice={slice_.name}"
    services = await slice_.cluster.list("svc", slice_.namespace, chosen)
    assert not [name for s in services if (name := s["metadata"]["name"]).endswith("-canary") and not _headless(s)]
    revisions = await slice_.cluster.list("controllerrevisions", slice_.namespace, chosen)
    assert len(revisions) <= 11, "a history of ten, and the one that is stable"


def _headless(service):
    return service["spec"].get("clusterIP") == "None"


async def test_a_leader_that_was_frozen_changes_nothing_when_it_wakes(a_slice):
    slice_, cluster = a_slice("minimal"), a_slice("minimal").cluster
    await slice_.apply(two_of_web(canary={"weight": 0}))
    await slice_.ready()
    await slice_.edit(lambda document: service_of(document, "web").update(image="example.org/web:1.1.0"))
    await slice_.ready()
    frozen = await operators.leader(cluster)
    async with slice_.traffic(gets(), per_second=20) as load:
        since = time.monotonic()
        await cluster.signal(19, operators.PROCESS, frozen)
        try:
            await slice_.patch({"canary": {"weight": 30}})

            async def another() -> bool:
                name = (await operators.holder(cluster)).rpartition("_")[0]
                return name not in ("", frozen["metadata"]["name"])

            await until(another, "another one leads", 180)
            await slice_.wait(lambda s: s["canary"]["weight"] == 30, "30 is observed", 60)
            await slice_.patch({"canary": {"weight": 10}})
            await slice_.wait(lambda s: s["canary"]["weight"] == 10, "10 is observed", 60)
            await slice_.ready()
            before = await slice_.status()
            await asyncio.sleep(max(0.0, since + FROZEN_SECONDS - time.monotonic()))
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
        "default": {"requestsPerSecond": 1, "burst": 5},
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
            assert limited.statuses[429] > 0
            await a_host_that_hangs_is_ejected(slice_)
        none_failed(load.tally, 100)
    finally:
        await operators.scale(cluster, 2)
    await slice_.patch({"resilience": {"timeout": "16s"}})
    await slice_.ready(120)


async def a_host_that_hangs_is_ejected(slice_):
    """By the Envoys themselves; what was sent to it is answered by the other one."""
    hangs = next(pod for pod in await slice_.pods("web") if "deletionTimestamp" not in pod["metadata"])

    async def ejected() -> bool:
        proxies = await slice_.pods(component="proxy")
        found = [await ejected_by(slice_, proxy) for proxy in proxies]
        return any(hangs["status"]["podIP"] in hosts for hosts in found)

    await slice_.cluster.signal(19, "greeting", hangs)
    try:
        await until(ejected, "an Envoy ejects the host that hangs", 120)
    finally:
        await slice_.cluster.signal(18, "greeting", hangs)


async def ejected_by(slice_, proxy):
    """Addresses that the Envoy of a pod leaves out."""
    statuses = json.loads(await slice_.envoy(proxy, "/clusters?format=json"))["cluster_statuses"]
    hosts = [host for cluster in statuses for host in cluster.get("host_statuses", [])]
    return {
        host["address"]["socket_address"]["address"]
        for host in hosts
        if host["health_status"].get("failed_outlier_check")
    }


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
        message = await slice_.said("Stalled", "Forbidden", 120)
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

        await until(back, "the agent is back", 180)
        print(f"agent: back after {time.monotonic() - started:.1f} s")
        await slice_.patch({"resilience": {"timeout": "16s"}})
        await slice_.ready()
    none_failed(load.tally, 40)
