"""Where things are: the committed inputs, what a cluster leaves in the checkout, and its names."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1]
TOOLS = HERE / "tools"
NODE = HERE / "node"
STANDINS = HERE / "standins"
MANIFESTS = HERE / "manifests"
OUTPUT = ROOT / "build" / "kind"
PREFIX = "resilientslice-"
"""Of every cluster made here; kind puts `kind-` before it in the names of a kubeconfig."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster by its name, `resilientslice-…`."""

    name: str

    @classmethod
    def named(cls, environ: Mapping[str, str]) -> "Cluster":
        """Named by CLUSTER, so that two checkouts on one machine needn't share one."""
        return cls(PREFIX + (environ.get("CLUSTER") or "e2e"))

    @property
    def context(self) -> str:
        return f"kind-{self.name}"

    @property
    def kubeconfig(self) -> Path:
        """In the checkout: the user's own ~/.kube/config is never touched."""
        return OUTPUT / "kubeconfig"


def kind_environment(cluster: Cluster, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For kind and kubectl: this cluster's kubeconfig, whatever KUBECONFIG the user has."""
    return {**environ, "KUBECONFIG": str(cluster.kubeconfig)}
