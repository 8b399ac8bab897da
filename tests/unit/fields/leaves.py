"""Every leaf of a model's schema, and values to try there: what a test that looks at each field walks over."""

import copy
import json
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from resilientslice.api.base import Model

EACH = "[]"
"""Stands for every item of a list in the path of a leaf."""
KEY = "{}"
"""Stands for every key of a mapping."""

Path = tuple[str, ...]
Spot = tuple[str | int, ...]


@dataclass(frozen=True)
class Leaf:
    """A field that holds no further fields. `path` as in the YAML, with `[]` and `{}`; `adapter` knows its bounds."""

    path: Path
    adapter: TypeAdapter[Any]
    kind: Any

    @property
    def name(self) -> str:
        """As docs write it: `services[].probes.readiness.httpGet.path`."""
        return ".".join(self.path).replace(f".{EACH}", EACH).replace(f".{KEY}", KEY)


def leaves(model: type[Model], at: Path = ()) -> Iterator[Leaf]:
    """All leaves of a model, in the order of its fields."""
    for name, info in model.model_fields.items():
        yield from _leaves_of(info.annotation, info, (*at, info.alias or name))


def _leaves_of(kind: Any, info: FieldInfo | None, at: Path) -> Iterator[Leaf]:
    inner = _without_none(kind)
    origin, args = get_origin(inner), get_args(inner)
    if isinstance(inner, type) and issubclass(inner, Model):
        yield from leaves(inner, at)
    elif origin is tuple and isinstance(args[0], type) and issubclass(args[0], Model):
        yield from leaves(args[0], (*at, EACH))
    elif origin is dict and at[-1] != KEY and args[1] is not Any:
        yield from _leaves_of(args[1], None, (*at, KEY))
    else:
        yield Leaf(at, _adapter(kind, info), inner)


def _without_none(kind: Any) -> Any:
    while get_origin(kind) in (Union, types.UnionType) or hasattr(kind, "__metadata__"):
        kind = next(arg for arg in get_args(kind) if arg is not type(None))
    return kind


def _adapter(kind: Any, info: FieldInfo | None) -> TypeAdapter[Any]:
    if info is None or not info.metadata:
        return TypeAdapter(kind)
    return TypeAdapter(Annotated[(kind, *info.metadata)])


def spots(leaf: Leaf, document: Any) -> Iterator[Spot]:
    """Where a leaf is, or would be, in a document: each item of its lists, the first one of a list that is empty."""
    yield from _spots(leaf.path, document, ())


def _spots(path: Path, value: Any, at: Spot) -> Iterator[Spot]:
    if not path:
        yield at
        return
    head, rest = path[0], path[1:]
    if head == EACH:
        for index in range(max(1, len(value or ()))):
            yield from _spots(rest, value[index] if value else None, (*at, index))
    elif head == KEY:
        for key in value or ():
            yield from _spots(rest, value[key], (*at, key))
    else:
        yield from _spots(rest, value.get(head) if isinstance(value, dict) else None, (*at, head))


def changed(document: Any, spot: Spot, value: Any) -> Any:
    """A copy of a document with a value at a spot; what is missing on the way is made."""
    made = copy.deepcopy(document)
    here = made
    for step, following in pairwise(spot):
        empty: Any = [] if isinstance(following, int) else {}
        if isinstance(here, list) and step == len(here):
            here.append(empty)
        elif isinstance(here, dict) and here.get(step) is None:
            here[step] = empty
        here = here[step]
    if isinstance(here, list) and spot[-1] == len(here):
        here.append(value)
    else:
        here[spot[-1]] = value
    return made


def values_for(leaf: Leaf, texts: Sequence[str]) -> list[Any]:
    """Values that the leaf's own bounds allow. `texts`: what to try where it takes text, or a list of texts."""
    return [value for value in _candidates(leaf, texts) if _allowed(leaf, value)]


def _candidates(leaf: Leaf, texts: Sequence[str]) -> Iterator[Any]:
    kind, origin = leaf.kind, get_origin(leaf.kind)
    if kind is bool:
        yield from (True, False)
    elif kind is int:
        yield from (3, 7, 2, 1, 16, 41, 8081, 0, 100, 1000, *_edges(leaf))
    elif origin is Literal:
        yield from get_args(kind)
    elif isinstance(kind, type) and issubclass(kind, StrEnum):
        yield from (member.value for member in kind)
    elif origin is tuple:
        item = Leaf(leaf.path, TypeAdapter(get_args(kind)[0]), _without_none(get_args(kind)[0]))
        yield from ([value] for value in values_for(item, texts))
        yield []
    elif origin is dict:
        yield {"nodeAffinity": {}}
    else:
        yield from texts


def _edges(leaf: Leaf) -> Iterator[int]:
    schema = leaf.adapter.json_schema()
    for part in (schema, *schema.get("anyOf", ())):
        yield from (part[key] for key in ("minimum", "maximum") if key in part)


def _allowed(leaf: Leaf, value: Any) -> bool:
    try:
        leaf.adapter.validate_json(json.dumps(value))
    except ValidationError:
        return False
    return True
