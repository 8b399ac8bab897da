"""A slice's revisions on a real API server: taken away and stored again, and refused."""

import pytest
import yaml
from tests.kube.memory_shop import (
    delete,
    events,
    images,
    is_whole,
    revisions,
    shop_with_canary,
    strip,
    tag,
    templates,
    weigh,
)

from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import UnreachableError
from resilientslice.kube.kinds import CONTROLLER_REVISION, DEPLOYMENT
from testkit.files import ROOT
from testkit.pass_world import writes


@pytest.fixture
async def shop(world):
    return await shop_with_canary(world)


@pytest.mark.parametrize("how", ["deleted", "label", "owner"])
async def test_a_revision_that_is_taken_while_the_operator_runs_is_stored_again(shop, how):
    canary = await revisions(shop)
    for name in canary.values():
        before = (await shop.others.get(CONTROLLER_REVISION, shop.namespace, name))["data"]
        if how == "deleted":
            await delete(shop, CONTROLLER_REVISION, name)
        else:
            await strip(shop, CONTROLLER_REVISION, name, label=how == "label", owner=how == "owner")
        await shop.settle("shop")
        assert await is_whole(shop, CONTROLLER_REVISION, name)
        assert (await shop.others.get(CONTROLLER_REVISION, shop.namespace, name))["data"] == before
    assert not writes(await shop.reconcile("shop"))


@pytest.mark.parametrize("which", ["stable", "canary", "both"])
async def test_a_revision_that_was_taken_while_no_operator_ran_is_known_again(shop, which):
    before, canary = await templates(shop), await revisions(shop)
    for name in canary.values() if which == "both" else [canary[which]]:
        await delete(shop, CONTROLLER_REVISION, name)
    shop.restart()
    await shop.settle("shop")
    assert await templates(shop) == before
    status = (await shop.slice("shop"))["status"]
    assert status["revision"]["canary"] == canary["canary"]
    assert status["canary"]["weight"] == 5
    assert (await shop.condition("shop", "Stalled"))[0] == "False"
    assert {status["revision"]["stable"], canary["canary"]} <= await shop.names(CONTROLLER_REVISION)
    assert await events(shop, "MemoryLost")
    await weigh(shop, 5, abort=canary["canary"])
    await shop.settle("shop", seconds=40)
    assert (await shop.slice("shop"))["status"]["canary"]["phase"] == "Aborted"
    found = await templates(shop)
    assert found == {name: before[name] for name in found}


async def test_a_former_revision_that_is_gone_stops_nothing(shop):
    await weigh(shop, 100)
    await shop.settle("shop", seconds=40)
    await delete(shop, CONTROLLER_REVISION, shop.first["stable"])
    shop.restart()
    before = await templates(shop)
    await shop.settle("shop")
    assert await templates(shop) == before
    assert (await shop.condition("shop", "Ready"))[0] == "True"


QUOTA = "count/controllerrevisions.apps"


async def allow(world, count):
    """No more ControllerRevisions than that; None for as many as one likes. The controller that counts is played."""
    path = f"/api/v1/namespaces/{world.namespace}/resourcequotas"
    if count is None:
        await world.request("DELETE", f"{path}/few")
        return
    used = len(await world.names(CONTROLLER_REVISION))
    metadata = {"name": "few", "namespace": world.namespace}
    hard = {QUOTA: str(count)}
    made = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": hard}}
    made = await world.request("POST", path, made)
    await world.request("PUT", f"{path}/few/status", made | {"status": {"hard": hard, "used": {QUOTA: str(used)}}})


async def test_a_revision_that_a_quota_refuses_is_said_and_the_canary_can_still_be_aborted(shop):
    before, canary = await templates(shop), await revisions(shop)
    await allow(shop, 0)
    tag(shop.document, "3")
    await shop.apply(shop.document)
    made = [await shop.reconcile("shop") for _ in range(3)]
    status, reason, message = await shop.condition("shop", "Stalled")
    assert (status, reason) == ("True", "QuotaExceeded")
    assert "exceeded quota: few" in message
    assert sum(request == ("create", "ControllerRevision") for requests in made for request in requests) == 1
    assert shop.deadline <= shop.now + 30
    await same_as_stays(shop, before, canary)
    await weigh(shop, 40)
    await shop.settle("shop")
    assert (await shop.slice("shop"))["status"]["canary"]["weight"] == 40
    assert await templates(shop) == before
    await weigh(shop, 40, abort=canary["canary"])
    await shop.settle("shop", seconds=20)
    assert (await revisions(shop)) == {"stable": canary["stable"], "canary": ""}
    await allow(shop, None)
    shop.now += 31
    await shop.settle("shop")
    after = await revisions(shop)
    assert after["stable"] == canary["stable"]
    assert after["canary"] not in ("", canary["canary"])
    assert (await shop.slice("shop"))["status"]["canary"]["weight"] == 0, "40 was set for the one before"
    assert (await shop.condition("shop", "Stalled"))[0] == "False"


async def same_as_stays(world, before, canary):
    assert await templates(world) == before
    status = (await world.slice("shop"))["status"]
    assert (status["revision"], status["canary"]["weight"]) == (canary, 5)


