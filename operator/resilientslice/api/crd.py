"""The CustomResourceDefinition, made from the models: one source for what the API server and Python accept."""

from typing import Any

from resilientslice.api.crd_schema import structural_schema
from resilientslice.api.slice import GROUP, KIND, PLURAL, SHORT_NAME, SINGULAR, VERSION

_READY = '.status.conditions[?(@.type=="Ready")]'

COLUMNS = (
    ("Ready", "string", f"{_READY}.status", 0),
    ("Phase", "string", ".status.phase", 0),
    ("Canary", "string", ".status.revision.canary", 0),
    ("Weight", "integer", ".status.canary.weight", 0),
    ("SLO", "string", ".status.slo.sli", 0),
    ("Budget", "string", ".status.slo.budgetRemaining", 0),
    ("Ejected", "integer", ".status.ejected", 0),
    ("Acked", "integer", ".status.config.acked", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Message", "string", f"{_READY}.message", 1),
)
"""Name, type, path and priority; 1 is shown by `-o wide` only."""


def crd() -> dict[str, Any]:
    """The object to apply. Nothing in it is newer than Kubernetes 1.29."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": SINGULAR,
                "shortNames": [SHORT_NAME],
                "categories": ["all"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*column) for column in COLUMNS],
                    "schema": {"openAPIV3Schema": structural_schema()},
                }
            ],
        },
    }


def _column(name: str, kind: str, path: str, priority: int) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path}
    return {**column, "priority": priority} if priority else column
