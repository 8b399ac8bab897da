"""Writes that are refused, or can't be carried out: each is said for as long as it lasts, and nothing else waits."""

import asyncio
import contextlib
from dataclasses import replace

import pytest
from tests.kube.admission import Admission, certificate, denying, failing, hanging, serving
from tests.kube.conftest import FAR
from tests.kube.pass_edits import edit, fail_to_apply, more_replicas

from resilientslice.kube.errors import ForbiddenError, KubeError, UnreachableError
from resilientslice.kube.kinds import (
    CONTROLLER_REVISION,
    DEPLOYMENT,
    EVENT,
    NETWORK_POLICY,
    RESILIENT_SLICE,
    SECRET,
    SERVICE,
    STATEFUL_SET,
)
from testkit.files import sample, service_of
from testkit.pass_world import writes
from testkit.ports import free_port

CANNOT = 'User "system:admin" cannot deploy on Fridays; is forbidden: exceeded quota: of patience'
"""A policy's own words."""


@pytest.fixture
def admission(world, session):
    return Admission(world, session)


async def failed_pass(world, name="shop"):
    with pytest.raises(KubeError):
        await world.reconcile(name)


async def replicas(world):
    return (await world.others.get(DEPLOYMENT, world.namespace, "shop-api-stable"))["spec"]["replicas"]


async def without_service(world):
    """A Service is to be made, and a Deployment to be changed."""
    await world.others.delete(SERVICE, world.namespace, "shop-api")
    await edit(world, more_replicas)


async def events(world, reason):
    found = await world.others.list_all(EVENT, world.namespace)
    return [event["note"] for event in found if event["reason"] == reason]


async def said_while_it_lasts(world, reason, *words):
    """In the same words, however often it is tried, and not in the first moment."""
    await failed_pass(world)
    assert (await world.condition("shop", "Reconciling"))[1] != reason
    world.now += 5
    await failed_pass(world)
    said = await world.condition("shop", "Reconciling")
    assert said[:2] == ("True", reason)
    assert all(word in said[2] for word in words), said
    assert (await world.slice("shop"))["status"]["observedGeneration"] < 3
    before = len(world.log)
    for _ in range(3):
        world.now += 5
        await failed_pass(world)
    assert ("patch_status", "ResilientSlice") not in world.log[before:]
    assert await world.condition("shop", "Reconciling") == said


async def over(world):
    await world.settle("shop")
    assert (await world.condition("shop", "Reconciling"))[0] == "False"
    assert (await world.slice("shop"))["status"]["phase"] == "Ready"
    assert "shop-api" in await world.names(SERVICE)


async def once_allowed(world):
    """A policy is in force for a moment after it was removed."""
    async with asyncio.timeout(FAR):
        while True:
            with contextlib.suppress(ForbiddenError):
                await world.settle("shop")
                return


def names_webhook(error):
    return "failed calling webhook" in error.message


async def test_a_webhook_that_is_gone_is_said_and_holds_nothing_else_up(shop, admission):
    await without_service(shop)
    async with admission.webhook(SERVICE, free_port(), in_force=names_webhook) as name:
        await said_while_it_lasts(shop, "WebhookFailed", "Service shop-api: ", f'failed calling webhook "{name}"')
        assert await replicas(shop) == 5
    await over(shop)


@pytest.mark.parametrize(("handler", "reason"), [(failing, "WebhookFailed"), (hanging, "WebhookFailed")])
async def test_a_webhook_that_fails_or_hangs_is_said(shop, admission, tmp_path, handler, reason):
    await without_service(shop)
    context, authority = certificate(tmp_path)
    async with (
        serving(context, handler) as port,
        admission.webhook(SERVICE, port, authority, in_force=names_webhook) as name,
    ):
        await said_while_it_lasts(shop, reason, "Service shop-api: ", name)
        assert await replicas(shop) == 5
    await over(shop)


@pytest.mark.parametrize(
    ("code", "reason"), [(403, ""), (400, ""), (404, "NotFound"), (409, "Conflict"), (401, "Unauthorized"), (500, "")]
)
async def test_what_a_webhook_denies_is_refused_whatever_status_it_chooses(shop, admission, tmp_path, code, reason):
    await without_service(shop)
    context, authority = certificate(tmp_path)
    async with (
        serving(context, denying(CANNOT, code, reason)) as port,
        admission.webhook(SERVICE, port, authority, in_force=lambda error: CANNOT in error.message),
    ):
        await stays_refused(shop, "Refused", f"denied the request: {CANNOT}")
        assert await replicas(shop) == 5
    shop.now += 31
    await over(shop)


async def stays_refused(world, reason, *words):
    """Also in the moments in which it is tried again."""
    await world.settle("shop")
    said = await world.condition("shop", "Stalled")
    assert said[:2] == ("True", reason)
    assert all(word in said[2] for word in words), said
    for _ in range(3):
        world.now += 31
        made = writes(await world.reconcile("shop"))
        assert ("patch_status", "ResilientSlice") not in made
        assert made, "it is tried again"
        assert await world.condition("shop", "Stalled") == said


