"""Credentials and volumes outlive their slice and have no owner: how they are kept from tools that remove such objects.

A GitOps tool takes what carries its label, isn't in its repository and has no owner for left over. So these carry no
label that anyone tracks by, and say in the tools' own words that they stay.
"""

from collections.abc import Mapping
from typing import Any

from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.render.metadata import Component, Object, labels, store_selector
from resilientslice.render.names import LABEL_SLICE

KEPT: Mapping[str, str] = {
    "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
    "argocd.argoproj.io/sync-options": "Prune=false",
    "helm.sh/resource-policy": "keep",
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
}
"""Annotations, each of a tool that would prune."""


def kept_labels(slice_: ResilientSlice, store: StoreName) -> dict[str, str]:
    """Those of the claim templates, which can't be changed any more: nobody tracks by them."""
    return store_selector(slice_, store)


def protection(slice_: ResilientSlice, store: StoreName, present: Mapping[str, Any]) -> Object | None:
    """The change of metadata that keeps a Secret or a claim, as a merge patch; None where nothing is to change.

    What doesn't carry the slice's label was made by someone else, who may track it as he likes. Labels that an earlier
    operator gave are taken back; those that someone changed are his.
    """
    metadata = present["metadata"]
    labelled, noted = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if labelled.get(LABEL_SLICE) != slice_.name:
        return None
    kept = kept_labels(slice_, store)
    given = labels(slice_, store.value, Component.STORE)
    stale = {name: None for name, value in given.items() if name not in kept and labelled.get(name) == value}
    missing = {name: value for name, value in KEPT.items() if name not in noted}
    if not stale and not missing:
        return None
    return {"metadata": {"uid": metadata["uid"], "labels": stale, "annotations": missing}}
