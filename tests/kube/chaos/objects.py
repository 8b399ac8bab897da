"""Questions about stored objects that controllers, kubelets and judges ask alike."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.kube.chaos.api import Object

HASH = "pod-template-hash"


def name_of(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"]["name"])


def uid_of(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"]["uid"])


def deleting(obj: Mapping[str, Any]) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def controller_of(obj: Mapping[str, Any]) -> str:
    """UID, empty without one."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")


def owner_reference(owner: Object, version: str) -> Object:
    return {
        "apiVersion": version,
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def labels_of(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def selected(selector: Mapping[str, str], obj: Mapping[str, Any]) -> bool:
    labels = labels_of(obj)
    return bool(selector) and all(labels.get(name) == value for name, value in selector.items())


def condition(obj: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Empty without one."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((found for found in conditions if found["type"] == kind), {})


def is_ready(pod: Mapping[str, Any]) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def serving(pods: Iterable[Object]) -> list[Object]:
    """Those that a Service sends requests to."""
    return [pod for pod in pods if is_ready(pod) and not deleting(pod)]


def short_hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]


def main_container(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = pod["spec"]["containers"][0]
    return found


SLICE = "resilientslice.dev/slice"
"""Label of everything that a slice owns."""


def variable(pod: Mapping[str, Any], name: str) -> str:
    """Of the main container, empty without one or if it has no plain value."""
    env = main_container(pod).get("env") or ()
    return next((str(one.get("value", "")) for one in env if one["name"] == name), "")


def listens(pod: Mapping[str, Any]) -> dict[int, str]:
    """Port → protocol, as its template says and so its image does."""
    return {
        port["containerPort"]: "grpc" if port.get("name") == "grpc" else "http"
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
    }


VERSION = "RSLICE_VERSION"
"""The variable that tells the digest of a service."""


def truth(found: Mapping[str, Any], kind: str) -> str:
    """The status of a condition, empty without it."""
    return str(condition(found, kind).get("status", ""))
