"""What the operator deals with at the API: kinds, their paths, and the key of a slice.

A table, not discovery: the operator's RBAC names each of these too, and a kind that isn't in both can't work.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

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


@dataclass(frozen=True, slots=True)
class Kind:
    """`optional`: its API is an add-on's, and a cluster without it is whole: nothing of the kind exists there."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    optional: bool = False

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """Where the API server tells which kinds this version of the group has."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """`/apis/apps/v1/namespaces/NAMESPACE/deployments/NAME`; without a namespace that of all of them together."""
        place = f"/namespaces/{namespace}" if self.namespaced and namespace is not None else ""
        return f"{self.root}{place}/{self.plural}{f'/{name}' if name else ''}{f'/{subresource}' if subresource else ''}"

    def __str__(self) -> str:
        return self.kind


RESILIENT_SLICE = Kind("resilientslice.dev", "v1alpha1", "ResilientSlice", "resilientslices")
POD = Kind("", "v1", "Pod", "pods")
SECRET = Kind("", "v1", "Secret", "secrets")
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
SERVICE = Kind("", "v1", "Service", "services")
SERVICE_ACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts")
VOLUME_CLAIM = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
EVENT = Kind("events.k8s.io", "v1", "Event", "events")
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments")
REPLICA_SET = Kind("apps", "v1", "ReplicaSet", "replicasets")
STATEFUL_SET = Kind("apps", "v1", "StatefulSet", "statefulsets")
CONTROLLER_REVISION = Kind("apps", "v1", "ControllerRevision", "controllerrevisions")
AUTOSCALER = Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
DISRUPTION_BUDGET = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICY = Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")
INGRESS = Kind("networking.k8s.io", "v1", "Ingress", "ingresses")
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
CNPG_CLUSTER = Kind("postgresql.cnpg.io", "v1", "Cluster", "clusters", optional=True)

CHILD_KINDS = (
    SERVICE_ACCOUNT,
    NETWORK_POLICY,
    CONFIG_MAP,
    SERVICE,
    CNPG_CLUSTER,
    STATEFUL_SET,
    DEPLOYMENT,
    AUTOSCALER,
    DISRUPTION_BUDGET,
    INGRESS,
    CONTROLLER_REVISION,
)
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
            "add it to kube/kinds.py and to the operator's RBAC"
        )
    return found


def described(obj: Mapping[str, Any]) -> str:
    """`Deployment shop/shop-api`, for messages."""
    metadata = obj.get("metadata") or {}
    place = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{obj.get('kind', 'object')} {place}{metadata.get('name', '?')}"
