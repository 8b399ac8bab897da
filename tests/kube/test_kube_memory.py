"""A slice's memory on a real API server: its ConfigMap taken away, damaged, and found again."""

import json

import pytest
import yaml
from tests.kube.memory_shop import (
    STATE,
    delete,
    events,
    images,
    is_whole,
    revisions,
    same_as_before,
    shop_with_canary,
    strip,
    tag,
    templates,
    weigh,
)

from resilientslice.history.record import STATE_KEY
from resilientslice.kube.kinds import CONFIG_MAP, CONTROLLER_REVISION, RESILIENT_SLICE
from testkit.files import ROOT


@pytest.fixture
async def shop(world):
    return await shop_with_canary(world)


@pytest.mark.parametrize("how", ["deleted", "label", "owner", "label and owner", "damaged", "emptied"])
async def test_a_memory_that_was_taken_while_no_operator_ran_promotes_nothing(shop, how):
    before, canary = await templates(shop), await revisions(shop)
    pushed = len(shop.agents.pushed)
    if how == "deleted":
        await delete(shop, CONFIG_MAP, STATE)
    elif how in ("damaged", "emptied"):
        data = {STATE_KEY: "{" if how == "damaged" else None}
        await shop.others.merge(CONFIG_MAP, shop.namespace, STATE, {"data": data}, manager="someone")
    else:
        await strip(shop, CONFIG_MAP, STATE, label="label" in how, owner="owner" in how)
    shop.restart()
    await shop.settle("shop")
    await same_as_before(shop, before, canary)
    assert len(shop.agents.pushed) == pushed, "the Envoys prove the weight"
    assert await is_whole(shop, CONFIG_MAP, STATE)
    said = await events(shop, "MemoryLost")
    assert bool(said) == (how in ("deleted", "damaged", "emptied"))
    assert all(canary["stable"] in note and canary["canary"] in note for note in said)
    shop.restart()
    await shop.settle("shop")
    assert len(await events(shop, "MemoryLost")) == len(said)
    await weigh(shop, 100)
    await shop.settle("shop", seconds=40)
    assert (await revisions(shop)) == {"stable": canary["canary"], "canary": ""}


async def test_a_claim_that_is_made_anew_is_no_memory(shop):
    """It is an annotation of the same ConfigMap, which is made for it before anything is remembered."""
    before, canary = await templates(shop), await revisions(shop)
    await delete(shop, CONFIG_MAP, STATE)
    shop.claim = f"{shop.namespace}/operator"
    shop.restart()
    await shop.settle("shop")
    await same_as_before(shop, before, canary)
    assert "is gone" in (await events(shop, "MemoryLost"))[0]


@pytest.mark.parametrize("owner", [False, True])
async def test_a_memory_that_an_older_operator_wrote_is_read(shop, owner):
    """It doesn't say whose it is; the revisions that it names do."""
    before, canary = await templates(shop), await revisions(shop)
    fields = json.loads((await shop.others.get(CONFIG_MAP, shop.namespace, STATE))["data"][STATE_KEY])
    assert fields.pop("slice")
    data = {"data": {STATE_KEY: json.dumps(fields)}}
    await shop.others.merge(CONFIG_MAP, shop.namespace, STATE, data, manager="older")
    await strip(shop, CONFIG_MAP, STATE, label=owner, owner=owner)
    shop.restart()
    await shop.settle("shop")
    await same_as_before(shop, before, canary)
    assert await is_whole(shop, CONFIG_MAP, STATE)
    assert not await events(shop, "MemoryLost")


@pytest.mark.parametrize("how", ["deleted", "label", "owner", "label and owner"])
async def test_a_memory_that_is_taken_while_the_operator_runs_is_written_again(shop, how):
    before, canary = await templates(shop), await revisions(shop)
    if how == "deleted":
        await delete(shop, CONFIG_MAP, STATE)
    else:
        await strip(shop, CONFIG_MAP, STATE, label="label" in how, owner="owner" in how)
    await shop.settle("shop")
    await same_as_before(shop, before, canary)
    assert await is_whole(shop, CONFIG_MAP, STATE)
    assert (await shop.condition("shop", "Stalled"))[0] == "False"


async def test_a_config_map_of_somebody_else_is_named_and_left_alone(shop):
    before, canary = await templates(shop), await revisions(shop)
    await delete(shop, CONFIG_MAP, STATE)
    owner = await shop.others.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner", "namespace": shop.namespace}}
    )
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    metadata = {"name": STATE, "namespace": shop.namespace, "ownerReferences": [reference | {"controller": True}]}
    await shop.others.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}})
    shop.restart()
    await shop.settle("shop")
    await same_as_before(shop, before, canary)
    assert (await shop.condition("shop", "NameConflict"))[0] == "True"
    assert (await shop.others.get(CONFIG_MAP, shop.namespace, STATE))["data"] == {"a": "b"}


