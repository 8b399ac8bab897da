"""Canaries by hand, with traffic that must not notice."""

import pytest

from testkit.files import sample, service_of
from testkit.live_cluster import gets, is_ready, none_failed, restarts, uids, version_of

pytestmark = pytest.mark.e2e

OLD, NEW = "1.0.0", "1.1.0"


def with_canary(version: str = OLD):
    document = sample("minimal")
    service = service_of(document, "web")
    service["image"] = version_of(service["image"], version)
    service["replicas"] = 2
    document["spec"]["canary"] = {"weight": 0}
    return document


async def image(slice_, version):
    def change(document):
        service = service_of(document, "web")
        service["image"] = version_of(service["image"], version)

    await slice_.edit(change)


@pytest.mark.smoke
async def test_weight_header_promotion_and_what_a_weight_left_behind_does(a_slice):
    slice_ = a_slice("shop")
    await slice_.apply(with_canary())
    await slice_.ready()
    first = (await slice_.status())["revision"]["stable"]
    async with slice_.traffic(gets(), per_second=40) as load:
        await image(slice_, NEW)
        await slice_.ready()
        async with slice_.client() as client:
            by_header = await client.paced([gets(headers={"X-Canary": "1"})(n) for n in range(20)], per_second=40)
            assert by_header.share("web@canary") == 100
            assert (await client.paced([gets()(n) for n in range(20)], per_second=40)).share("web@canary") == 0
            await slice_.patch({"canary": {"weight": 30}})
            await slice_.wait(lambda s: s["canary"]["weight"] == 30, "30 is observed", 10)
            shared = await client.closed_loop(gets(), count=2000, workers=8)
            assert 25 <= shared.share("web@canary") <= 35
            none_failed(shared, 2000)
        await slice_.patch({"canary": {"weight": 100}})
        await slice_.wait(lambda s: s["revision"]["stable"] != first and not s["revision"]["canary"], "promoted", 120)
        await slice_.ready()
        # 100 is left behind: what comes next, and was never stable before, must wait for a person
        await slice_.edit(lambda document: service_of(document, "web").update(env=[{"name": "NEXT", "value": "1"}]))
        await slice_.said("Reconciling", "StaleWeight", 120)
        assert (await slice_.status())["canary"]["weight"] == 0
    none_failed(load.tally, 200)


async def test_taking_the_image_back_aborts(a_slice):
    slice_ = a_slice("shop")
    await slice_.apply(with_canary())
    await slice_.ready()
    stable = uids(await slice_.pods("web", track="stable"))
    async with slice_.traffic(gets(), per_second=40) as load:
        await image(slice_, NEW)
        await slice_.patch({"canary": {"weight": 50}})
        await slice_.wait(lambda s: s["canary"]["weight"] == 50, "50 is observed", 120)
        await image(slice_, OLD)
        await slice_.wait(lambda s: not s["revision"]["canary"], "the canary is gone", 60)
        await slice_.ready()
    none_failed(load.tally, 100)
    assert uids(await slice_.pods("web", track="stable")) == stable, "stable was never touched"
    assert restarts(await slice_.pods()) == 0


async def test_edits_of_a_slice_with_a_canary_touch_only_what_they_are_about(a_slice):
    """Replicas, time-outs and limits start no canary; an image or a variable does, and promotes at 100."""
    slice_ = a_slice("shop")
    await slice_.apply(with_canary())
    await slice_.ready()
    async with slice_.traffic(gets(), per_second=40) as load:
        web, proxies = uids(await slice_.pods("web")), uids(await slice_.pods(component="proxy"))
        await slice_.patch({"resilience": {"timeout": "16s", "retries": {"attempts": 3}}})
        await slice_.patch({"rateLimit": {"default": {"requestsPerSecond": 500, "burst": 900}}})
        await slice_.ready()
        assert uids(await slice_.pods("web")) == web
        await slice_.edit(lambda document: service_of(document, "web").update(replicas=3))
        await slice_.ready()
        assert uids(await slice_.pods("web")) > web, "one more, and those there were"
        for number, change in enumerate(({"env": [{"name": "A", "value": "1"}]}, {"image": f"example.org/web:{NEW}"})):
            stable = (await slice_.status())["revision"]["stable"]
            old = uids(await slice_.pods("web"))

            def promoted_at_once(document, number=number, change=change):
                service_of(document, "web").update(change)
                document["spec"]["canary"]["weight"] = 99 + number

            await slice_.edit(promoted_at_once)
            if number == 0:
                await slice_.wait(lambda s: s["canary"]["weight"] == 99, "99 is observed", 120)
                await slice_.patch({"canary": {"weight": 100}})
            else:
                await slice_.said("Reconciling", "StaleWeight", 120)
                await slice_.patch({"canary": {"promote": (await slice_.status())["revision"]["canary"]}})
            await slice_.wait(
                lambda s, stable=stable: s["revision"]["stable"] != stable and not s["revision"]["canary"],
                "promoted",
                120,
            )
            await slice_.ready()
            last = [pod for pod in await slice_.pods("web") if "deletionTimestamp" not in pod["metadata"]]
            assert not uids(last) & old
            assert len([pod for pod in last if is_ready(pod)]) == 3
        assert uids(await slice_.pods(component="proxy")) == proxies, "no canary starts an Envoy anew"
    none_failed(load.tally, 200)
    assert restarts(await slice_.pods()) == 0
