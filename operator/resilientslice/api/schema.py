"""The JSON schema of the models, with every reference resolved: what the CRD, the reference and error messages read."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from resilientslice.api.problems import Path
from resilientslice.api.slice import ResilientSlice

Schema = dict[str, Any]


@cache
def document_schema() -> Schema:
    """The whole resource. Shared between callers: not to be changed."""
    return resolved_schema(ResilientSlice)


def resolved_schema(model: type[BaseModel]) -> Schema:
    """The schema of a model without `$ref`; `title` keeps the name of the type where an object is one."""
    schema = model.model_json_schema(by_alias=True)
    resolved: Schema = _resolve(schema, schema.get("$defs", {}))
    return resolved


@cache
def type_descriptions() -> dict[str, str]:
    """What each type says of itself, which in the resolved schema is hidden by what its field says."""
    definitions = ResilientSlice.model_json_schema(by_alias=True)["$defs"]
    return {name: str(node.get("description", "")) for name, node in definitions.items()}


def _resolve(node: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_resolve(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    target = definitions[node["$ref"].rpartition("/")[2]] if "$ref" in node else {}
    # what stands beside a reference says more than what it refers to
    merged = {**target, **{key: value for key, value in node.items() if key not in {"$ref", "$defs"}}}
    return {key: _resolve(value, definitions) for key, value in merged.items()}


def without_null(schema: Schema) -> Schema:
    """An optional field's schema as that of its value: absence is not a value."""
    variants = [variant for variant in schema.get("anyOf", ()) if variant.get("type") != "null"]
    if len(variants) != 1:
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf" and not (key == "default" and value is None)}
    return {**variants[0], **rest}


def schema_at(path: Path) -> Schema:
    """The schema of the place that a path leads to; empty where the schema says nothing."""
    node = document_schema()
    for part in path:
        node = without_null(_step(node, part))
    return node


def _step(node: Schema, part: str | int) -> Schema:
    if isinstance(part, int):
        items = node.get("items", {})
        return items if isinstance(items, dict) else {}
    child = node.get("properties", {}).get(part, {})
    return child if isinstance(child, dict) else {}
