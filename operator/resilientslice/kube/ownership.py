"""Who owns which field of an object, read from `metadata.managedFields`: how drift is seen without keeping objects.

A manager that changes or removes a field that we applied takes it from our entry, which the API server records. So what
we rendered is still in force exactly if our entry covers it; no copy of it, and no memory over a restart, is needed.
The format is https://kubernetes.io/docs/reference/using-api/server-side-apply/ (FieldsV1).
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

FieldSet = Mapping[str, Any]
Path = tuple[str, ...]
Where = tuple[str | int, ...]

_LEAF = 0
_SELF = "."
_IDENTITY = ("apiVersion", "kind")
_FIXED = "volumeClaimTemplates"
"""Can't be changed by anyone, and is stored with what belongs to nobody: of no interest."""
_KEY_DEFAULTS = {"protocol": "TCP"}
"""Of keys that a rendered item may leave out."""
_METADATA_IDENTITY = ("name", "namespace", "uid", "resourceVersion")
"""Belongs to nobody: these name the object."""


@dataclass(frozen=True, slots=True)
class _Node:
    """A rendered field. `where`: names and indexes that lead to it. `key`: an item of a list is known by it."""

    path: Path
    where: Where
    value: Any
    owned: bool
    key: bool


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


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who owns what of a rendered object. `written` fields read as in kubectl:
    `spec.template.spec.containers[name=api].image`."""

    rendered: Mapping[str, Any]
    nodes: tuple["_Node", ...]

    @classmethod
    def of(cls, live: Mapping[str, Any], rendered: Mapping[str, Any], manager: str) -> "Ownership":
        bare = {key: value for key, value in rendered.items() if key not in _IDENTITY}
        metadata = rendered.get("metadata", {})
        bare["metadata"] = {key: value for key, value in metadata.items() if key not in _METADATA_IDENTITY}
        everybodys = _merged(entry.get("fieldsV1") or {} for entry in live.get("metadata", {}).get("managedFields", ()))
        return cls(rendered, tuple(_nodes(bare, applied_fields(live, manager), everybodys, (), ())))

    def lost(self) -> tuple[Path, ...]:
        """Fields that the manager doesn't own any more: as high up as possible, for one that is lost as a whole."""
        gone = {node.path for node in self.nodes if not node.owned}
        return tuple(node.path for node in self.nodes if node.path in gone and node.path[:-1] not in gone)

    def wishes(self) -> dict[str, str]:
        """Digest of the value of each field."""
        return {written(node.path): _digest(node.value) for node in self.nodes}

    def unowned(self, fields: Collection[str]) -> tuple[Path, ...]:
        """Those of `fields` that the manager doesn't own any more."""
        return tuple(node.path for node in self.nodes if not node.owned and written(node.path) in fields)

    def left_out(self, fields: Collection[str]) -> frozenset[Path]:
        """Those of `fields`, or of what is in them, that the manager doesn't own any more."""
        at = {node.path for node in self.nodes if written(node.path) in fields}
        lost = {node.path for node in self.nodes if not node.owned and not node.key}
        return frozenset(path for path in lost if any(path[: len(above)] == above for above in at))

    def without(self, paths: Collection[Path]) -> Any:
        """What was rendered, without them. Applying that leaves them to their owners."""
        return _pruned(self.rendered, (), {node.where for node in self.nodes if node.path in paths})


def lost_fields(live: Mapping[str, Any], rendered: Mapping[str, Any], manager: str) -> tuple[tuple[str, str], ...]:
    """`(field, who)` for every field of `rendered` that `manager` doesn't own any more; who is empty if the field is
    gone."""
    found = Ownership.of(live, rendered, manager).lost()
    return tuple((written(path), owner_of(live, path, manager)) for path in found)


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
            if all(item.get(name, _KEY_DEFAULTS.get(name)) == value for name, value in wanted.items()):
                return sub if isinstance(sub, Mapping) else {}
    return None


def _nodes(rendered: Any, owned: FieldSet | None, known: FieldSet, path: Path, where: Where) -> Iterator["_Node"]:
    """Whatever is below `path`, from above. `owned`: the manager's part, None if it owns nothing of it; `known`: that
    of everybody, from which the keys of lists' items are known."""
    inner = {key: sub for key, sub in (owned or {}).items() if key != _SELF}
    whole = owned is not None and not inner and bool(path)
    if isinstance(rendered, Mapping):
        for name, value in rendered.items():
            sub = {} if whole else inner.get(f"f:{name}")
            at, place = (*path, name), (*where, name)
            yield _Node(at, place, value, owned=sub is not None, key=False)
            yield from _nodes(value, sub, known.get(f"f:{name}") or {}, at, place)
    elif isinstance(rendered, list) and any(key.startswith(("k:", "v:")) for key in known):
        keys = _keys(known)
        for index, item in enumerate(rendered):
            sub = {} if whole else _for_item(inner, item)
            at, place = (*path, _item_name(known, item, index)), (*where, index)
            yield _Node(at, place, item, owned=sub is not None, key=False)
            for node in _nodes(item, sub, _for_item(known, item) or {}, at, place):
                yield replace(node, key=node.key or (len(node.where) == len(place) + 1 and node.where[-1] in keys))


def _pruned(value: Any, where: Where, left: Collection[Where]) -> Any:
    """Without what is at `left`, and without what is empty for that."""
    if isinstance(value, Mapping):
        kept = {key: _pruned(sub, (*where, key), left) for key, sub in value.items() if (*where, key) not in left}
        return {key: sub for key, sub in kept.items() if sub not in ({}, []) or value[key] in ({}, [])}
    if isinstance(value, list):
        at = [(index, item) for index, item in enumerate(value) if (*where, index) not in left]
        return [_pruned(item, (*where, index), left) for index, item in at]
    return value


def _merged(fields: Iterable[FieldSet]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in fields:
        for key, sub in one.items():
            found[key] = _merged((found.get(key, {}), sub)) if isinstance(sub, Mapping) else {}
    return found


def _keys(fields: FieldSet) -> frozenset[str]:
    """By which the items of a list are known."""
    return frozenset(name for key in fields if key.startswith("k:") for name in json.loads(key[2:]))


def _item_name(fields: FieldSet, item: Any, index: int) -> str:
    """`[name=api]`, by the keys that the list's other items are known by; else `[2]`."""
    for key in fields:
        if key.startswith("k:") and isinstance(item, Mapping):
            names = list(json.loads(key[2:]))
            return "[" + ",".join(f"{name}={item.get(name)}" for name in names) + "]"
    return f"[{index}]"


def owner_of(live: Mapping[str, Any], path: Path, manager: str) -> str:
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


def written(path: Path) -> str:
    return "".join(part if part.startswith("[") else f".{part}" for part in path).lstrip(".")


def _digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, separators=(",", ":")).encode(), digest_size=8).hexdigest()
