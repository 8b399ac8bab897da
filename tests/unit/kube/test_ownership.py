"""What managedFields tell of drift: objects and entries as a kube-apiserver 1.35 stores them, shortened."""

import copy

import pytest

from resilientslice.kube.children import MANAGER, note_of, noted
from resilientslice.kube.ownership import (
    Ownership,
    applied_fields,
    lost_fields,
    owned_shape,
    rendered_shape,
    written,
)

RENDERED = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "shop-api", "namespace": "default", "labels": {"app": "api"}, "annotations": {"x": "y"}},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "api"}},
        "finalizers": ["a", "b"],
        "template": {
            "spec": {
                "containers": [
                    {"name": "api", "image": "api:1", "args": ["--x", "--y"], "env": [{"name": "A", "value": "1"}]}
                ],
                "volumes": [{"name": "tmp", "emptyDir": {}}],
            }
        },
        "volumeClaimTemplates": [{"spec": {}}],
    },
}
FIELDS = {
    "f:metadata": {"f:labels": {"f:app": {}}, "f:annotations": {"f:x": {}}},
    "f:spec": {
        "f:replicas": {},
        "f:selector": {},
        "f:finalizers": {'v:"a"': {}, 'v:"b"': {}},
        "f:template": {
            "f:spec": {
                "f:containers": {
                    'k:{"name":"api"}': {
                        ".": {},
                        "f:name": {},
                        "f:image": {},
                        "f:args": {},
                        "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
                    }
                },
                "f:volumes": {'k:{"name":"tmp"}': {".": {}, "f:name": {}, "f:emptyDir": {}}},
            }
        },
        "f:volumeClaimTemplates": {},
    },
}


def entry(manager, fields, operation="Apply", **more):
    return {"manager": manager, "operation": operation, "fieldsV1": fields, **more}


@pytest.fixture
def live():
    made = copy.deepcopy(RENDERED)
    made["spec"]["strategy"] = {"type": "RollingUpdate"}
    container = made["spec"]["template"]["spec"]["containers"][0]
    container["terminationMessagePath"] = "/dev/termination-log"
    made["spec"]["template"]["spec"]["containers"].insert(0, {"name": "injected", "image": "mesh"})
    made["metadata"]["managedFields"] = [
        entry("controllers", {"f:status": {"f:replicas": {}}}, "Update", subresource="status"),
        entry(MANAGER, {"f:status": {}}, subresource="status"),
        entry(MANAGER, {"f:spec": {"f:paused": {}}}, "Update"),
        entry(MANAGER, copy.deepcopy(FIELDS)),
    ]
    return made


def fields_of(live):
    return live["metadata"]["managedFields"][-1]["fieldsV1"]


