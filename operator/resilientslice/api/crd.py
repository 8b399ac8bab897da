"""The CustomResourceDefinition, made from the models: one source for what the API server and Python accept."""

from typing import Any

from resilientslice.api.columns import COLUMNS
from resilientslice.api.crd_schema import structural_schema
from resilientslice.api.slice import GROUP, KIND, PLURAL, SHORT_NAME, SINGULAR, VERSION


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
                    "additionalPrinterColumns": [column.as_printer_column() for column in COLUMNS],
                    "schema": {"openAPIV3Schema": structural_schema()},
                }
            ],
        },
    }
