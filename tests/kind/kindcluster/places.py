"""Where things are: the committed inputs, what a cluster leaves in the checkout, and its names."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from testkit.disposable import CLUSTER_PREFIX

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1]
TOOLS = HERE / "tools"
NODE = HERE / "node"
STANDINS = HERE / "standins"
MANIFESTS = HERE / "manifests"
NETWORK_POLICIES = HERE / "network-policies.yaml"
"""Where kindnetd, which enforces them in plain kind, can't be had."""
AUDIT = HERE / "audit"
OUTPUT = ROOT / "build" / "kind"
DEFAULT = "e2e"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster by its name, `resilientslice-…`."""

    name: str

    @classmethod
    def named(cls, environ: Mapping[str, str]) -> "Cluster":
        """Named by CLUSTER, so that two checkouts on one machine needn't share one."""
        return cls(CLUSTER_PREFIX + (environ.get("CLUSTER") or DEFAULT))

    @property
    def context(self) -> str:
        return f"kind-{self.name}"

    @property
    def kubeconfig(self) -> Path:
        """In the checkout, `build/kind/kubeconfig`, or `build/kind/NAME.kubeconfig` for a cluster named by CLUSTER. The
        user's own ~/.kube/config is never touched."""
        own = self.name.removeprefix(CLUSTER_PREFIX)
        return OUTPUT / ("kubeconfig" if own == DEFAULT else f"{own}.kubeconfig")


def kind_environment(cluster: Cluster, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For kind and kubectl: this cluster's kubeconfig, whatever KUBECONFIG the user has."""
    return {**environ, "KUBECONFIG": str(cluster.kubeconfig)}
