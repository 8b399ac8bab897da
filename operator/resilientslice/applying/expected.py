"""What is rendered, made ready to be applied: with its owner, its digest, and what tells it from what is there."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from resilientslice.api.slice import API_VERSION, KIND, ResilientSlice
from resilientslice.kube.children import ASKED_ANNOTATION, DIGEST_ANNOTATION, REVISION_ANNOTATION, ChildId
from resilientslice.kube.ownership import rendered_shape
from resilientslice.planning.desired import Desired
from resilientslice.render.metadata import Component, Object
from resilientslice.render.names import LABEL_COMPONENT, LABEL_SERVICE, LABEL_TRACK, Track

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Expected:
    """`first_replicas`: what a Deployment starts with whose `replicas` an autoscaler decides; None for all others.

    This is kept of every object of every slice, and the object is not: it is rendered again (`complete`) in the rare
    case that it has to be written. The texts are those that the cache of children holds too, each kept once.
    """

    id: ChildId
    digest: str
    shape: str
    first_replicas: int | None

    notes: Mapping[str, str]
    """What its annotations say of how it was made, as `_notes`."""


def expected_of(desired: Desired) -> dict[ChildId, Expected]:
    """Every object of the slice, in the order in which they are applied."""
    sizes = {made["metadata"]["name"]: made["spec"] for made in desired.objects if _is_autoscaler(made)}
    found = (_expected(desired, made, sizes) for made in desired.objects)
    return {expected.id: expected for expected in found}


def expected_from(desired: Desired, made: Object) -> Expected:
    """Of one object that is no service's."""
    return _expected(desired, made, {})


def complete(desired: Desired, made: Object) -> Object:
    """`made` as it is applied: with its owner, what it was made from, and its own digest."""
    return _complete(desired, made, _notes(desired, made))


def owned(slice_: ResilientSlice, made: Mapping[str, Any]) -> Object:
    """`made` with the slice as its controller."""
    reference = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": slice_.name,
        "uid": slice_.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {**made, "metadata": {**made["metadata"], "ownerReferences": [reference]}}


def annotated(made: Mapping[str, Any], annotations: Mapping[str, str]) -> Object:
    present = made["metadata"].get("annotations", {})
    return {**made, "metadata": {**made["metadata"], "annotations": {**present, **annotations}}}


def digest_of(made: Mapping[str, Any]) -> str:
    """16 hexadecimal digits of the canonical JSON."""
    return hashlib.sha256(json.dumps(made, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def _expected(desired: Desired, made: Object, sizes: Mapping[str, Any]) -> Expected:
    notes = _notes(desired, made)
    whole = _complete(desired, made, notes)
    return Expected(
        id=(sys.intern(whole["kind"]), sys.intern(whole["metadata"]["name"])),
        digest=sys.intern(whole["metadata"]["annotations"][DIGEST_ANNOTATION]),
        shape=sys.intern(rendered_shape(whole)),
        first_replicas=_first_replicas(desired, made, sizes),
        notes={sys.intern(name): sys.intern(value) for name, value in notes.items()} or NOTHING,
    )


def _complete(desired: Desired, made: Object, notes: Mapping[str, str]) -> Object:
    whole = owned(desired.slice_, made)
    if notes:
        whole = annotated(whole, notes)
    return annotated(whole, {DIGEST_ANNOTATION: digest_of(whole)})


def _notes(desired: Desired, made: Mapping[str, Any]) -> dict[str, str]:
    """On Deployments of services and of proxies: what their pods are made from."""
    labels = made["metadata"].get("labels", {})
    if made["kind"] == "Deployment" and labels.get(LABEL_COMPONENT) == Component.PROXY:
        asked = desired.slice_.spec.proxy.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return {REVISION_ANNOTATION: digest_of(made["spec"]["template"]), ASKED_ANNOTATION: digest_of(asked)}
    template = _template_digest(desired, made)
    return {REVISION_ANNOTATION: template} if template else {}


def _template_digest(desired: Desired, made: Mapping[str, Any]) -> str:
    """Of the revision that a service's Deployment runs; empty for everything else."""
    labels = made["metadata"].get("labels", {})
    if made["kind"] != "Deployment" or LABEL_TRACK not in labels:
        return ""
    canary = desired.canary is not None and labels[LABEL_TRACK] == Track.CANARY.value
    revision = desired.canary.revision if canary and desired.canary else desired.stable
    return revision.services[labels[LABEL_SERVICE]].digest


def _first_replicas(desired: Desired, made: Mapping[str, Any], sizes: Mapping[str, Any]) -> int | None:
    """A canary starts as large as stable is, like one without an autoscaler."""
    autoscaler = sizes.get(made["metadata"]["name"])
    if made["kind"] != "Deployment" or "replicas" in made["spec"] or autoscaler is None:
        return None
    service = made["metadata"]["labels"][LABEL_SERVICE]
    stable = desired.canary.stable_sizes.get(service, 0) if desired.canary else 0
    return int(min(max(autoscaler["minReplicas"], stable), autoscaler["maxReplicas"]))


def _is_autoscaler(made: Mapping[str, Any]) -> bool:
    return bool(made["kind"] == "HorizontalPodAutoscaler")
