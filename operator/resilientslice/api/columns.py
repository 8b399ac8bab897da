"""What `kubectl get rslice` prints, once: the CRD and docs/reference/conditions.md are made from here."""

from dataclasses import dataclass
from typing import Any

_READY = '.status.conditions[?(@.type=="Ready")]'


@dataclass(frozen=True, slots=True)
class Column:
    """`path` is a JSONPath into the resource. A `wide` column is printed by `-o wide` alone."""

    name: str
    type: str
    path: str
    says: str
    wide: bool = False

    def as_printer_column(self) -> dict[str, Any]:
        """As the CRD has it."""
        made: dict[str, Any] = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return {**made, "priority": 1} if self.wide else made


COLUMNS: tuple[Column, ...] = (
    Column("Ready", "string", f"{_READY}.status", "Whether callers are served by what the spec asks for."),
    Column("Phase", "string", ".status.phase", "One word for the whole slice."),
    Column("Canary", "string", ".status.revision.canary", "Revision of the canary track; empty without one."),
    Column("Weight", "integer", ".status.canary.weight", "Percent that every Envoy draws for the canary."),
    Column("SLO", "string", ".status.slo.sli", "Percent of the requests that succeeded in the window."),
    Column("Budget", "string", ".status.slo.budgetRemaining", "Percent of the error budget that is left."),
    Column("Ejected", "integer", ".status.ejected", "Hosts that Envoys leave out now."),
    Column("Acked", "integer", ".status.config.acked", "Envoys that run the wanted configuration."),
    Column("Age", "date", ".metadata.creationTimestamp", "Since the slice was created."),
    Column("Message", "string", f"{_READY}.message", "Why it is ready, or not.", wide=True),
)