def container_fields(live):
    return fields_of(live)["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"api"}']


def intact(live):
    return owned_shape(live, applied_fields(live, MANAGER)) == rendered_shape(RENDERED)


def test_what_was_applied_is_intact_whatever_others_add(live):
    assert intact(live)
    assert lost_fields(live, RENDERED, MANAGER) == ()


def test_of_an_object_that_we_never_applied_we_own_nothing(live):
    live["metadata"]["managedFields"] = live["metadata"]["managedFields"][:-1]
    assert applied_fields(live, MANAGER) == {}
    assert not intact(live)


def take_replicas(live):
    del fields_of(live)["f:spec"]["f:replicas"]
    live["metadata"]["managedFields"].append(entry("kubectl", {"f:spec": {"f:replicas": {}}}, "Update", time="2"))


def take_image(live):
    del container_fields(live)["f:image"]
    theirs = {"f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"api"}': {".": {}, "f:image": {}}}}}}}
    live["metadata"]["managedFields"].append(entry("kubectl", theirs, "Update", time="2"))


def take_container(live):
    del fields_of(live)["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"api"}']
    live["spec"]["template"]["spec"]["containers"].pop()


def take_label(live):
    del fields_of(live)["f:metadata"]["f:labels"]


def take_value(live):
    del fields_of(live)["f:spec"]["f:finalizers"]['v:"b"']


def take_variable(live):
    del container_fields(live)["f:env"]['k:{"name":"A"}']
    container_fields(live)["f:env"]['k:{"name":"B"}'] = {"f:name": {}}


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        (take_replicas, ("spec.replicas", "kubectl")),
        (take_image, ("spec.template.spec.containers[name=api].image", "kubectl")),
        (take_label, ("metadata.labels", "")),
        (take_value, ("spec.finalizers[1]", "")),
        (take_variable, ("spec.template.spec.containers[name=api].env[name=A]", "")),
    ],
    ids=lambda found: getattr(found, "__name__", ""),
)
def test_what_others_take_is_named_with_who_took_it(live, change, lost):
    change(live)
    assert not intact(live)
    assert lost_fields(live, RENDERED, MANAGER) == (lost,)


def test_a_list_that_is_lost_as_a_whole_is_drift(live):
    take_container(live)
    assert not intact(live)


def test_who_wrote_last_is_named(live):
    take_replicas(live)
    live["metadata"]["managedFields"].insert(0, entry("older", {"f:spec": {"f:replicas": {}}}, "Update", time="1"))
    live["metadata"]["managedFields"].append(entry("whole", {"f:spec": {}}, "Update", time="3"))
    assert lost_fields(live, RENDERED, MANAGER) == (("spec.replicas", "whole"),)


def test_a_field_that_is_added_to_ours_is_seen(live):
    fields_of(live)["f:spec"]["f:paused"] = {}
    live["spec"]["paused"] = True
    assert not intact(live)


class Kept:
    """Of a child, the text alone."""

    def __init__(self, shape):
        self.shape = shape


def test_the_note_of_an_object_survives_as_text(live):
    note = note_of(Kept(noted(live)))
    assert (note.fields, note.holds_replicas, note.failure) == (rendered_shape(RENDERED), True, "")
    live["status"] = {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "quota"}]}
    take_replicas(live)
    note = note_of(Kept(noted(live)))
    assert (note.holds_replicas, note.failure) == (False, "quota")
    live["status"] = {"conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}]}
    assert note_of(Kept(noted(live))).failure == "FailedCreate"
    live["status"] = {"conditions": [{"type": "ReplicaFailure", "status": "False", "message": "was"}]}
    assert note_of(Kept(noted(live))).failure == ""


def left(live, fields, rendered=RENDERED):
    owned = Ownership.of(live, rendered, MANAGER)
    return owned.without(owned.left_out(fields))


def without(*where):
    made = copy.deepcopy(RENDERED)
    inner = made
    for part in where[:-1]:
        inner = inner[part]
    del inner[where[-1]]
    return made


CONTAINER = ("spec", "template", "spec", "containers", 0)


@pytest.mark.parametrize(
    ("change", "field", "where"),
    [
        (take_replicas, "spec.replicas", ("spec", "replicas")),
        (take_image, "spec.template.spec.containers[name=api].image", (*CONTAINER, "image")),
        (take_label, "metadata.labels", ("metadata", "labels")),
        (take_label, "metadata.labels.app", ("metadata", "labels")),
        (take_value, "spec.finalizers[1]", ("spec", "finalizers", 1)),
        (take_variable, "spec.template.spec.containers[name=api].env[name=A]", (*CONTAINER, "env")),
        (take_variable, "spec.template.spec.containers[name=api].env", (*CONTAINER, "env")),
    ],
    ids=lambda found: getattr(found, "__name__", ""),
)
def test_a_field_that_others_have_is_left_out_and_nothing_else(live, change, field, where):
    assert left(live, {field}) == RENDERED, "while it is ours it is ours"
    change(live)
    assert left(live, {field}) == without(*where)
    assert left(live, {"spec.other"}) == RENDERED


def test_keys_of_a_list_stay_whatever_is_left_out(live):
    del container_fields(live)["f:name"]
    take_image(live)
    name = "spec.template.spec.containers[name=api]"
    assert left(live, {f"{name}.name", f"{name}.image"}) == without(*CONTAINER, "image")


def test_an_item_that_is_lost_as_a_whole_keeps_what_is_not_contested(live):
    """Its keys are known from whoever has it now."""
    theirs = {"f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"api"}': {".": {}, "f:image": {}}}}}}}
    del fields_of(live)["f:spec"]["f:template"]["f:spec"]["f:containers"]
    live["metadata"]["managedFields"].append(entry("kubectl", theirs, "Update", time="2"))
    assert left(live, {"spec.template.spec.containers[name=api].image"}) == without(*CONTAINER, "image")


def test_an_item_that_leaves_out_the_default_of_a_key_is_known(live):
    rendered = copy.deepcopy(RENDERED)
    rendered["spec"]["ports"] = [{"port": 80, "name": "http"}]
    fields_of(live)["f:spec"]["f:ports"] = {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:name": {}}}
    assert lost_fields(live, rendered, MANAGER) == ()
    del fields_of(live)["f:spec"]["f:ports"]['k:{"port":80,"protocol":"TCP"}']["f:name"]
    field = "spec.ports[port=80,protocol=None].name"
    assert lost_fields(live, rendered, MANAGER) == ((field, ""),)
    assert left(live, {field}, rendered)["spec"]["ports"] == [{"port": 80}]


def test_each_field_has_a_wish(live):
    wishes = Ownership.of(live, RENDERED, MANAGER).wishes()
    other = copy.deepcopy(RENDERED)
    other["spec"]["replicas"] = 3
    changed = Ownership.of(live, other, MANAGER).wishes()
    assert {name for name in wishes if wishes[name] != changed[name]} == {"spec", "spec.replicas"}
    assert written(("spec", "list", "[name=a]", "x")) == "spec.list[name=a].x"
