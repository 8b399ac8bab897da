"""YAML as kubectl reads it (sigs.k8s.io/yaml), with the line of every value, and with bounds on what it may do.

PyYAML parses; this builds the values, because PyYAML's own builders turn `2026-01-01` into a date and `8:30` into 510,
let the last of two equal keys win, recurse as deep as the input asks for, and expand aliases without end.
What a scalar means was compared with kubectl 1.37: YAML 1.1 booleans (also `y` and `n`), octal `010`, no dates.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import yaml

MAX_DEPTH = 64
MAX_VALUES = 100_000
"""Values that aliases may make of a document; without aliases the size of the file is the bound."""

_TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGER = re.compile(r"^[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)$")
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?$")
_MAX_DIGITS = 100
_CORE = "tag:yaml.org,2002:"
_LARGEST_WHOLE_FLOAT = 1e21
"""From here on Go prints a float with an exponent, which is no integer any more."""

Lines = dict[tuple[str | int, ...], int]
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlError(ValueError):
    """Text that is no YAML, or more than a resource needs; `findings` are (rule, fix, line) each."""

    def __init__(self, findings: list[tuple[str, str, int]]) -> None:
        super().__init__("; ".join(rule for rule, _, _ in findings))
        self.findings = findings


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its line, from 1. Mappings hold pairs (key, line of the key, value), sequences hold nodes."""

    line: int
    scalar: Any = None
    items: "list[Node] | None" = None
    pairs: "dict[str, tuple[int, Node]] | None" = None
    size: int = 1
    """Values in it, aliases expanded."""
    height: int = 1
    """Levels in it, aliases expanded: what a recursion over it costs."""

    @property
    def empty(self) -> bool:
        return self.scalar is None and self.items is None and self.pairs is None

    def plain(self) -> Any:
        if self.items is not None:
            return [item.plain() for item in self.items]
        if self.pairs is not None:
            return {key: value.plain() for key, (_, value) in self.pairs.items()}
        return self.scalar


@dataclass(frozen=True, slots=True)
class Document:
    root: Node
    data: Any

    def line(self, path: tuple[str | int, ...]) -> int:
        """The line of what a path leads to; of the nearest thing around it where it leads to nothing."""
        node, line = self.root, self.root.line
        for part in path:
            if isinstance(part, int) and node.items is not None and part < len(node.items):
                node = node.items[part]
                line = node.line
            elif node.pairs is not None and part in node.pairs:
                line, node = node.pairs[str(part)]
            else:
                return line
        return line


def read_documents(text: str) -> list[Document]:
    """Every document that isn't empty. Raises YamlError."""
    try:
        roots = list(_Builder(text).documents())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" (column {mark.column + 1})" if mark else ""
        rule = f"is not YAML: {error.problem or error.context}{where}"
        raise YamlError([(rule, "check indentation, colons and quotes", mark.line + 1 if mark else 0)]) from None
    except yaml.YAMLError as error:
        raise YamlError([(f"is not YAML: {' '.join(str(error).split())}", "", 0)]) from None
    return [Document(root, root.plain()) for root in roots if not root.empty]


