"""A structural OpenAPI schema from the models' JSON schema: what a CustomResourceDefinition may hold, and no more.

Defaults that say something are set by the API server; empty lists, maps and strings are not, so that a stored object
stays as short as its user wrote it. An optional object gets a default too when there are defaults inside it: without,
the API server would not look into it.
"""

from typing import Any

from resilientslice.api.crd_rules import LIST_RULES, OBJECT_RULES, CelRule
from resilientslice.api.schema import Schema, document_schema, without_null
from resilientslice.api.status import WAITING

KEPT = (
    "type",
    "description",
    "enum",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
)

MAP_KEYS = {
    ("Spec", "services"): ("name",),
    ("Service", "env"): ("name",),
    ("Service", "volumes"): ("name",),
    ("Service", "imagePullSecrets"): ("name",),
    ("Service", "routes"): ("pathPrefix",),
    ("RateLimit", "tenants"): ("name",),
    ("Status", "conditions"): ("type",),
    ("Status", "services"): ("name",),
    ("Status", "stores"): ("name",),
    ("Status", "ejections"): ("service", "host"),
    ("SloStatus", "burnRates"): ("window",),
}
"""Lists whose entries have a key: appliers of different entries don't get into each other's way."""

SETS = frozenset(
    {
        ("Service", "dependsOn"),
        ("Service", "stores"),
        ("Egress", "ports"),
        ("Front", "hosts"),
        ("Front", "trustedProxies"),
    }
)


def structural_schema() -> Schema:
    """`openAPIV3Schema` of the CRD."""
    root = document_schema()
    converted = _object(root, with_defaults=True)
    fields = root["properties"]
    converted["properties"] = {
        "apiVersion": {"type": "string", "description": "The version of this schema."},
        "kind": {"type": "string", "description": "ResilientSlice."},
        "metadata": {"type": "object"},
        "spec": _object(fields["spec"], with_defaults=True),
        "status": {**_object(fields["status"], with_defaults=False), "default": _waiting()},
    }
    converted["required"] = ["spec"]
    return converted


def _waiting() -> Schema:
    """Status of a slice that was just created."""
    told = WAITING.model_dump(mode="json", by_alias=True, include={"observed_generation", "phase", "conditions"})
    return dict(told)


def _object(node: Schema, *, with_defaults: bool) -> Schema:
    required = node.get("required", [])
    name = node["title"]
    converted = {
        **value_schema(node),
        "properties": {
            field: _field((name, field), child, required=field in required, with_defaults=with_defaults)
            for field, child in node["properties"].items()
        },
    }
    if required:
        converted["required"] = required
    return _with_rules(converted, OBJECT_RULES.get(name, ()))


def _field(place: tuple[str, str], node: Schema, *, required: bool, with_defaults: bool) -> Schema:
    value = without_null(node)
    converted = _value(place, value, with_defaults=with_defaults)
    if not with_defaults or required:
        return converted
    default = value.get("default")
    if default not in (None, "", [], {}):
        converted["default"] = default
    elif "anyOf" not in node and (inner := _defaults(converted)):
        converted["default"] = inner
    return converted


def _value(place: tuple[str, str], node: Schema, *, with_defaults: bool) -> Schema:
    if "properties" in node:
        return _object(node, with_defaults=with_defaults)
    if node.get("type") == "array":
        items = _value(place, node["items"], with_defaults=with_defaults)
        return _with_rules({**value_schema(node), "items": items, **_list_type(place)}, LIST_RULES.get(place, ()))
    if node.get("type") == "object":
        return {**value_schema(node), **_map_values(node)}
    return value_schema(node)


def value_schema(node: Schema) -> Schema:
    """What JSON schema and OpenAPI 3.0 say in the same way of a value; exclusive bounds are a bound and a boolean."""
    kept = {key: node[key] for key in KEPT if key in node}
    for bound in ("minimum", "maximum"):
        exclusive = f"exclusive{bound.capitalize()}"
        if exclusive in node:
            kept |= {bound: node[exclusive], exclusive: True}
    return kept


def _map_values(node: Schema) -> Schema:
    """A map's keys can't be bounded by a pattern here: a CEL rule does that."""
    by_pattern = node.get("patternProperties")
    values = next(iter(by_pattern.values())) if by_pattern else node.get("additionalProperties")
    if isinstance(values, dict):
        return {"additionalProperties": value_schema(values)}
    return {"x-kubernetes-preserve-unknown-fields": True}


def _list_type(place: tuple[str, str]) -> Schema:
    if place in MAP_KEYS:
        return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(MAP_KEYS[place])}
    return {"x-kubernetes-list-type": "set" if place in SETS else "atomic"}


def _defaults(node: Schema) -> Schema:
    """What an absent object holds. Written out, since the rules of an object judge its default as it is written."""
    return {field: child["default"] for field, child in node.get("properties", {}).items() if "default" in child}


def _with_rules(node: Schema, rules: tuple[CelRule, ...]) -> Schema:
    if not rules:
        return node
    return {**node, "x-kubernetes-validations": [_rule(rule) for rule in rules]}


def _rule(rule: CelRule) -> dict[str, Any]:
    written = {"rule": rule.rule, "message": rule.message}
    return {**written, "fieldPath": rule.field} if rule.field else written
