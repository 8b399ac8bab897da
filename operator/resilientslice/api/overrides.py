"""Models in which every field may be absent, derived from the model whose fields they override.

A field that is added to the model is a field of its override, with the same bounds and description.
"""

from typing import Annotated, Any, Optional, TypeVar, cast

from pydantic import Field, create_model

from resilientslice.api.base import Model

M = TypeVar("M", bound=Model)


def override_of(model: type[M]) -> type[M]:
    """Return a model `…Override` with the fields of `model`: absent ones are None, nested models are overrides, too.

    Static types are those of `model`, so what a checker calls a value may be None. Put an override over a model with
    `overridden`.
    """
    fields: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        kind: Any = info.annotation
        if isinstance(kind, type) and issubclass(kind, Model):
            kind = override_of(kind)
        elif info.metadata:
            kind = Annotated[(kind, *info.metadata)]
        fields[name] = (Optional[kind], Field(default=None, alias=info.alias, description=info.description))  # noqa: UP045
    made: Any = create_model(
        f"{model.__name__}Override",
        __base__=Model,
        __module__=model.__module__,
        __doc__=f"Overrides of {model.__name__}. An absent field is the slice's.",
        **fields,
    )
    return cast(type[M], made)


def given(override: Model | None, *path: str) -> Any:
    """Return the value that an override has for a field, None where it has none."""
    value: Any = override
    for name in path:
        value = None if value is None else getattr(value, name)
    return value


def overridden(base: M, *overrides: Model | None) -> M:
    """Return `base` with each override's fields put over it, the last one winning."""
    values = base.model_dump()
    for override in overrides:
        if override is not None:
            _overlay(values, override.model_dump(exclude_none=True))
    return type(base).model_validate(values)


def _overlay(values: dict[str, object], override: dict[str, object]) -> None:
    for name, value in override.items():
        current = values.get(name)
        if isinstance(current, dict) and isinstance(value, dict):
            _overlay(current, value)
        else:
            values[name] = value
