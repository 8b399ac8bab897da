"""What the operator deals with at the API: kinds, their paths, and the key of a slice.

A table, not discovery: the operator's RBAC names each of these, too. Kinds that are rendered stand in `render.kinds`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from resilientslice.render.kinds import (
    AUTOSCALER,
    CNPG_CLUSTER,
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    INGRESS,
    NETWORK_POLICY,
    RENDERED,
    SERVICE,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    Kind,
)

__all__ = [
    "AUTOSCALER",
    "CHILD_KINDS",
    "CNPG_CLUSTER",
    "CONFIG_MAP",
    "CONTROLLER_REVISION",
    "DEPLOYMENT",
    "DISRUPTION_BUDGET",
    "ENDPOINT_SLICE",
    "EVENT",
    "INGRESS",
    "KINDS",
    "LEASE",
    "NAMESPACE",
    "NETWORK_POLICY",
    "POD",
    "REPLICA_SET",
    "RESILIENT_SLICE",
    "SECRET",
    "SERVICE",
    "SERVICE_ACCOUNT",
    "STATEFUL_SET",
    "VOLUME_CLAIM",
    "WATCHED_KINDS",
    "Kind",
    "Object",
    "SliceKey",
    "UnknownKindError",
    "described",
    "kind_of",
]

Object = dict[str, Any]
"""A Kubernetes object as plain JSON values."""


class SliceKey(NamedTuple):
    """Which slice. What the queue, the caches and the logs go by."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class UnknownKindError(KeyError):
    """An object whose apiVersion and kind the operator doesn't deal with."""

    def __str__(self) -> str:
        return str(self.args[0])


RESILIENT_SLICE = Kind("resilientslice.dev", "v1alpha1", "ResilientSlice", "resilientslices")
POD = Kind("", "v1", "Pod", "pods")
SECRET = Kind("", "v1", "Secret", "secrets")
VOLUME_CLAIM = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
EVENT = Kind("events.k8s.io", "v1", "Event", "events")
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")
REPLICA_SET = Kind("apps", "v1", "ReplicaSet", "replicasets")
CONTROLLER_REVISION = Kind("apps", "v1", "ControllerRevision", "controllerrevisions")
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")

CHILD_KINDS = (*RENDERED, CONTROLLER_REVISION)
"""Kinds of a slice's children that are watched, by the label of their slice. Secrets are not: they are never listed."""

WATCHED_KINDS = (*CHILD_KINDS, REPLICA_SET, POD)
"""Everything that must have been listed before anything is concluded. Pods and ReplicaSets: those of proxies alone."""

_ALL = (
    *WATCHED_KINDS,
    RESILIENT_SLICE,
    SECRET,
    VOLUME_CLAIM,
    NAMESPACE,
    EVENT,
    LEASE,
    ENDPOINT_SLICE,
)
KINDS: Mapping[tuple[str, str], Kind] = {(kind.api_version, kind.kind): kind for kind in _ALL}
"""By apiVersion and kind."""


def kind_of(obj: Mapping[str, Any]) -> Kind:
    """Raises UnknownKindError."""
    found = KINDS.get((str(obj.get("apiVersion")), str(obj.get("kind"))))
    if found is None:
        raise UnknownKindError(
            f"{obj.get('apiVersion')} {obj.get('kind')} is no kind that the operator deals with: "
            "add it to render/kinds.py if it is rendered, else to kube/kinds.py, and to the operator's RBAC"
        )
    return found


def described(obj: Mapping[str, Any]) -> str:
    """`Deployment shop/shop-api`, for messages."""
    metadata = obj.get("metadata") or {}
    place = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{obj.get('kind', 'object')} {place}{metadata.get('name', '?')}"
