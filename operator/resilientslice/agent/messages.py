"""Protobuf messages from JSON, and the modules that know their types.

Modules are loaded when a resource first names them: all of them would cost more memory than the agent has.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import descriptor_pool, json_format

_TYPE_NAME = re.compile(r"^(?:envoy|xds|udpa)(?:\.[a-z0-9_]+)+(?:\.[A-Z][A-Za-z0-9]*)+$")
_WELL_KNOWN = "google.protobuf."
MOST_DEPTH = 100
"""Of messages in messages; protobuf's own limit."""


class UnreadableError(Exception):
    """A resource can't be read, or lacks one that it asks for. `path` is its place in the configuration."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


def fill(message: Any, fields: Mapping[str, Any], path: str, *, above: int = 0) -> None:
    """Read a message's JSON, whose types are loaded. `above`: how deep the message itself will be in another one."""
    try:
        json_format.ParseDict(fields, message, max_recursion_depth=MOST_DEPTH - above)
    except (json_format.ParseError, TypeError, AttributeError) as error:
        # besides its own error, ParseDict lets some of what it trips over through (`{"metadata": 3}`: AttributeError)
        raise UnreadableError(path, str(error).partition("\n")[0].rstrip(".")) from None


def load_types(value: Any, path: str) -> None:
    """Make every type known that is named below a value. UnreadableError says which one there isn't."""
    for place, name in _type_names(value, path):
        _load(place, name)


def _type_names(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every `@type` below a value, with its place."""
    waiting = [(path, value)]
    while waiting:
        place, item = waiting.pop()
        if isinstance(item, dict):
            if isinstance(item.get("@type"), str):
                yield f"{place}.@type", item["@type"].rpartition("/")[2]
            waiting += [(f"{place}.{key}", child) for key, child in item.items()]
        elif isinstance(item, list):
            waiting += [(f"{place}[{index}]", child) for index, child in enumerate(item)]


def _load(place: str, name: str) -> None:
    """Make a message type known, from the modules of its package."""
    if name.startswith(_WELL_KNOWN):
        importlib.import_module("google.protobuf.wrappers_pb2")
    elif _TYPE_NAME.match(name) and not _known(name):
        package = re.split(r"\.(?=[A-Z])", name, maxsplit=1)[0]
        try:
            folder = importlib.import_module(package)
        except ImportError:
            raise UnreadableError(place, f"unknown type {name!r}") from None
        for module in pkgutil.iter_modules(folder.__path__):
            if module.name.endswith("_pb2"):
                importlib.import_module(f"{package}.{module.name}")
    if not _known(name):
        raise UnreadableError(place, f"unknown type {name!r}")


def _known(name: str) -> bool:
    try:
        descriptor_pool.Default().FindMessageTypeByName(name)
    except KeyError:
        return False
    return True
