"""Marks a kubeconfig as disposable: whatever its cluster holds may be destroyed by tests.

The name alone would not do, since anyone may call a cluster anything; the extension is written by nothing but this.
"""

from collections.abc import Mapping
from typing import Any

EXTENSION = "resilientslice.dev/disposable"
CLUSTER_PREFIX = "resilientslice-"
"""Of every cluster that `make cluster-up` makes; kind puts `kind-` before it in the names of a kubeconfig."""
CONTEXT_PREFIX = f"kind-{CLUSTER_PREFIX}"


def marked(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same kubeconfig with the mark on each of its clusters."""
    mark = {"name": EXTENSION, "extension": {"disposable": True}}
    return {
        **config,
        "clusters": [
            {**entry, "cluster": {**entry["cluster"], "extensions": [*_others(entry["cluster"]), mark]}}
            for entry in config.get("clusters") or ()
        ],
    }


def is_disposable(config: Mapping[str, Any]) -> bool:
    """Whether the current context, and the cluster behind it, were made to be thrown away."""
    context = config.get("current-context") or ""
    names = [entry["context"]["cluster"] for entry in config.get("contexts") or () if entry["name"] == context]
    clusters = [entry for entry in config.get("clusters") or () if [entry["name"]] == names]
    return context.startswith(CONTEXT_PREFIX) and len(clusters) == 1 and _has_mark(clusters[0]["cluster"])


def _others(cluster: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [extension for extension in cluster.get("extensions") or () if extension["name"] != EXTENSION]


def _has_mark(cluster: Mapping[str, Any]) -> bool:
    found = [e["extension"] for e in cluster.get("extensions") or () if e["name"] == EXTENSION]
    return found == [{"disposable": True}]
