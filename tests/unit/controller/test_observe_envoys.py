"""Which pods count as a slice's Envoys: labels are anyone's, the chain of owners is not."""

import pytest

from resilientslice.controller.agent_access import envoys
from resilientslice.kube.cache import Children
from resilientslice.kube.kinds import REPLICA_SET, SliceKey

KEY = SliceKey("ns", "shop")
LABELS = {"resilientslice.dev/slice": "shop", "app.kubernetes.io/component": "proxy"}


def obj(kind, name, uid, owner=None, *, controls=True, phase="Running", version="1"):
    reference = {"kind": owner[0], "name": owner[1], "uid": owner[2], "controller": controls} if owner else None
    metadata = {"namespace": "ns", "name": name, "uid": uid, "resourceVersion": version, "labels": LABELS}
    owners = {"ownerReferences": [reference]} if reference else {}
    return {"kind": kind, "metadata": metadata | owners, "status": {"phase": phase}}


SLICE = ("ResilientSlice", "shop", "slice")
DEPLOYMENT = ("Deployment", "shop-proxy", "deployment")
SET = ("ReplicaSet", "shop-proxy-1", "set")
OURS = [obj(*DEPLOYMENT, SLICE), obj(*SET, DEPLOYMENT)]


def found(*objects):
    children = Children(on_change=lambda key: None, shape=lambda _: "")
    for one in objects:
        children.told(one)
    return [pod.name for pod in envoys(KEY, "slice", children)]


@pytest.mark.parametrize(
    ("pod", "counts"),
    [
        (obj("Pod", "p", "u", SET), True),
        (obj("Pod", "p", "u"), False),  # labels alone
        (obj("Pod", "p", "u", SET, controls=False), False),
        (obj("Pod", "p", "u", ("ReplicaSet", "shop-proxy-1", "other")), False),
        (obj("Pod", "p", "u", ("ReplicaSet", "other", "set")), False),
        (obj("Pod", "p", "u", ("Job", "shop-proxy-1", "set")), False),
        (obj("Pod", "p", "u", DEPLOYMENT), False),  # what a Deployment never makes itself
        (obj("Pod", "p", "u", SLICE), False),
        (obj("Pod", "p", "u", SET, phase="Pending"), True),
        (obj("Pod", "p", "u", SET, phase="Failed"), False),
        (obj("Pod", "p", "u", SET, phase="Succeeded"), False),
    ],
)
def test_a_pod_counts_when_the_slices_own_deployment_has_made_it(pod, counts):
    assert found(*OURS, pod) == (["p"] if counts else [])


POD = obj("Pod", "p", "u", SET)


@pytest.mark.parametrize(
    ("chain", "counts"),
    [
        (OURS, True),
        (OURS[::-1], True),  # whichever is heard of first
        (OURS[:1], False),  # no ReplicaSet yet
        (OURS[1:], False),
        ([obj(*DEPLOYMENT, SLICE), obj(*SET)], False),
        ([obj(*DEPLOYMENT, SLICE), obj(*SET, ("Deployment", "other", "other"))], False),
        ([obj(*DEPLOYMENT), obj(*SET, DEPLOYMENT)], False),  # someone else's Deployment of that name
        ([obj(*DEPLOYMENT, ("ResilientSlice", "shop", "former")), obj(*SET, DEPLOYMENT)], False),
    ],
)
def test_every_link_of_the_chain_is_ours(chain, counts):
    assert found(POD, *chain) == (["p"] if counts else [])


def test_a_replica_set_is_news_when_it_comes_goes_or_changes_hands_and_not_when_it_counts():
    told = []
    children = Children(on_change=told.append, shape=lambda _: "")
    for version, owner in (("1", DEPLOYMENT), ("2", DEPLOYMENT), ("3", None)):
        children.told(obj(*SET, owner, version=version))
    assert told == [KEY, KEY]
    children.listed(REPLICA_SET, None, set(), "2")
    assert children.replica_sets(KEY), "it is newer than the list"
    children.listed(REPLICA_SET, None, set(), "3")
    assert (children.replica_sets(KEY), told) == ((), [KEY] * 3)
