"""The kinds of objects that a slice consists of: one table, in the order in which they are applied.

What the operator watches, may do, removes and prints is derived from it, or compared with it by a test.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """`optional`: its API is an add-on's, and a cluster without it is whole: nothing of the kind exists there.

    `before_pods`: no pod of a slice starts without these, or it would run without isolation, or not at all.
    `owns_pods`: its controller starts pods."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    optional: bool = False
    before_pods: bool = False
    owns_pods: bool = False

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


SERVICE_ACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts", before_pods=True)
NETWORK_POLICY = Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", before_pods=True)
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", before_pods=True)
SERVICE = Kind("", "v1", "Service", "services")
CNPG_CLUSTER = Kind("postgresql.cnpg.io", "v1", "Cluster", "clusters", optional=True)
STATEFUL_SET = Kind("apps", "v1", "StatefulSet", "statefulsets", owns_pods=True)
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments", owns_pods=True)
AUTOSCALER = Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
DISRUPTION_BUDGET = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
INGRESS = Kind("networking.k8s.io", "v1", "Ingress", "ingresses")

RENDERED = (
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
)
"""What must be there first comes first: nothing runs before it is isolated, nor before its configuration exists."""
BEFORE_PODS = frozenset(kind.kind for kind in RENDERED if kind.before_pods)
POD_OWNERS = frozenset(kind.kind for kind in RENDERED if kind.owns_pods)
RENDERED_NAMES = frozenset(kind.kind for kind in RENDERED)
_ORDER = {kind.kind: number for number, kind in enumerate(RENDERED)}


class UnlistedKindError(LookupError):
    """An object of a kind that is not in `RENDERED`."""

    def __str__(self) -> str:
        return f"{self.args[0]} is rendered, but no kind of render/kinds.py: add it to RENDERED, where it is applied"


def order(kind: str) -> int:
    """Return the place of a kind in the order of application. Raises UnlistedKindError."""
    if kind not in _ORDER:
        raise UnlistedKindError(kind)
    return _ORDER[kind]
