"""An operator that dies at any point of a pass ends where one that lives does."""

import contextlib

import pytest
from tests.kube.memory_shop import STATE, events, revisions, shop_with_canary, tag

from resilientslice.kube.client import KubeClient


@pytest.fixture
async def shop(world):
    return await shop_with_canary(world)


class Died(BaseException):
    """Not even `finally` of the pass may continue; nothing catches it."""


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
