"""Our client's requests mean what their docstrings say, to the API server that decides it."""

import dataclasses

import pytest

from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    FieldConflict,
    InvalidError,
    NotFoundError,
    NotLeadingError,
    UnauthorizedError,
    UnreachableError,
)
from resilientslice.kube.kinds import CNPG_CLUSTER, CONFIG_MAP, EVENT, RESILIENT_SLICE, SERVICE_ACCOUNT, Object
from resilientslice.kube.session import Session

MINE, OTHER = "resilientslice", "someone"


def config(namespace: str, name: str = "shop", **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name}, "data": data}


def slice_(namespace: str, name: str = "shop") -> Object:
    return {
        "apiVersion": "resilientslice.dev/v1alpha1",
        "kind": "ResilientSlice",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"services": [{"name": "api", "image": "example.org/api:1", "port": 8080}]},
    }


async def test_an_apply_makes_an_object_and_drops_what_it_no_longer_gives(client, namespace) -> None:
    made = await client.apply(config(namespace, a="1", b="2"), manager=MINE)
    changed = await client.apply(config(namespace, a="1"), manager=MINE)
    assert (made["data"], changed["data"]) == ({"a": "1", "b": "2"}, {"a": "1"})
    assert made["metadata"]["uid"] == changed["metadata"]["uid"]


async def test_an_apply_of_the_same_writes_nothing(client, namespace) -> None:
    versions = [
        (await client.apply(config(namespace, a="1"), manager=MINE))["metadata"]["resourceVersion"] for _ in range(3)
    ]
    assert len(set(versions)) == 1


async def test_a_conflict_names_each_field_and_who_holds_it(client, namespace) -> None:
    await client.apply(config(namespace, a="1", b="2"), manager=OTHER)
    with pytest.raises(ConflictError) as refused:
        await client.apply(config(namespace, a="9", b="9"), manager=MINE)
    assert set(refused.value.conflicts) == {FieldConflict(OTHER, ".data.a"), FieldConflict(OTHER, ".data.b")}
    assert f"ConfigMap {namespace}/shop" in str(refused.value)
    forced = await client.apply(config(namespace, a="9", b="9"), manager=MINE, force=True)
    assert forced["data"] == {"a": "9", "b": "9"}


async def test_an_apply_with_a_uid_never_makes_nor_touches_another_object(client, namespace) -> None:
    first = await client.apply(config(namespace, a="1"), manager=MINE)
    bound = config(namespace, a="2")
    bound["metadata"]["uid"] = first["metadata"]["uid"]
    assert (await client.apply(bound, manager=MINE))["data"] == {"a": "2"}
    await client.delete(CONFIG_MAP, namespace, "shop")
    with pytest.raises(ConflictError):
        await client.apply(bound, manager=MINE)
    await client.create(config(namespace, a="of another"))
    with pytest.raises(ConflictError) as refused:
        await client.apply(bound, manager=MINE, force=True)
    assert refused.value.conflicts == ()
    assert (await client.get(CONFIG_MAP, namespace, "shop"))["data"] == {"a": "of another"}


async def test_the_version_is_two_numbers(client) -> None:
    assert await client.version() >= (1, 29)


async def test_what_is_there_and_what_is_not(client, namespace) -> None:
    assert await client.find(CONFIG_MAP, namespace, "shop") is None
    await client.create(config(namespace, a="1"))
    with pytest.raises(AlreadyExistsError):
        await client.create(config(namespace, a="2"))
    assert (await client.get(CONFIG_MAP, namespace, "shop"))["data"] == {"a": "1"}
    with pytest.raises(NotFoundError) as missing:
        await client.list_all(CNPG_CLUSTER, namespace)
    assert missing.value.missing_kind


async def test_a_delete_may_be_bound_to_one_very_object(client, namespace) -> None:
    uid = (await client.create(config(namespace)))["metadata"]["uid"]
    with pytest.raises(ConflictError):
        await client.delete(CONFIG_MAP, namespace, "shop", uid="11111111-2222-3333-4444-555555555555")
    assert await client.delete(CONFIG_MAP, namespace, "shop", uid=uid) is True
    assert await client.delete(CONFIG_MAP, namespace, "shop", uid=uid) is False


async def test_a_list_in_pages_is_whole_and_filtered(client, namespace) -> None:
    for index in range(12):
        obj = config(namespace, f"c-{index:02}")
        obj["metadata"]["labels"] = {"half": str(index % 2)}
        await client.create(obj)
    pages = [page async for page, _ in client.pages(CONFIG_MAP, namespace, limit=5)]
    assert [len(page) for page in pages] == [5, 5, 2]
    halves = await client.list_all(CONFIG_MAP, namespace, label_selector="half=1", limit=2)
    assert [obj["metadata"]["name"] for obj in halves] == [f"c-{index:02}" for index in range(1, 12, 2)]
    assert {(obj["apiVersion"], obj["kind"]) for obj in halves} == {("v1", "ConfigMap")}


