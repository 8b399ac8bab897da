"""Objects of stores that outlive their slice: their claim templates, and what keeps them."""

import copy

import pytest

from resilientslice.api.services import StoreName
from resilientslice.render.store_settings import managed, with_storage
from resilientslice.render.stores.kept import KEPT, kept_labels, protection
from resilientslice.render.stores.workload import same_claims

TEMPLATE = {
    "metadata": {"name": "data", "labels": {"a": "b"}},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def changed(change):
    made = copy.deepcopy(TEMPLATE)
    change(made)
    return made


@pytest.mark.parametrize(
    ("live", "same"),
    [
        (TEMPLATE, True),
        (changed(lambda t: t["spec"].update(volumeMode="Filesystem")), True),
        (changed(lambda t: t["metadata"]["labels"].update(more="x")), True),
        (changed(lambda t: t["spec"]["resources"]["requests"].update(storage="1024Mi")), True),
        (changed(lambda t: t["spec"]["resources"]["requests"].update(storage="2Gi")), False),
        (changed(lambda t: t["spec"].update(storageClassName="fast")), False),
        (changed(lambda t: t["spec"].update(accessModes=["ReadWriteMany"])), False),
        (changed(lambda t: t["metadata"].update(name="other")), False),
        (changed(lambda t: t["metadata"].pop("labels")), False),
    ],
)
def test_claim_templates_are_compared_by_what_counts(live, same):
    assert same_claims([live], [TEMPLATE]) is same
    assert not same_claims([], [TEMPLATE])


def test_other_sizes_change_nothing_else(shop):
    assert with_storage(shop, {}) is shop
    postgres = managed(shop, StoreName.POSTGRES)
    assert with_storage(shop, {StoreName.POSTGRES: postgres.storage}) is shop
    larger = with_storage(shop, {StoreName.POSTGRES: "9Gi"})
    assert managed(larger, StoreName.POSTGRES) == postgres.model_copy(update={"storage": "9Gi"})
    assert managed(larger, StoreName.REDIS) == managed(shop, StoreName.REDIS)


def test_what_is_kept_already_is_not_written_again(shop):
    labels = kept_labels(shop, StoreName.POSTGRES)
    present = {"metadata": {"uid": "u", "labels": labels, "annotations": dict(KEPT)}}
    assert protection(shop, StoreName.POSTGRES, present) is None
    theirs = {**KEPT, "helm.sh/resource-policy": "theirs"}
    assert protection(shop, StoreName.POSTGRES, {"metadata": {**present["metadata"], "annotations": theirs}}) is None


def test_labels_that_somebody_changed_stay(shop):
    labels = {**kept_labels(shop, StoreName.POSTGRES), "app.kubernetes.io/instance": "theirs"}
    labels |= {"app.kubernetes.io/part-of": "shop"}
    change = protection(shop, StoreName.POSTGRES, {"metadata": {"uid": "u", "labels": labels}})
    assert change == {
        "metadata": {"uid": "u", "labels": {"app.kubernetes.io/part-of": None}, "annotations": dict(KEPT)}
    }
