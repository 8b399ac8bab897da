"""Labels and metadata of everything that is rendered: what people filter by and what selectors match."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.render.names import LABEL_COMPONENT, LABEL_SERVICE, LABEL_SLICE, LABEL_TRACK, Track

Object = dict[str, Any]
"""A Kubernetes object, or a part of one, as plain JSON values."""


class Component(StrEnum):
    """What a pod is in its slice. NetworkPolicies tell proxies, services and stores apart by it."""

    SERVICE = "service"
    PROXY = "proxy"
    STORE = "store"


def labels(slice_: ResilientSlice, name: str, component: Component) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/instance": slice_.name,
        LABEL_COMPONENT: component.value,
        "app.kubernetes.io/part-of": slice_.name,
        "app.kubernetes.io/managed-by": "resilientslice",
        LABEL_SLICE: slice_.name,
    }


def service_labels(slice_: ResilientSlice, service: str, track: Track | None = None) -> dict[str, str]:
    named = labels(slice_, service, Component.SERVICE) | {LABEL_SERVICE: service}
    return named | {LABEL_TRACK: track.value} if track else named


def slice_labels(slice_: ResilientSlice) -> dict[str, str]:
    """Of what belongs to no single component."""
    named = labels(slice_, slice_.name, Component.SERVICE)
    del named[LABEL_COMPONENT]
    return named


def metadata(
    slice_: ResilientSlice, name: str, labelled: Mapping[str, str], annotations: Mapping[str, str] | None = None
) -> Object:
    noted = {"annotations": dict(annotations)} if annotations else {}
    return {"name": name, "namespace": slice_.namespace, "labels": dict(labelled), **noted}


# Selectors of Deployments and StatefulSets can never change: only labels that mean the same for ever are in them.


def service_selector(slice_: ResilientSlice, service: str, track: Track | None = None) -> dict[str, str]:
    """Matches the pods of a service, of one track or of both."""
    selected = {LABEL_SLICE: slice_.name, LABEL_SERVICE: service}
    return selected | {LABEL_TRACK: track.value} if track else selected


def proxy_selector(slice_: ResilientSlice) -> dict[str, str]:
    return {LABEL_SLICE: slice_.name, LABEL_COMPONENT: Component.PROXY.value}


def store_selector(slice_: ResilientSlice, store: StoreName) -> dict[str, str]:
    return {
        LABEL_SLICE: slice_.name,
        LABEL_COMPONENT: Component.STORE.value,
        "app.kubernetes.io/name": store.value,
    }
