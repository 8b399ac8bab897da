"""Fields that are taken and do nothing yet: the slice that uses one says so, and so does `rslice validate`.

A field is on this list from the day it is in the schema to the day it acts; a test over every field of the spec holds
the list and the code together.
"""

from dataclasses import dataclass

from pydantic import BaseModel

from resilientslice.api.slice import Spec


@dataclass(frozen=True, slots=True)
class NotYet:
    """`path` of the field as in the YAML. `lacks`: what does not happen, as a sentence. `issue` that will build it."""

    path: str
    lacks: str
    issue: int

    @property
    def fields(self) -> tuple[str, ...]:
        """Its path, field by field."""
        return tuple(self.path.split("."))

    @property
    def rule(self) -> str:
        """What holds of it, without its path."""
        return f"has no effect yet: {self.lacks}"

    @property
    def message(self) -> str:
        return f"{self.path} {self.rule}"


NOT_YET: tuple[NotYet, ...] = (
    NotYet("spec.backup", "no backups are made; back the stores up by other means", issue=17),
    NotYet("spec.slo", "no error budget is computed, and none holds a canary back", issue=16),
)


def without_effect(spec: Spec) -> tuple[NotYet, ...]:
    """The fields of that list that a slice sets."""
    return tuple(entry for entry in NOT_YET if _is_set(spec, entry.fields[1:]))


def _is_set(model: BaseModel, path: tuple[str, ...]) -> bool:
    names = {info.alias or name: name for name, info in type(model).model_fields.items()}
    name = names[path[0]]
    if name not in model.model_fields_set:
        return False
    value = getattr(model, name)
    return value is not None if len(path) == 1 else isinstance(value, BaseModel) and _is_set(value, path[1:])