async def test_a_status_is_replaced_as_a_whole_and_spec_stays(client, namespace) -> None:
    made = await client.create(slice_(namespace))
    await client.patch_status(RESILIENT_SLICE, namespace, "shop", {"phase": "Pending", "ejected": 3}, manager=MINE)
    stored = await client.patch_status(
        RESILIENT_SLICE, namespace, "shop", {"phase": "Ready"}, manager=MINE, uid=made["metadata"]["uid"]
    )
    assert stored["status"] == {"phase": "Ready"}
    assert stored["spec"] == made["spec"]
    assert stored["metadata"]["generation"] == made["metadata"]["generation"]
    again = await client.patch_status(RESILIENT_SLICE, namespace, "shop", {"phase": "Ready"}, manager=MINE)
    assert again["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]


@pytest.mark.parametrize("held", [{"uid": "11111111-2222-3333-4444-555555555555"}, {"resource_version": "1"}])
async def test_a_status_for_another_or_a_changed_object_is_refused(client, namespace, held) -> None:
    await client.create(slice_(namespace))
    with pytest.raises(ConflictError):
        await client.patch_status(RESILIENT_SLICE, namespace, "shop", {"phase": "Ready"}, manager=MINE, **held)
    assert (await client.get(RESILIENT_SLICE, namespace, "shop"))["status"]["phase"] == "Pending"


async def test_an_object_that_breaks_a_rule_is_invalid(client, namespace) -> None:
    broken = slice_(namespace)
    broken["spec"]["services"] = []
    with pytest.raises(InvalidError) as refused:
        await client.apply(broken, manager=MINE)
    assert "spec.services" in refused.value.message


async def test_an_event_is_stored_about_its_object(client, namespace) -> None:
    about = await client.create(slice_(namespace))
    await client.event(
        about,
        reason="Promoted",
        note="x" * 5000,
        action="Promote",
        type_="Warning",
        controller="resilientslice.dev/operator",
        instance="operator-0",
    )
    (event,) = await client.list_all(EVENT, namespace)
    assert event["regarding"]["uid"] == about["metadata"]["uid"]
    assert (event["reason"], event["type"], len(event["note"].encode())) == ("Promoted", "Warning", 1024)


async def test_nothing_is_sent_when_the_guard_says_no(session, namespace) -> None:
    def no() -> None:
        raise NotLeadingError("not sent")

    guarded, free = KubeClient(session, guard=no), KubeClient(session)
    await free.create(config(namespace, "there"))
    about = await free.create(slice_(namespace))
    writes = [
        guarded.create(config(namespace, "new")),
        guarded.apply(config(namespace, "new"), manager=MINE),
        guarded.delete(CONFIG_MAP, namespace, "there"),
        guarded.patch_status(RESILIENT_SLICE, namespace, "shop", {"phase": "Ready"}, manager=MINE),
        guarded.replace(about),
        guarded.event(about, reason="R", note="n", action="A", controller="c", instance="i"),
    ]
    for write in writes:
        with pytest.raises(NotLeadingError):
            await write
    assert [obj["metadata"]["name"] for obj in await guarded.list_all(CONFIG_MAP, namespace)] == ["there"]
    assert await free.list_all(EVENT, namespace) == []
    assert (await free.get(RESILIENT_SLICE, namespace, "shop"))["status"]["phase"] == "Pending"


async def test_a_token_that_was_rotated_is_read_again(api, namespace) -> None:
    known = api.login()
    handed = iter([dataclasses.replace(known, token="of yesterday"), known])
    async with Session(lambda: next(handed)) as session:
        await KubeClient(session).create(config(namespace))
    assert next(handed, None) is None


async def test_credentials_that_stay_wrong_are_an_error(api, namespace) -> None:
    wrong = dataclasses.replace(api.login(), token="never right")
    async with Session(lambda: wrong) as session:
        with pytest.raises(UnauthorizedError):
            await KubeClient(session).list_all(SERVICE_ACCOUNT, namespace)


async def test_a_server_that_does_not_answer_is_unreachable_in_time(api, session, namespace) -> None:
    await session.request("GET", CONFIG_MAP.path(namespace), kind=CONFIG_MAP, what="it")
    with api.frozen(), pytest.raises(UnreachableError, match="all ConfigMaps"):
        await session.request("GET", CONFIG_MAP.path(namespace), kind=CONFIG_MAP, what="all ConfigMaps", seconds=0.3)
    assert await KubeClient(session).list_all(CONFIG_MAP, namespace) == []