async def test_with_the_memory_gone_and_the_image_edited_nothing_is_called_stable_that_does_not_run(shop):
    """And a weight of 100 that was left behind doesn't ship it."""
    await weigh(shop, 100)
    await shop.settle("shop", seconds=40)
    stable = (await revisions(shop))["stable"]
    before = await templates(shop)
    await delete(shop, CONFIG_MAP, STATE)
    tag(shop.document, "3")
    await shop.apply(shop.document)
    shop.restart()
    await shop.settle("shop")
    status = (await shop.slice("shop"))["status"]
    assert status["revision"]["stable"] == stable
    assert status["revision"]["canary"] not in ("", stable)
    assert (status["canary"]["weight"], status["canary"]["phase"]) == (0, "Paused")
    assert (await shop.condition("shop", "Reconciling"))[1] == "StaleWeight"
    found = await templates(shop)
    assert {name: found[name] for name in before} == before


async def test_an_aborted_revision_stays_aborted_without_its_memory(shop):
    canary = await revisions(shop)
    await weigh(shop, 5, abort=canary["canary"])
    await shop.settle("shop", seconds=40)
    await weigh(shop, 5, abort="")
    await shop.settle("shop")
    assert (await shop.slice("shop"))["status"]["canary"]["phase"] == "Aborted"
    before = await templates(shop)
    await delete(shop, CONFIG_MAP, STATE)
    shop.restart()
    await shop.settle("shop")
    assert await templates(shop) == before
    assert (await shop.slice("shop"))["status"]["canary"]["phase"] == "Aborted"


async def test_what_envoys_do_not_prove_starts_again_at_zero(shop):
    canary = await revisions(shop)
    before = await templates(shop)
    await delete(shop, CONFIG_MAP, STATE)
    shop.document["spec"]["resilience"]["timeout"] = "901ms"
    await shop.apply(shop.document)
    shop.restart()
    shop.stuck = {name for name in before if name.endswith("-canary")}
    await shop.reconcile("shop")
    assert (await revisions(shop)) == canary
    await shop.settle("shop")
    await same_as_before(shop, before, canary)


async def test_status_gone_too_the_canary_that_runs_is_one(shop):
    """Restored from a backup without status: a pinned weight of unknown age is not armed."""
    before, canary = await templates(shop), await revisions(shop)
    await delete(shop, CONFIG_MAP, STATE)
    live = await shop.slice("shop")
    await shop.request("PUT", RESILIENT_SLICE.path(shop.namespace, "shop", "status"), {**live, "status": {}})
    shop.restart()
    await shop.settle("shop")
    assert await templates(shop) == before
    assert await revisions(shop) == canary
    assert (await shop.slice("shop"))["status"]["canary"]["weight"] <= 5
    assert (await images(shop))["shop-payments-stable"] != "2"


async def test_a_memory_of_a_newer_operator_is_not_destroyed(shop):
    live = await shop.others.get(CONFIG_MAP, shop.namespace, STATE)
    newer = json.dumps(json.loads(live["data"][STATE_KEY]) | {"version": 2})
    await shop.others.merge(CONFIG_MAP, shop.namespace, STATE, {"data": {STATE_KEY: newer}}, manager="newer")
    shop.restart()
    await shop.reconcile("shop")
    status, reason, message = await shop.condition("shop", "Stalled")
    assert (status, reason) == ("True", "MemoryUnreadable")
    assert "Correct the resource" not in message
    assert f"delete ConfigMap {STATE}" in message
    assert (await shop.others.get(CONFIG_MAP, shop.namespace, STATE))["data"][STATE_KEY] == newer
    await delete(shop, CONFIG_MAP, STATE)
    await weigh(shop, 5, abort=(await revisions(shop))["canary"])
    await shop.settle("shop", seconds=40)
    assert (await shop.slice("shop"))["status"]["canary"]["phase"] == "Aborted"


async def test_what_was_damaged_is_kept(shop):
    await shop.others.merge(CONFIG_MAP, shop.namespace, STATE, {"data": {STATE_KEY: "{mine"}}, manager="someone")
    shop.restart()
    await shop.settle("shop")
    data = (await shop.others.get(CONFIG_MAP, shop.namespace, STATE))["data"]
    assert data["damaged.txt"] == "{mine"
    json.loads(data[STATE_KEY])


async def test_with_nothing_remembered_and_nothing_stored_the_templates_that_run_stay(shop):
    """All memory gone, and the spec edited: nothing restarts, and what the spec asks for is a canary."""
    before, canary = await templates(shop), await revisions(shop)
    for name in await shop.names(CONTROLLER_REVISION):
        await delete(shop, CONTROLLER_REVISION, name)
    await delete(shop, CONFIG_MAP, STATE)
    shop.restart()
    await shop.settle("shop")
    assert await templates(shop) == before
    status = (await shop.slice("shop"))["status"]
    assert status["revision"]["canary"] == canary["canary"]
    assert status["canary"]["weight"] == 5


async def test_a_slice_that_never_ran_says_nothing_of_a_loss(world):
    world.document = yaml.safe_load((ROOT / "samples" / "minimal.yaml").read_text())
    await world.apply(world.document)
    await world.settle(world.document["metadata"]["name"])
    assert not await events(world, "MemoryLost")
