"""A slice's memory on a real API server: taken away piece by piece, refused, and found again."""

import contextlib
import json
import random
import string
from collections.abc import AsyncIterator

import pytest
import yaml

from resilientslice.api.size import MAX_SPEC_BYTES, stored_bytes
from resilientslice.history.record import STATE_KEY
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import UnreachableError
from resilientslice.kube.kinds import CONFIG_MAP, CONTROLLER_REVISION, DEPLOYMENT, EVENT, RESILIENT_SLICE
from resilientslice.kube.session import Session
from resilientslice.render.names import LABEL_SLICE
from testkit.files import ROOT
from testkit.pass_world import World, writes

STATE = "shop-state"


@pytest.fixture
async def world(api, namespace, client) -> AsyncIterator[World]:
    log: list[tuple[str, str]] = []
    async with Session(api.login, observe=lambda verb, kind, status, seconds: log.append((verb, kind))) as session:
        yield World(session, client, namespace, log)


@pytest.fixture
async def shop(world):
    """The sample shop with a canary at weight 5, at rest, and what its Deployments look like."""
    world.document = yaml.safe_load((ROOT / "samples" / "shop.yaml").read_text())
    await world.apply(world.document)
    await world.settle("shop")
    world.first = await revisions(world)
    tag(world.document, "2")
    await weigh(world, 5)
    await world.settle("shop")
    canary = (await world.slice("shop"))["status"]["canary"]
    assert canary["weight"] == 5, canary
    return world


def tag(document, value):
    found = next(service for service in document["spec"]["services"] if service["name"] == "payments")
    found["image"] = f"{found['image'].rpartition(':')[0]}:{value}"


async def weigh(world, weight, **more):
    world.document["spec"]["canary"] |= {"weight": weight} | more
    await world.apply(world.document)


async def revisions(world):
    return (await world.slice("shop"))["status"]["revision"]


async def generations(world):
    """Of Deployments: one that changes restarts pods, or loses its canary."""
    found = await world.others.list_all(DEPLOYMENT, world.namespace)
    return {made["metadata"]["name"]: made["metadata"]["generation"] for made in found}


async def templates(world):
    found = await world.others.list_all(DEPLOYMENT, world.namespace)
    return {made["metadata"]["name"]: made["spec"]["template"] for made in found}


async def images(world):
    found = await templates(world)
    return {name: template["spec"]["containers"][0]["image"].rpartition(":")[2] for name, template in found.items()}


async def events(world, reason):
    found = await world.others.list_all(EVENT, world.namespace)
    return [event["note"] for event in found if event["reason"] == reason]


async def delete(world, kind, name):
    assert await world.others.delete(kind, world.namespace, name)


async def strip(world, kind, name, *, label=False, owner=False):
    change = {"metadata": {}}
    if label:
        change["metadata"]["labels"] = {LABEL_SLICE: None}
    if owner:
        change["metadata"]["ownerReferences"] = None
    await world.others.merge(kind, world.namespace, name, change, manager="somebody")


async def is_whole(world, kind, name):
    """It is there, with its label and its owner."""
    found = await world.others.get(kind, world.namespace, name)
    owners = found["metadata"].get("ownerReferences", [])
    return found["metadata"]["labels"].get(LABEL_SLICE) == "shop" and [one["kind"] for one in owners] == [
        "ResilientSlice"
    ]


async def same_as_before(world, before, canary):
    """Nothing was promoted, restarted or given traffic; the canary goes on where it was."""
    assert await templates(world) == before
    status = (await world.slice("shop"))["status"]
    assert status["revision"] == canary
    assert (status["canary"]["weight"], status["canary"]["phase"]) == (5, "Progressing")


# --- the ConfigMap


@pytest.mark.parametrize("how", ["deleted", "label", "owner", "label and owner", "damaged", "emptied"])
async def test_a_memory_that_was_taken_while_no_operator_ran_promotes_nothing(shop, how):
    before, canary = await templates(shop), await revisions(shop)
    pushed = len(shop.agents.pushed)
    if how == "deleted":
        await delete(shop, CONFIG_MAP, STATE)
    elif how in ("damaged", "emptied"):
        data = {STATE_KEY: "{" if how == "damaged" else None}
        await shop.others.merge(CONFIG_MAP, shop.namespace, STATE, {"data": data}, manager="somebody")
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
    await shop.others.merge(CONFIG_MAP, shop.namespace, STATE, {"data": {STATE_KEY: "{mine"}}, manager="somebody")
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


# --- ControllerRevisions


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


# --- what can't be written


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


# --- an operator that dies at any point


class Died(BaseException):
    """Not even `finally` of the pass may go on; nothing catches it."""


