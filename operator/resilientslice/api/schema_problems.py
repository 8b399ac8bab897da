"""pydantic's errors in our words: the same form, the same place names and the same tone as the rules' own problems."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic_core import ErrorDetails

from resilientslice.api.problems import Path, Problem, missing, nearest, one_of, problem
from resilientslice.api.scalars import FORMATS
from resilientslice.api.schema import schema_at, without_null
from resilientslice.api.shapes import meant_by, right_shape
from resilientslice.api.slice import BAD_NAME

NULL = "has no value"
_OPAQUE = ("affinity",)
"""Fields that are passed on as they are, whatever is in them."""

_KINDS = {
    dict: "a mapping",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "a whole number",
    float: "a number",
    type(None): "nothing",
}
_WANTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}


def schema_problems(errors: Iterable[ErrorDetails], data: Any) -> Iterator[Problem]:
    """Every error of the schema, and every explicit null, which the API server refuses as well."""
    nulls = set(null_paths(data))
    for path in sorted(nulls, key=str):
        yield missing(path, NULL, "remove the line, or give it a value")
    for details in errors:
        path = _path(details["loc"])
        if path not in nulls and not _follows_from_others(details):
            yield _problem(path, details)


def _follows_from_others(details: ErrorDetails) -> bool:
    """A list counts as too short for pydantic when its entries are wrong: that is no problem of its own."""
    return details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"]


def null_paths(data: Any) -> Iterator[Path]:
    """Places below `spec` that hold an explicit null."""
    if isinstance(data, Mapping) and isinstance(data.get("spec"), Mapping):
        yield from _nulls(data["spec"], ("spec",))


def _nulls(node: Any, path: Path) -> Iterator[Path]:
    if node is None:
        yield path
    elif isinstance(node, Mapping):
        for key, value in node.items():
            if key not in _OPAQUE:
                yield from _nulls(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _nulls(value, (*path, index))


def _path(loc: Iterable[str | int]) -> Path:
    """pydantic marks the key of a mapping by a last part of its own; the path without it leads to the same place."""
    return tuple(part for part in loc if part != "[key]")


def _problem(path: Path, details: ErrorDetails) -> Problem:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_field(path)
    if kind == "missing":
        return missing(path, "is required", _example(path))
    if kind in {"enum", "literal_error"}:
        return _not_in_list(path, value)
    if kind in _WANTED:
        return _wrong_type(path, value, _WANTED[kind])
    if path == ("metadata", "name"):
        return problem(path, value, BAD_NAME, "choose another one: all names in the cluster are made from it")
    return problem(path, value, _bound(kind, context) or details["msg"])


def _bound(kind: str, context: Mapping[str, Any]) -> str:
    """The rule of a bound that was overstepped, or "" for what is no bound."""
    amount = next(
        (context[name] for name in ("max_length", "min_length", "le", "ge", "gt", "lt") if name in context), None
    )
    texts = {
        "string_pattern_mismatch": f"must be {FORMATS.get(context.get('pattern', ''), 'as its pattern says')}",
        "string_too_long": f"must be at most {amount} characters long",
        "string_too_short": f"must be at least {amount} character long"
        if amount == 1
        else f"must be {amount} or longer",
        "too_long": f"must have at most {amount} entries",
        "too_short": f"must have at least {amount} entry",
        "less_than_equal": f"must be less than or equal to {amount}",
        "greater_than_equal": f"must be greater than or equal to {amount}",
    }
    return texts.get(kind, "")


def _wrong_type(path: Path, value: Any, wanted: str) -> Problem:
    found = _KINDS.get(type(value), type(value).__name__)
    return problem(path, value, f"must be {wanted}, not {found}", right_shape(path, value, wanted))


def _not_in_list(path: Path, value: Any) -> Problem:
    node = schema_at(path)
    allowed = [str(choice) for choice in node.get("enum", [node.get("const", "")]) if choice != ""]
    meant = nearest(value, allowed) if isinstance(value, str) else None
    return problem(path, value, f"must be {one_of(allowed)}", f"did you mean {meant}?" if meant else "")


def _unknown_field(path: Path) -> Problem:
    *parent, name = path
    where = schema_at(tuple(parent))
    known = where.get("properties", {})
    foreign, meant = meant_by(str(name)) if "image" in known else "", nearest(str(name), known)
    if foreign:
        fix = foreign
    elif meant:
        fix = f"did you mean {meant}?"
    elif inside := [child for child, node in known.items() if name in without_null(node).get("properties", {})]:
        fix = f"it belongs into {one_of(inside)}"
    else:
        fix = f"known here: {', '.join(sorted(known))}"
    return missing(path, "unknown field", fix)


def _example(path: Path) -> str:
    description = str(schema_at(path).get("description", ""))
    first = description.partition(". ")[0].rstrip(".")
    return f"add it: {first}" if first else "add it"
