"""Edits with traffic: only what an edit is about is touched, and nobody notices."""

import json

import pytest

from testkit.files import sample, service_of
from testkit.live_cluster import gets, is_ready, none_failed, restarts, uids, until, version_of

pytestmark = pytest.mark.e2e


def two_of_web():
    document = sample("minimal")
    service_of(document, "web")["replicas"] = 2
    return document


def of_web(**fields):
    return lambda document: service_of(document, "web").update(fields)


@pytest.mark.smoke
async def test_an_edit_touches_only_what_it_is_about(a_slice):
    slice_ = a_slice("minimal")
    await slice_.apply(two_of_web())
    await slice_.ready()
    async with slice_.traffic(gets(), per_second=40) as load:
        proxies, web = uids(await slice_.pods(component="proxy")), uids(await slice_.pods("web"))
        await slice_.patch({"resilience": {"timeout": "16s", "retries": {"attempts": 3}}})
        await slice_.ready()
        await slice_.patch({"rateLimit": {"default": {"requestsPerSecond": 500, "burst": 900}}})
        await slice_.ready()
        assert uids(await slice_.pods("web")) == web, "time-outs and limits are the Envoys' business"
        await slice_.edit(of_web(replicas=3))
        await slice_.ready()
        more = uids(await slice_.pods("web"))
        assert more > web
        assert len(more) == 3
        await slice_.edit(of_web(env=[{"name": "GREETING", "value": "good day"}]))
        await slice_.ready()
        after = uids([pod for pod in await slice_.pods("web") if is_ready(pod)])
        await slice_.edit(of_web(image=version_of(service_of(await slice_.get(), "web")["image"], "1.1.0")))
        await slice_.ready()
        last = [pod for pod in await slice_.pods("web") if "deletionTimestamp" not in pod["metadata"]]
        assert not uids(last) & after
        assert {pod["spec"]["containers"][0]["image"] for pod in last} == {"example.org/web:1.1.0"}
        assert uids(await slice_.pods(component="proxy")) == proxies, "an edit of a service starts no Envoy anew"
    none_failed(load.tally, 200)
    assert restarts(await slice_.pods()) == 0


async def test_a_move_to_an_autoscaler_never_dips(a_slice):
    slice_ = a_slice("minimal")
    document = two_of_web()
    service_of(document, "web")["replicas"] = 3
    await slice_.apply(document)
    await slice_.ready()
    web = uids(await slice_.pods("web"))
    cluster = slice_.cluster

    def automatic(document):
        service = service_of(document, "web")
        del service["replicas"]
        service["autoscaling"] = {"minReplicas": 3, "maxReplicas": 4, "targetCPUUtilizationPercentage": 80}

    def by_hand(document):
        service = service_of(document, "web")
        del service["autoscaling"]
        service["replicas"] = 3

    async def hpa() -> bool:
        return bool(await cluster.list("hpa", slice_.namespace))

    async def no_hpa() -> bool:
        return not await hpa()

    async with slice_.traffic(gets(), per_second=40) as load:
        await slice_.edit(automatic)
        await until(hpa, "there is an HPA", 30)
        await slice_.ready()
        assert uids(await slice_.pods("web")) >= web
        await slice_.edit(by_hand)
        await until(no_hpa, "the HPA is gone", 30)
        await slice_.ready()
    none_failed(load.tally, 40)
    kept = {pod["metadata"]["uid"] for pod in await slice_.pods("web") if "deletionTimestamp" not in pod["metadata"]}
    assert len(kept & web) == 3, "no pod went: the number never dipped"


async def test_an_eviction_that_would_take_the_last_envoy_is_refused(a_slice):
    slice_ = a_slice("minimal")
    await slice_.apply(two_of_web())
    await slice_.ready()

    async def evict(pod) -> None:
        metadata = {"name": pod["metadata"]["name"], "namespace": slice_.namespace}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        path = f"/api/v1/namespaces/{slice_.namespace}/pods/{metadata['name']}/eviction"
        await slice_.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))

    async with slice_.traffic(gets(), per_second=40) as load:
        first, second = await slice_.pods(component="proxy")
        await evict(first)
        with pytest.raises(AssertionError, match="disruption budget"):
            await evict(second)

        async def two_again() -> bool:
            ready = [pod for pod in await slice_.pods(component="proxy") if is_ready(pod)]
            return len(ready) == 2 and uids([first]).isdisjoint(uids(ready))

        await until(two_again, "another Envoy took its place", 120)
    none_failed(load.tally, 40)


async def test_neighbours_do_not_mix(a_slice, namespace, operator):
    """Two slices in one namespace, and one of an equal name in another."""
    one, two = a_slice("minimal"), a_slice("other")
    elsewhere = f"{namespace}-2"
    labels = {"resilientslice.dev/e2e": "true"}
    await operator.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": elsewhere, "labels": labels}})
    three = operator.slice(elsewhere, "minimal")
    try:
        for slice_ in (one, two, three):
            await slice_.apply(sample("minimal"))
        for slice_ in (one, two, three):
            await slice_.ready()
        before = uids(await two.pods()) | uids(await three.pods())
        async with two.traffic(gets()) as second, three.traffic(gets()) as third:
            await one.edit(of_web(image="example.org/web:1.1.0"))
            await one.ready()
            await one.delete()
        assert uids(await two.pods()) | uids(await three.pods()) == before
        none_failed(second.tally, 20)
        none_failed(third.tally, 20)
    finally:
        await operator.kubectl("delete", "namespace", elsewhere, "--wait=false")