def die_before(patch, verb, kind):
    """The process ends right before its next request of that verb and kind."""
    original = getattr(KubeClient, verb)

    async def dying(self, obj, *arguments, **more):
        if isinstance(obj, dict) and obj["kind"] == kind[0] and obj["metadata"]["name"].endswith(kind[1]):
            raise Died
        return await original(self, obj, *arguments, **more)

    patch.setattr(KubeClient, verb, dying)


EDITS = {
    "an image": lambda document: tag(document, "3"),
    "a weight": lambda document: document["spec"]["canary"].update(weight=30),
    "a hundred": lambda document: document["spec"]["canary"].update(weight=100),
    "an abort": lambda document: document["spec"]["canary"].update(abort=document["canary"]),
    "no canary": lambda document: document["spec"].pop("canary"),
}
DEATHS = {
    "before the revision": ("create", ("ControllerRevision", "")),
    "after the push": ("apply", ("ConfigMap", STATE)),
    "after the state": ("apply", ("Deployment", "")),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("death", DEATHS)
async def test_an_operator_that_dies_at_any_point_ends_where_one_that_lives_does(shop, monkeypatch, edit, death):
    canary = await revisions(shop)
    shop.document["canary"] = canary["canary"]
    EDITS[edit](shop.document)
    del shop.document["canary"]
    await shop.apply(shop.document)
    for _ in range(4):
        with monkeypatch.context() as patch:
            die_before(patch, *DEATHS[death])
            with contextlib.suppress(Died):
                for _ in range(3):
                    await shop.reconcile("shop")
        shop.restart()
    await shop.settle("shop", seconds=40)
    now = await revisions(shop)
    status = (await shop.slice("shop"))["status"]["canary"]
    ends = {
        "an image": lambda: now["stable"] == canary["stable"] and now["canary"] not in ("", canary["canary"]),
        "a weight": lambda: now == canary and status["weight"] == 30,
        "a hundred": lambda: now == {"stable": canary["canary"], "canary": ""},
        "an abort": lambda: now == {"stable": canary["stable"], "canary": ""} and status["phase"] == "Aborted",
        "no canary": lambda: now == {"stable": canary["canary"], "canary": ""},
    }
    assert ends[edit](), (now, status)
    assert not await events(shop, "MemoryLost")


# --- size


def long_text(seed, length):
    draw = random.Random(seed)
    return "".join(draw.choices(string.ascii_letters + string.digits + string.punctuation, k=length))


@pytest.mark.parametrize("spread", [1, 4], ids=["in one service", "in four"])
async def test_the_largest_slice_that_validates_starts_and_gets_a_canary(world, spread):
    """Text that can't be compressed, all of it new with the second revision."""
    document = yaml.safe_load((ROOT / "samples" / "shop.yaml").read_text())

    def fill(seed):
        for number, service in enumerate(document["spec"]["services"][:spread]):
            service["env"] = []
            while stored_bytes(document["spec"]) < MAX_SPEC_BYTES * (number + 1) / spread - 20_000:
                values = [(f"V{len(service['env']) + more}", 4000) for more in range(3)]
                service["env"] += [{"name": name, "value": long_text(seed + name, size)} for name, size in values]

    fill("first")
    assert stored_bytes(document["spec"]) > MAX_SPEC_BYTES * 0.9
    await world.apply(document)
    await world.settle("shop")
    assert (await world.condition("shop", "Ready"))[0] == "True"
    for service in document["spec"]["services"]:
        service.pop("env", None)
    fill("second")
    document["spec"]["canary"]["weight"] = 30
    await world.apply(document)
    await world.settle("shop")
    told = (await world.slice("shop"))["status"]
    assert told["canary"]["weight"] == 30
    world.restart()
    assert not writes(await world.reconcile("shop"))
    assert await revisions(world) == told["revision"]
    document["spec"]["canary"]["weight"] = 100
    await world.apply(document)
    await world.settle("shop", seconds=40)
    assert await revisions(world) == {"stable": told["revision"]["canary"], "canary": ""}


async def test_one_that_does_not_validate_is_said_with_its_size(shop):
    before = await templates(shop)
    service = shop.document["spec"]["services"][0]
    service["env"] = [{"name": f"V{number}", "value": long_text(number, 4000)} for number in range(128)]
    shop.document["spec"]["services"][1]["env"] = service["env"][:10]
    await shop.apply(shop.document)
    await shop.reconcile("shop")
    status, reason, message = await shop.condition("shop", "Stalled")
    assert (status, reason) == ("True", "InvalidSpec")
    assert f"may be {MAX_SPEC_BYTES:,}" in message
    assert "spec.services[0].env alone is" in message
    assert await templates(shop) == before
