"""What has to be written, and in which order: tables of what is expected and what is there."""

from dataclasses import dataclass, field, replace

import pytest

from resilientslice.api.slice import ResilientSlice
from resilientslice.applying.difference import Action, difference_of
from resilientslice.applying.expected import complete, digest_of, expected_from, expected_of
from resilientslice.kube.children import DIGEST_ANNOTATION, REVISION_ANNOTATION
from resilientslice.render.kinds import order

UID = "u-1"
API = ("Deployment", "shop-api-stable")


@dataclass(frozen=True)
class Kept:
    kind: str
    name: str
    shape: str
    annotations: dict = field(default_factory=dict)
    uid: str = "c-1"
    owner_uid: str = UID
    deleting: bool = False
    replicas: int | None = 2


def stored(expected):
    """The children as they are right after everything was applied."""
    return {
        key: Kept(
            key[0],
            key[1],
            f"{entry.shape}\tr" if key[0] == "Deployment" else entry.shape,
            {DIGEST_ANNOTATION: entry.digest},
        )
        for key, entry in expected.items()
    }


def with_uid(desired):
    slice_: ResilientSlice = desired.slice_
    metadata = slice_.metadata.model_copy(update={"uid": UID})
    return replace(desired, slice_=slice_.model_copy(update={"metadata": metadata}))


@pytest.fixture
def expected(cluster):
    return expected_of(with_uid(cluster.plan.desired))


def applied(cluster, child):
    """The object of that kind and name, as it is applied."""
    desired = with_uid(cluster.plan.desired)
    made = next(obj for obj in desired.objects if (obj["kind"], obj["metadata"]["name"]) == child)
    return complete(desired, made)


def differ(expected, children, **more):
    return difference_of(expected, children, UID, **({"as_applied": {}} | more))


def test_each_object_has_its_owner_digest_and_order(cluster, expected):
    for child, entry in expected.items():
        metadata = applied(cluster, child)["metadata"]
        (owner,) = metadata["ownerReferences"]
        assert (owner["uid"], owner["controller"], owner["kind"]) == (UID, True, "ResilientSlice")
        assert metadata["annotations"][DIGEST_ANNOTATION] == entry.digest
    kinds = [order(kind) for kind, _ in expected]
    assert kinds == sorted(kinds)


def test_a_deployment_says_which_template_it_runs(cluster):
    stable = cluster.plan.memory.stable.services
    annotations = applied(cluster, API)["metadata"]["annotations"]
    assert annotations[REVISION_ANNOTATION] == stable["api"].digest
    assert REVISION_ANNOTATION not in applied(cluster, ("Service", "shop-api"))["metadata"]["annotations"]


def test_a_canary_says_its_own(cluster):
    cluster.edit(images={"payments": "2"}, canary={"weight": 30}).settle()
    canary = applied(cluster, ("Deployment", "shop-payments-canary"))["metadata"]["annotations"]
    stable = applied(cluster, ("Deployment", "shop-payments-stable"))["metadata"]["annotations"]
    assert canary[REVISION_ANNOTATION] == cluster.plan.memory.canary.services["payments"].digest
    assert canary[REVISION_ANNOTATION] != stable[REVISION_ANNOTATION]


def test_an_object_by_itself_is_expected_as_in_the_whole(cluster, expected):
    desired = with_uid(cluster.plan.desired)
    made = next(obj for obj in desired.objects if obj["kind"] == "ConfigMap")
    assert expected_from(desired, made) == expected["ConfigMap", made["metadata"]["name"]]


def test_the_same_needs_nothing(expected):
    assert differ(expected, stored(expected)).nothing


def test_what_is_not_there_is_made_in_order(expected):
    found = differ(expected, {})
    assert [change.action for change in found.changes] == [Action.CREATE] * len(expected)
    assert [change.id for change in found.changes] == list(expected)


def changed(expected, key=API, **fields):
    return {**stored(expected), key: replace(stored(expected)[key], **fields)}


def test_what_is_to_be_something_else_is_updated(expected):
    children = changed(expected, annotations={DIGEST_ANNOTATION: "older"})
    assert [(c.action, c.id, c.hand_over) for c in differ(expected, children).changes] == [(Action.UPDATE, API, None)]


def test_what_others_changed_is_taken_back(expected):
    children = changed(expected, shape="other")
    assert [(c.action, c.id) for c in differ(expected, children).changes] == [(Action.RETAKE, API)]


def test_what_the_api_server_does_not_keep_is_not_asked_for_again(expected):
    children = changed(expected, shape="other")
    digest = expected[API].digest
    assert differ(expected, children, as_applied={API: (digest, "other")}).nothing
    assert not differ(expected, children, as_applied={API: (digest, "else")}).nothing
    assert not differ(expected, children, as_applied={API: ("older", "other")}).nothing


def test_held_objects_are_left_alone(expected):
    assert differ(expected, changed(expected, shape="other"), held={API}).nothing


def test_what_somebody_else_controls_is_never_touched(expected):
    found = differ(expected, changed(expected, owner_uid="u-2", shape="other"))
    assert (found.changes, found.strangers) == ((), (API,))


def test_what_is_on_its_way_out_is_waited_for(expected):
    found = differ(expected, changed(expected, deleting=True))
    assert (found.changes, found.waiting) == ((), (API,))


def test_what_is_not_wanted_any_more_goes_in_reverse_order(expected):
    children = stored(expected)
    left = {key: entry for key, entry in expected.items() if "worker" not in key[1]}
    found = differ(left, children)
    assert found.gone == (
        ("Deployment", "shop-worker-stable"),
        ("NetworkPolicy", "shop-worker"),
        ("ServiceAccount", "shop-worker"),
    )
    assert not found.nothing


@pytest.mark.parametrize(
    "fields", [{"owner_uid": ""}, {"owner_uid": "u-2"}, {"deleting": True}, {"kind": "ControllerRevision"}], ids=str
)
def test_only_what_is_ours_and_rendered_is_removed(expected, fields):
    other = replace(Kept("ConfigMap", "shop-old", ""), **fields)
    assert differ(expected, {**stored(expected), (other.kind, other.name): other}).gone == ()


def autoscaled(cluster):
    cluster.service("payments").pop("replicas", None)
    cluster.service("payments")["autoscaling"] = {"minReplicas": 3, "maxReplicas": 6}
    cluster.edit().settle()
    return expected_of(with_uid(cluster.plan.desired))


def test_replicas_are_handed_to_an_autoscaler_with_their_value(cluster, expected):
    key = ("Deployment", "shop-payments-stable")
    found = autoscaled(cluster)
    assert differ(found, {}).changes[list(found).index(key)].hand_over == 3
    older = {**stored(found), key: replace(stored(expected)[key], replicas=5)}
    (change,) = differ(found, older).changes
    assert (change.id, change.hand_over) == (key, 5)
    handed = replace(stored(found)[key], shape=found[key].shape, replicas=5)
    assert differ(found, {**stored(found), key: handed}).nothing


def test_a_canary_with_an_autoscaler_starts_as_large_as_stable(cluster):
    autoscaled(cluster)
    key = ("payments", "stable")
    workloads = {k: replace(w, desired=5) if k == key else w for k, w in cluster.observed.workloads.items()}
    cluster.see(workloads=workloads).edit(images={"payments": "2"}, canary={"weight": 10}).reconcile()
    found = expected_of(with_uid(cluster.plan.desired))
    assert found["Deployment", "shop-payments-canary"].first_replicas == 5


def test_a_digest_is_of_the_content():
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})
