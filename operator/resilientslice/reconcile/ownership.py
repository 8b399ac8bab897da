"""Who owns which field of an object, read from `metadata.managedFields`: how drift is seen without keeping objects.

Whoever changes or removes a field that we applied takes it from our entry, and the API server writes that down. So what
we rendered is still in force exactly if our entry covers it; no copy of it, and no memory over a restart, is needed.
The format is https://kubernetes.io/docs/reference/using-api/server-side-apply/ (FieldsV1).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

FieldSet = Mapping[str, Any]
Path = tuple[str, ...]

_LEAF = 0
_SELF = "."
_IDENTITY = ("apiVersion", "kind")
_FIXED = "volumeClaimTemplates"
"""Can't be changed by anybody, and is stored with what belongs to nobody: of no interest."""
_METADATA_IDENTITY = ("name", "namespace", "uid", "resourceVersion")
"""Belongs to nobody: these name the object."""


def applied_fields(live: Mapping[str, Any], manager: str) -> FieldSet:
    """What a manager has applied (not updated) of an object itself; empty if nothing."""
    for entry in live.get("metadata", {}).get("managedFields", ()):
        ours = entry.get("manager") == manager and entry.get("operation") == "Apply"
        if ours and not entry.get("subresource"):
            return entry.get("fieldsV1") or {}
    return {}


def rendered_shape(rendered: Mapping[str, Any]) -> str:
    """Digest of which fields there are, whatever their values."""
    bare = {key: value for key, value in rendered.items() if key not in _IDENTITY}
    metadata = rendered.get("metadata", {})
    bare["metadata"] = {key: value for key, value in metadata.items() if key not in _METADATA_IDENTITY}
    return _digest(_shape(bare))


def owned_shape(live: Mapping[str, Any], fields: FieldSet) -> str:
    """The same of the fields in `fields`: equal to `rendered_shape` of what was applied while nobody took any."""
    return _digest(_projected(live, fields))


def lost_fields(live: Mapping[str, Any], rendered: Mapping[str, Any], manager: str) -> tuple[tuple[str, str], ...]:
    """`(field, who)` for every field of `rendered` that `manager` doesn't own any more; who is empty if the field is
    gone. Fields read as in kubectl: `spec.template.spec.containers[name=api].image`."""
    bare = {key: value for key, value in rendered.items() if key not in _IDENTITY}
    metadata = rendered.get("metadata", {})
    bare["metadata"] = {key: value for key, value in metadata.items() if key not in _METADATA_IDENTITY}
    lost = _uncovered(bare, applied_fields(live, manager), ())
    return tuple((_written(path), _owner(live, path, manager)) for path in lost)


def _shape(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _LEAF if key == _FIXED else _shape(value[key]) for key in sorted(value)} or _LEAF
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_shape(item) for item in value] or _LEAF
    return _LEAF


def _projected(live: Any, fields: FieldSet) -> Any:
    """The shape of the part of `live` that `fields` names."""
    inner = {key: sub for key, sub in fields.items() if key != _SELF}
    if not inner:
        return _LEAF if _SELF in fields else _shape(live)
    if isinstance(live, list):
        found = ((item, _for_item(inner, item)) for item in live)
        return [_projected(item, sub) for item, sub in found if sub is not None] or _LEAF
    known = live if isinstance(live, Mapping) else {}
    named = {key[2:]: sub for key, sub in inner.items() if key.startswith("f:")}
    return {
        name: _LEAF if name == _FIXED else _projected(known.get(name), named[name]) for name in sorted(named)
    } or _LEAF


def _for_item(fields: FieldSet, item: Any) -> FieldSet | None:
    """The fields of one item of a list; None if it is not among them."""
    for key, sub in fields.items():
        kind, _, text = key.partition(":")
        if kind == "v" and json.loads(text) == item:
            return {}
        if kind == "k" and isinstance(item, Mapping):
            wanted = json.loads(text)
            if all(item.get(name) == value for name, value in wanted.items()):
                return sub if isinstance(sub, Mapping) else {}
    return None


def _uncovered(rendered: Any, fields: FieldSet, path: Path) -> Iterator[Path]:
    """Paths of `rendered` that are not in `fields`: as high up as possible, for a field that is lost as a whole."""
    inner = {key: sub for key, sub in fields.items() if key != _SELF}
    if isinstance(rendered, Mapping):
        if not inner and path:
            return  # owned as a whole, or empty
        for name, value in rendered.items():
            sub = inner.get(f"f:{name}")
            if sub is None:
                yield (*path, name)
            else:
                yield from _uncovered(value, sub, (*path, name))
    elif isinstance(rendered, list) and inner:
        for index, item in enumerate(rendered):
            sub = _for_item(inner, item)
            at = (*path, _item_name(inner, item, index))
            if sub is None:
                yield at
            else:
                yield from _uncovered(item, sub, at)


def _item_name(fields: FieldSet, item: Any, index: int) -> str:
    """`[name=api]`, by the keys that the list's other items are known by; else `[2]`."""
    for key in fields:
        if key.startswith("k:") and isinstance(item, Mapping):
            names = list(json.loads(key[2:]))
            return "[" + ",".join(f"{name}={item.get(name)}" for name in names) + "]"
    return f"[{index}]"


def _owner(live: Mapping[str, Any], path: Path, manager: str) -> str:
    """Who else has the field now: the manager that wrote last, empty if nobody has it."""
    others = [entry for entry in live.get("metadata", {}).get("managedFields", ()) if not _is(entry, manager)]
    for entry in sorted(others, key=lambda other: str(other.get("time", "")), reverse=True):
        if _has(entry.get("fieldsV1", {}) or {}, path):
            return str(entry.get("manager", ""))
    return ""


def _is(entry: Mapping[str, Any], manager: str) -> bool:
    return entry.get("manager") == manager and entry.get("operation") == "Apply"


def _has(fields: FieldSet, path: Iterable[str]) -> bool:
    """A manager that owns something above a field as a whole owns the field."""
    node: Any = fields
    for depth, part in enumerate(path):
        inner = {key: sub for key, sub in node.items() if key != _SELF}
        if not inner:
            return depth > 0
        found = _step(inner, part)
        if found is None:
            return False
        node = found
    return True


def _step(fields: FieldSet, part: str) -> FieldSet | None:
    if not part.startswith("["):
        found: FieldSet | None = fields.get(f"f:{part}")
        return found
    for key, sub in fields.items():
        if key.startswith("k:"):
            wanted = json.loads(key[2:])
            if part == "[" + ",".join(f"{name}={value}" for name, value in wanted.items()) + "]":
                return sub if isinstance(sub, Mapping) else {}
    return None


def _written(path: Path) -> str:
    return "".join(part if part.startswith("[") else f".{part}" for part in path).lstrip(".")


def _digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, separators=(",", ":")).encode(), digest_size=8).hexdigest()