async def test_words_of_a_policy_are_no_missing_right(shop, admission):
    async with admission.policy(DEPLOYMENT, CANNOT):
        await edit(shop, more_replicas)
        await stays_refused(shop, "Refused", "Deployment shop-api-stable: an admission rule", CANNOT)
    shop.now += 31
    await shop.settle("shop")
    assert await replicas(shop) == 5
    assert (await shop.condition("shop", "Stalled"))[0] == "False"


async def test_a_quota_is_said_and_holds_nothing_else_up(shop, admission):
    async with admission.quota("count/services"):
        await without_service(shop)
        await stays_refused(shop, "QuotaExceeded", "Service shop-api: raise the ResourceQuota")
        assert await replicas(shop) == 5
    shop.now += 31
    await over(shop)


async def test_a_removal_that_is_refused_is_said(shop, admission):
    def without_worker(document):
        document["spec"].pop("canary", None)
        document["spec"]["services"] = [s for s in document["spec"]["services"] if s["name"] != "worker"]

    async with admission.policy(DEPLOYMENT, CANNOT, operations=("DELETE",)):
        await edit(shop, without_worker)
        while "shop-worker" in await shop.names(NETWORK_POLICY):
            await failed_pass(shop)
            await shop.control()
            shop.now += 10
        await failed_pass(shop)
        status, reason, message = await shop.condition("shop", "Stalled")
        assert (status, reason) == ("True", "Refused")
        assert "Deployment shop-worker-stable: " in message
    await once_allowed(shop)
    assert (await shop.condition("shop", "Stalled"))[0] == "False"
    assert "shop-worker-stable" not in await shop.names(DEPLOYMENT)


async def test_a_revision_that_is_refused_is_said(shop, admission):
    async with admission.policy(CONTROLLER_REVISION, CANNOT):
        await edit(shop, lambda document: service_of(document, "payments").update(image="example.org/shop/payments:9"))
        for _ in range(3):
            try:
                await shop.reconcile("shop")
            except KubeError:
                shop.now += 5
        status, reason, message = await shop.condition("shop", "Stalled")
        assert (status, reason) == ("True", "Refused")
        assert CANNOT in message


async def test_credentials_that_cannot_be_made_keep_their_store_and_nothing_else(world, admission):
    await world.apply(sample("shop"))
    async with admission.webhook(SECRET, free_port(), in_force=names_webhook) as name:
        for _ in range(2):
            await failed_pass(world)
            world.now += 5
        await failed_pass(world)
        status, reason, message = await world.condition("shop", "Reconciling")
        assert (status, reason) == ("True", "WebhookFailed")
        assert "Secret shop-postgres: " in message
        assert name in message
        assert "shop-api-stable" in await world.names(DEPLOYMENT)
        assert await world.names(STATEFUL_SET) == set()
    await world.settle("shop")
    assert await world.names(STATEFUL_SET) == {"shop-postgres", "shop-redis"}


async def test_a_status_that_is_refused_is_told_by_an_event_once(shop, admission):
    async with admission.policy(RESILIENT_SLICE, CANNOT, operations=("UPDATE",), subresource="status"):
        await edit(shop, more_replicas)
        for _ in range(5):
            try:
                await shop.reconcile("shop")
            except ForbiddenError:
                shop.now += 5
        assert await replicas(shop) == 5
        (said,) = await events(shop, "StatusNotWritten")
        assert CANNOT in said
    await once_allowed(shop)
    assert (await shop.slice("shop"))["status"]["phase"] == "Ready"
    assert len(await events(shop, "StatusNotWritten")) == 1


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (
            UnreachableError("get Secret shop/shop-agent-key", message="no answer in time"),
            "Reconciling",
            "RequestTimedOut",
        ),
        (
            ForbiddenError("get Secret shop/k", status=403, message='secrets "k" is forbidden: User "o" cannot get r'),
            "Stalled",
            "Forbidden",
        ),
    ],
    ids=str,
)
async def test_what_cannot_be_read_before_anything_is_planned_is_said(shop, monkeypatch, error, kind, reason):
    async def unreadable(*args):
        raise error

    serves = await shop.condition("shop", "Ready")
    with monkeypatch.context() as patch:
        patch.setattr(shop.agents, "follow", unreadable)
        for _ in range(3):
            await failed_pass(shop)
            shop.now += 5
        before = len(shop.log)
        await failed_pass(shop)
        assert not writes(shop.log[before:])
    status, said, message = await shop.condition("shop", kind)
    assert (status, said) == ("True", reason)
    assert error.message in message
    assert await shop.condition("shop", "Ready") == serves, "what was observed stays"
    await shop.settle("shop")
    assert (await shop.condition("shop", kind))[0] == "False"


async def test_what_is_due_does_not_wait_for_what_fails(shop, monkeypatch):
    """The pauses after failures grow to minutes; an Envoy that didn't answer is handed its configuration again."""
    woken = []
    shop.reconciler = replace(shop.reconciler, wake=lambda key, *, after=0.0: woken.append(after))
    fail_to_apply(monkeypatch, "Deployment", KubeError("apply Deployment", status=500, message="out of order"))
    shop.agents.deaf = True

    def change(document):
        more_replicas(document)
        document["spec"].setdefault("resilience", {})["timeout"] = "5s"

    await edit(shop, change)
    for _ in range(3):
        await failed_pass(shop)
    assert woken[-1] <= 1.0
