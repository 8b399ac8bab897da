"""What a managed PostgreSQL and a managed Redis have in common: one pod, one volume that outlives it, one Service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resilientslice.api.scalars import quantity_value
from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.stores import ManagedPostgres, ManagedRedis
from resilientslice.render.metadata import Component, Object, labels, metadata, store_selector
from resilientslice.render.names import DOMAIN, store_name
from resilientslice.render.revision import digest
from resilientslice.render.security import isolation, pod_security
from resilientslice.render.store_settings import STORE_PORTS

DATA = "data"
CREDENTIALS = "/run/secrets/resilientslice"
CONFIGURATION = "configuration"


@dataclass(frozen=True, slots=True)
class Workload:
    """What differs. `pod` is added to the pod's spec; `files` are of the ConfigMap, and a change to one restarts the
    store.
    """

    store: StoreName
    settings: ManagedPostgres | ManagedRedis
    container: Object
    volumes: tuple[Object, ...]
    pod: Object
    files: Mapping[str, str]
    grace_seconds: int


def render_stateful_set(slice_: ResilientSlice, workload: Workload) -> Object:
    name = store_name(slice_.name, workload.store)
    labelled = labels(slice_, workload.store.value, Component.STORE)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(slice_, name, labelled),
        "spec": {
            "serviceName": name,
            "replicas": 1,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": store_selector(slice_, workload.store)},
            "updateStrategy": {"type": "RollingUpdate"},
            # never Delete, whatever the slice's deletionPolicy: a StatefulSet is also deleted to be made anew
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "template": _template(workload, labelled, name),
            "volumeClaimTemplates": [_claim(slice_, workload)],
        },
    }


def claim_name(slice_name: str, store: StoreName) -> str:
    """The volume claim that the StatefulSet's controller makes for its one pod."""
    return f"{DATA}-{store_name(slice_name, store)}-0"


def same_claims(live: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]) -> bool:
    """Whether claim templates as stored are those that are wanted, whatever the API server added to them."""
    return len(live) == len(wanted) and all(_same_claim(*pair) for pair in zip(live, wanted, strict=True))


def _same_claim(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    labelled = live["metadata"].get("labels") or {}
    if live["metadata"]["name"] != wanted["metadata"]["name"]:
        return False
    if any(labelled.get(name) != value for name, value in wanted["metadata"]["labels"].items()):
        return False
    return _settled_by(live["spec"]) == _settled_by(wanted["spec"])


def _settled_by(spec: Mapping[str, Any]) -> tuple[object, ...]:
    size = quantity_value(spec["resources"]["requests"]["storage"])
    return size, list(spec["accessModes"]), spec.get("storageClassName")


def render_store_service(slice_: ResilientSlice, store: StoreName) -> Object:
    port = STORE_PORTS[store]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(slice_, store_name(slice_.name, store), labels(slice_, store.value, Component.STORE)),
        "spec": {
            "type": "ClusterIP",
            "selector": store_selector(slice_, store),
            "ports": [{"name": store.value, "port": port, "targetPort": port, "protocol": "TCP"}],
        },
    }


def render_configuration(slice_: ResilientSlice, workload: Workload) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(
            slice_, store_name(slice_.name, workload.store), labels(slice_, workload.store.value, Component.STORE)
        ),
        "data": dict(workload.files),
    }


def _template(workload: Workload, labelled: dict[str, str], name: str) -> Object:
    return {
        "metadata": {
            "labels": labelled,
            "annotations": {f"{DOMAIN}/configuration": digest(dict(workload.files))},
        },
        "spec": {
            **isolation(name),
            "securityContext": pod_security(),
            "terminationGracePeriodSeconds": workload.grace_seconds,
            "containers": [workload.container],
            **workload.pod,
            "volumes": [
                {"name": CONFIGURATION, "configMap": {"name": name}},
                {"name": "credentials", "secret": {"secretName": name, "defaultMode": 0o440}},
                *workload.volumes,
            ],
        },
    }


def _claim(slice_: ResilientSlice, workload: Workload) -> Object:
    """Labelled with the slice only: claim templates can never change, and no newer operator may want them to."""
    settings = workload.settings
    storage_class = {"storageClassName": settings.storage_class_name} if settings.storage_class_name else {}
    return {
        "metadata": {"name": DATA, "labels": store_selector(slice_, workload.store)},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            **storage_class,
            "resources": {"requests": {"storage": settings.storage}},
        },
    }
