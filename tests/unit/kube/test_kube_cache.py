"""What the caches keep, what they tell of, and when an object counts as gone."""

import pytest

from resilientslice.kube.cache import Children
from resilientslice.kube.kinds import CONFIG_MAP, DEPLOYMENT, POD, REPLICA_SET, RESILIENT_SLICE, Object, SliceKey
from resilientslice.kube.slices import Slices

KEY = SliceKey("shop", "shop")


def child(name: str = "shop-api", *, uid: str = "u1", version: int = 5, kind: str = "Deployment", **more) -> Object:
    return {
        "apiVersion": "apps/v1" if kind == "Deployment" else "v1",
        "kind": kind,
        "metadata": {
            "namespace": "shop",
            "name": name,
            "uid": uid,
            "resourceVersion": str(version),
            "generation": 2,
            "labels": {"resilientslice.dev/slice": "shop", "app.kubernetes.io/component": "service", "team": "a"},
            "annotations": {"resilientslice.dev/digest": "d1", "note": "long"},
            "ownerReferences": [{"uid": "other"}, {"uid": "owner", "controller": True}],
        },
        **more,
    }


@pytest.fixture
def told() -> list[SliceKey]:
    return []


@pytest.fixture
def children(told) -> Children:
    return Children(on_change=told.append, shape=lambda obj: f"shape of {obj['metadata']['name']}", kinds=[DEPLOYMENT])


def test_of_a_child_only_what_is_asked_for_is_kept(children) -> None:
    template = {"metadata": {"annotations": {"resilientslice.dev/template": "t1"}}}
    status = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "readyReplicas": 1}
    children.told(child(spec={"replicas": 3, "template": template}, status=status))
    (kept,) = children.of(KEY).values()
    assert (kept.uid, kept.owner_uid, kept.generation, kept.replicas, kept.deleting) == ("u1", "owner", 2, 3, False)
    assert kept.labels == {"app.kubernetes.io/component": "service"}
    assert kept.annotations == {"resilientslice.dev/digest": "d1"}
    counts = kept.counts
    assert (counts.observed_generation, counts.replicas, counts.updated, counts.ready) == (2, 3, 2, 1)
    assert kept.shape == "shape of shop-api"


def test_older_news_and_the_same_news_are_left_out(children, told) -> None:
    children.told(child(version=5))
    children.told(child(version=5))
    children.told(child(version=4, uid="u1"))
    assert told == [KEY]
    children.told(child(version=10))
    assert told == [KEY, KEY], "10 is above 5 as a number, not as a text"
    children.told(child(version=3, uid="u2"))
    assert children.of(KEY)["Deployment", "shop-api"].uid == "u2", "another object begins anew"


def test_the_answer_to_a_write_of_ours_is_no_news_from_outside(children, told) -> None:
    assert children.saw(child(version=5)) is True
    children.told(child(version=5))
    assert told == []


def test_gone_is_only_the_very_object(children, told) -> None:
    children.told(child(uid="u2"))
    children.gone(child(uid="u1"))
    assert children.of(KEY)
    children.gone(child(uid="u2"))
    assert not children.of(KEY)
    assert told == [KEY, KEY]


def test_what_a_list_lacks_is_gone_unless_it_is_newer(children, told) -> None:
    children.told(child("old", uid="u1", version=5))
    children.told(child("kept", uid="u2", version=5))
    children.saw(child("new", uid="u3", version=12))
    children.told(child("other-kind", uid="u4", kind="ConfigMap"))
    children.listed(DEPLOYMENT, None, {"u2"}, "10")
    assert {name for _, name in children.of(KEY)} == {"kept", "new", "other-kind"}


def test_a_list_of_one_namespace_says_nothing_of_others(told) -> None:
    children = Children(on_change=told.append, shape=lambda _: "", kinds=[DEPLOYMENT], namespaces=["a", "shop"])
    children.told(child())
    children.listed(DEPLOYMENT, "a", set(), "10")
    assert children.of(KEY)
    children.listed(DEPLOYMENT, "shop", set(), "10")
    assert not children.of(KEY)


def test_it_is_synced_when_every_kind_was_listed_in_every_namespace(told) -> None:
    children = Children(on_change=told.append, shape=lambda _: "", kinds=[DEPLOYMENT], namespaces=["a", "b"])
    for kind in (DEPLOYMENT, REPLICA_SET, POD):
        for namespace in ("a", "b"):
            assert not children.synced()
            children.listed(kind, namespace, set(), "1")
    assert children.synced()
    assert children.missing() == ()


def test_proxies_are_pods_apart_from_children(children) -> None:
    status = {
        "podIP": "10.0.0.7",
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"restartCount": 1}],
        "initContainerStatuses": [{"restartCount": 2}],
    }
    children.told(child("shop-proxy-1", kind="Pod", status=status))
    (pod,) = children.proxies(KEY)
    assert (pod.name, pod.ip, pod.ready, pod.restarts, pod.deleting) == ("shop-proxy-1", "10.0.0.7", True, 3, False)
    assert not children.of(KEY)
    children.listed(POD, None, set(), "10")
    assert children.proxies(KEY) == ()


def test_an_object_that_cannot_be_read_keeps_nobody_from_the_others(children, told) -> None:
    children.told(child("broken", uid="u1", status="text"))
    children.told(child("whole", uid="u2"))
    assert {name for _, name in children.of(KEY)} == {"whole"}
    assert (told, children.unread) == ([KEY], 1)


def test_an_object_without_the_label_is_nobodys(children, told) -> None:
    stray = child()
    del stray["metadata"]["labels"]["resilientslice.dev/slice"]
    children.told(stray)
    children.gone(stray)
    assert (told, children.count()) == ([], 0)


def slice_(version: int, *, generation: int = 1, uid: str = "u1", **more) -> Object:
    metadata = {"namespace": "shop", "name": "shop", "uid": uid, "resourceVersion": str(version)}
    metadata |= {"generation": generation, "managedFields": [{"manager": "kubectl"}]}
    return {"apiVersion": "resilientslice.dev/v1alpha1", "kind": "ResilientSlice", "metadata": metadata, **more}


def test_of_a_slice_everything_but_a_status_is_news(told) -> None:
    slices = Slices(on_change=told.append)
    slices.told(slice_(1))
    slices.told(slice_(2, status={"phase": "Ready"}))
    assert told == [KEY]
    assert slices.get(KEY)["status"] == {"phase": "Ready"}
    assert "managedFields" not in slices.get(KEY)["metadata"]
    slices.told(slice_(3, generation=2))
    slices.told(slice_(2))
    assert (told, slices.get(KEY)["metadata"]["generation"]) == ([KEY, KEY], 2)


def test_a_slice_that_a_list_lacks_is_gone_and_told_of(told) -> None:
    slices = Slices(on_change=told.append)
    slices.told(slice_(5))
    assert not slices.synced()
    slices.listed(RESILIENT_SLICE, None, {"u1"}, "6")
    assert (slices.synced(), len(slices)) == (True, 1)
    slices.listed(RESILIENT_SLICE, None, set(), "6")
    assert (slices.get(KEY), told) == (None, [KEY, KEY])


def test_paths_of_kinds() -> None:
    assert CONFIG_MAP.path("a", "b") == "/api/v1/namespaces/a/configmaps/b"
    assert DEPLOYMENT.path() == "/apis/apps/v1/deployments"
    assert RESILIENT_SLICE.path("a", "b", "status").endswith("/namespaces/a/resilientslices/b/status")