async def test_a_weight_that_came_with_a_refused_revision_is_not_for_the_one_before(shop):
    before, canary = await templates(shop), await revisions(shop)
    await allow(shop, 0)
    tag(shop.document, "3")
    await weigh(shop, 100)
    await shop.settle("shop", seconds=20)
    await same_as_stays(shop, before, canary)
    await allow(shop, None)
    shop.now += 31
    await shop.settle("shop", seconds=40)
    assert (await revisions(shop))["stable"] not in canary.values(), "and acts on its own"
    assert (await images(shop))["shop-payments-stable"] == "3"


async def test_a_canary_is_not_promoted_when_its_section_goes_with_a_refused_revision(shop):
    before, canary = await templates(shop), await revisions(shop)
    await allow(shop, 0)
    tag(shop.document, "3")
    section = shop.document["spec"].pop("canary")
    await shop.apply(shop.document)
    await shop.settle("shop", seconds=20)
    await same_as_stays(shop, before, canary)
    shop.document["spec"]["canary"] = section | {"abort": canary["canary"]}
    await shop.apply(shop.document)
    await shop.settle("shop", seconds=20)
    assert await revisions(shop) == {"stable": canary["stable"], "canary": ""}


async def test_steps_wait_while_what_replaces_their_canary_is_refused(shop):
    canary = await revisions(shop)
    shop.document["spec"]["canary"] |= {"steps": [{"weight": 5, "hold": "1s"}, {"weight": 50, "hold": "1s"}]}
    shop.document["spec"]["canary"]["analysis"] = {"minRequests": 0}
    del shop.document["spec"]["canary"]["weight"]
    tag(shop.document, "3")
    await allow(shop, 0)
    await shop.apply(shop.document)
    await shop.settle("shop")
    shop.now += 20
    await shop.settle("shop")
    assert (await revisions(shop)) == canary
    told = (await shop.slice("shop"))["status"]["canary"]
    assert told["weight"] == 5
    assert "can't be stored" in told["message"]


async def test_nothing_is_pushed_of_a_revision_that_cannot_be_stored(shop):
    pushed = len(shop.agents.pushed)
    await weigh(shop, 100)
    await shop.settle("shop", seconds=40)
    pushed = len(shop.agents.pushed)
    await allow(shop, 0)
    tag(shop.document, "3")
    service = {"name": "new", "image": "example.org/new:1", "port": 8080}
    shop.document["spec"]["services"].append(service)
    await shop.apply(shop.document)
    await shop.settle("shop")
    assert len(shop.agents.pushed) == pushed
    assert "shop-new-canary" not in await shop.names(DEPLOYMENT)
    shop.document["spec"]["resilience"]["timeout"] = "901ms"
    await shop.apply(shop.document)
    await shop.settle("shop")
    assert len(shop.agents.pushed) == pushed + 1, "policies act"


async def test_a_first_revision_that_is_refused_is_said_and_tried_again(world):
    world.document = yaml.safe_load((ROOT / "samples" / "shop.yaml").read_text())
    await allow(world, 0)
    await world.apply(world.document)
    await world.reconcile("shop")
    status, reason, message = await world.condition("shop", "Stalled")
    assert (status, reason) == ("True", "QuotaExceeded")
    assert "exceeded quota: few" in message
    assert world.deadline <= world.now + 30
    assert not await world.names(DEPLOYMENT)
    await allow(world, None)
    world.now += 31
    await world.settle("shop")
    assert (await world.condition("shop", "Ready"))[0] == "True"


@pytest.mark.parametrize("status", [500, 503])
async def test_while_revisions_fail_to_be_written_an_abort_acts(shop, monkeypatch, status):
    """An admission webhook that is down."""
    canary = await revisions(shop)
    with monkeypatch.context() as patch:
        fail_to_create(patch, UnreachableError("create", status=status, message="webhook: connection refused"))
        tag(shop.document, "3")
        await weigh(shop, 5, abort=canary["canary"])
        for _ in range(12):
            with pytest.raises(UnreachableError):
                await shop.reconcile("shop")
            await shop.control()
            shop.now += 1
        assert (await revisions(shop)) == {"stable": canary["stable"], "canary": ""}
    await shop.settle("shop")
    assert (await revisions(shop))["canary"] not in ("", canary["canary"])


async def test_a_restored_revision_that_is_refused_is_said_and_stops_nothing(shop):
    canary = await revisions(shop)
    await allow(shop, 0)
    await delete(shop, CONTROLLER_REVISION, canary["stable"])
    await shop.settle("shop")
    status, reason, message = await shop.condition("shop", "Stalled")
    assert (status, reason) == ("True", "QuotaExceeded")
    assert canary["stable"] in message
    await weigh(shop, 30)
    await shop.settle("shop")
    assert (await shop.slice("shop"))["status"]["canary"]["weight"] == 30


def fail_to_create(patch, error):
    create = KubeClient.create

    async def failing(self, obj):
        if obj["kind"] == "ControllerRevision":
            raise error
        return await create(self, obj)

    patch.setattr(KubeClient, "create", failing)
