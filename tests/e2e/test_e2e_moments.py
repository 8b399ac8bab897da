"""Ordinary edits in bad moments: while a canary is live, while Envoys refuse another edit, while pods move to a port.

Traffic runs all the time, and nobody who sends it may notice. Its time-out is one that a node which stands still for
some seconds does not reach: what is asserted is that no request is lost, not how quick it is.
"""

import json

import pytest

from testkit.files import sample, service_of
from testkit.live_cluster import gets, is_ready, none_failed, uids, until, version_of

pytestmark = pytest.mark.e2e

OLD, NEW = "1.0.0", "1.1.0"
WITHOUT_LIMITS = "example.org/envoy:without-limits"
LIMITS = {"default": {"requestsPerSecond": 500, "burst": 900}}


def web(**spec):
    """Two replicas of a small service, patient callers."""
    document = sample("minimal")
    service_of(document, "web")["replicas"] = 2
    document["spec"].update({"resilience": {"timeout": "15s"}, **spec})
    return document


def set_web(**fields):
    return lambda document: service_of(document, "web").update(fields)


def tag(version):
    return lambda document: set_web(image=version_of(service_of(document, "web")["image"], version))(document)


async def canary_at(slice_, weight):
    """A live canary that draws `weight`; its revision."""
    await slice_.edit(tag(NEW))
    await slice_.patch({"canary": {"weight": weight}})
    status = await slice_.wait(lambda s: s["canary"]["weight"] == weight, f"{weight} is observed", 180)
    return status["revision"]["canary"]


async def reasons(slice_):
    """Reasons of the Events about the slice so far."""
    events = await slice_.cluster.list("events", slice_.namespace)
    return {event["reason"] for event in events if event["involvedObject"]["kind"] == "ResilientSlice"}


async def drawn(slice_):
    """Percent of 400 requests that the canary answered."""
    async with slice_.client() as client:
        tally = await client.closed_loop(gets(), count=400, workers=4)
    none_failed(tally, 400)
    return tally.share("web@canary")


async def test_more_replicas_take_no_traffic_from_a_live_canary(a_slice):
    slice_ = a_slice("minimal")
    await slice_.apply(web(canary={"weight": 0}))
    await slice_.ready()
    async with slice_.traffic(gets(), per_second=40) as load:
        await canary_at(slice_, 50)
        before = await reasons(slice_)
        for replicas in (3, 2, 3):
            await slice_.edit(set_web(replicas=replicas))

            async def scaled(wanted=replicas) -> bool:
                pods = [pod for pod in await slice_.pods("web") if "deletionTimestamp" not in pod["metadata"]]
                return len([pod for pod in pods if is_ready(pod)]) == 2 * wanted == len(pods)

            await until(scaled, f"both tracks have {replicas}", 180)
            status = await slice_.status()
            assert (status["canary"]["weight"], status["canary"]["phase"]) == (50, "Progressing")
        await slice_.ready()
        assert 35 <= await drawn(slice_) <= 65
    none_failed(load.tally, 200)
    assert "CanaryUnhealthy" not in await reasons(slice_) - before


async def test_a_port_moves_without_a_canary(a_slice):
    slice_ = a_slice("minimal")
    await slice_.apply(web())
    await slice_.ready()
    first = uids(await slice_.pods("web"))
    async with slice_.traffic(gets(), per_second=40) as load:
        for port in (9090, 8080):
            await slice_.edit(set_web(port=port))
            await slice_.ready(300)
            running = [pod for pod in await slice_.pods("web") if "deletionTimestamp" not in pod["metadata"]]
            assert {p["containerPort"] for pod in running for p in pod["spec"]["containers"][0]["ports"]} == {port}
            assert not uids(running) & first
    none_failed(load.tally, 200)


async def test_an_envoy_that_refuses_what_runs_is_taken_back(a_slice):
    slice_ = a_slice("minimal")
    await slice_.apply(web(rateLimit=LIMITS))
    await slice_.ready()
    async with slice_.traffic(gets(), per_second=40) as load:
        await slice_.patch({"proxy": {"image": WITHOUT_LIMITS}})
        await slice_.wait(
            lambda s: "local_ratelimit" in json.dumps(s["conditions"]), "the refusal is told in Envoy's words", 180
        )
        assert (await slice_.condition("Reconciling"))["status"] == "True", "the proxies' rollout does not end"
        await slice_.patch({"proxy": {"image": None}})
        await slice_.ready(300)
        await slice_.patch({"rateLimit": {"default": {"requestsPerSecond": 400, "burst": 900}}})
        await slice_.ready()
    none_failed(load.tally, 200)
    proxies = [pod for pod in await slice_.pods(component="proxy") if "deletionTimestamp" not in pod["metadata"]]
    assert WITHOUT_LIMITS not in {pod["spec"]["initContainers"][0]["image"] for pod in proxies}


async def test_decisions_act_while_envoy_refuses_another_edit_and_another_envoy_ends_that(a_slice):
    slice_ = a_slice("minimal")
    document = web(canary={"weight": 0})
    document["spec"]["proxy"] = {"image": WITHOUT_LIMITS}
    await slice_.apply(document)
    await slice_.ready()
    async with slice_.traffic(gets(), per_second=40) as load:
        revision = await canary_at(slice_, 50)
        await slice_.patch({"rateLimit": LIMITS})
        assert "local_ratelimit" in await slice_.said("ConfigAccepted", "ConfigRejected", 60)
        assert 35 <= await drawn(slice_) <= 65
        await slice_.patch({"canary": {"weight": 10}})
        await slice_.wait(lambda s: s["canary"]["weight"] == 10, "10 is observed", 30)
        assert 2 <= await drawn(slice_) <= 22
        await slice_.patch({"canary": {"abort": revision}})
        await slice_.wait(lambda s: s["canary"]["phase"] in ("Draining", "Aborted"), "the abort is seen", 30)
        await slice_.wait(lambda s: s["canary"]["phase"] == "Aborted", "the canary is gone", 90)
        assert await drawn(slice_) == 0
        assert (await slice_.condition("ConfigAccepted"))["reason"] == "ConfigRejected"
        # nothing of the refused edit changes: other Envoys are what ends it
        await slice_.patch({"proxy": {"image": None}})
        await slice_.ready(300)
        assert (await slice_.condition("ConfigAccepted"))["status"] == "True"
    none_failed(load.tally, 200)