class _Builder:
    """Turns one stream of events into nodes. One object a text: it holds the anchors and what was found wrong."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._anchors: dict[str, Node | None] = {}
        self._duplicates: list[tuple[str, str, int]] = []
        self._aliases = 0

    def documents(self) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors.clear()
                yield self._node(next(self._events), 0)
        if self._duplicates:
            raise YamlError(self._duplicates)

    def _node(self, event: Any, depth: int) -> Node:
        line = event.start_mark.line + 1
        if depth > MAX_DEPTH:
            raise YamlError([_too_deep(line)])
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, line)
        if event.anchor:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = Node(line, scalar=_scalar(event, line))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(depth, line)
        else:
            node = self._mapping(depth, line)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any, line: int) -> Node:
        if event.anchor not in self._anchors:
            raise YamlError([(f"alias *{event.anchor} has no anchor", f"add &{event.anchor} before it", line)])
        target = self._anchors[event.anchor]
        if target is None:
            raise YamlError([(f"alias *{event.anchor} is inside what it stands for", "write it out", line)])
        self._aliases += 1
        return replace(target, line=line)

    def _sequence(self, depth: int, line: int) -> Node:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return self._bounded(Node(line, items=items, size=_size(items), height=_height(items)))

    def _mapping(self, depth: int, line: int) -> Node:
        pairs: dict[str, tuple[int, Node]] = {}
        merged: list[Node] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key, key_line = _key(event), event.start_mark.line + 1
            value = self._node(next(self._events), depth + 1)
            if key == "<<" and event.implicit[0]:
                merged.append(value)
            elif key in pairs:
                rule = f'key "{key}" is given twice, first in line {pairs[key][0]}'
                self._duplicates.append((rule, "remove one of them", key_line))
            else:
                pairs[key] = (key_line, value)
        for node in merged:
            pairs = _merged(node) | pairs
        values = [value for _, value in pairs.values()]
        return self._bounded(Node(line, pairs=pairs, size=_size(values), height=_height(values)))

    def _bounded(self, node: Node) -> Node:
        if self._aliases and node.size > MAX_VALUES:
            rule = f"aliases expand to more than {MAX_VALUES} values"
            raise YamlError([(rule, "write out what they stand for", node.line)])
        if node.height > MAX_DEPTH:
            raise YamlError([_too_deep(node.line)])
        return node


def _size(children: list[Node]) -> int:
    return 1 + sum(child.size for child in children)


def _height(children: list[Node]) -> int:
    return 1 + max((child.height for child in children), default=0)


def _too_deep(line: int) -> tuple[str, str, int]:
    return f"is nested deeper than {MAX_DEPTH} levels", "a resource has some ten", line


def _key(event: Any) -> str:
    """Keys are strings in JSON; `on: x` has the key "true", as kubectl has it."""
    line = event.start_mark.line + 1
    if not isinstance(event, yaml.ScalarEvent):
        raise YamlError([("a key must be a plain value", "put it in quotes", line)])
    value = _scalar(event, line)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(event.value)


def _merged(node: Node) -> dict[str, tuple[int, Node]]:
    """What `<<` brings in: a mapping, or a list of them of which the first wins."""
    sources = node.items if node.items is not None else [node]
    pairs: dict[str, tuple[int, Node]] = {}
    for source in sources:
        if source.pairs is None:
            raise YamlError([("<< needs a mapping, or a list of mappings", "name one by its alias", node.line)])
        pairs = source.pairs | pairs
    return pairs


def _scalar(event: Any, line: int) -> Any:
    """The JSON value of a scalar; with an explicit tag, what the tag says."""
    text: str = event.value
    if event.tag not in {None, "!", f"{_CORE}str", f"{_CORE}int", f"{_CORE}float", f"{_CORE}bool", f"{_CORE}null"}:
        raise YamlError([(f"tag {event.tag.replace(_CORE, '!!')} is not known here", "remove it", line)])
    quoted = event.tag is None and not event.implicit[0]
    if quoted or event.tag in {"!", f"{_CORE}str"}:
        return text
    return _resolved(text)


def _resolved(text: str) -> Any:
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if len(text) <= _MAX_DIGITS and _INTEGER.match(text):
        return _integer(text)
    if len(text) <= _MAX_DIGITS and _FLOAT.match(text):
        return _number(text)
    return text


def _integer(text: str) -> int:
    digits = text.replace("_", "").lower()
    octal = re.match(r"^([-+]?)0([0-7]+)$", digits)
    if octal:
        return int(octal[1] + octal[2], 8)
    return int(digits, 10 if digits.lstrip("-+").isdigit() else 0)


def _number(text: str) -> int | float | str:
    value = float(text.replace("_", ""))
    if not math.isfinite(value):
        return text
    return int(value) if value.is_integer() and abs(value) < _LARGEST_WHOLE_FLOAT else value
