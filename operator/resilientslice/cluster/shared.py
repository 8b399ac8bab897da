"""Keeps equal parts of what is held of many slices once: defaults, security contexts, probes, names of fields.

A small slice that was parsed, and its revision, are some 400 objects, of which all but a few dozen look the same in
every other slice. Nothing that is held is ever changed in place, so whether two slices have the same part or equal ones
makes no difference but in memory. No use is made of weak references: dictionaries have none. What is known is dropped
instead when it has become much; what is found twice after that is merely kept twice.
"""

import sys
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

MOST = 2048
"""Parts that are remembered. The first of the next 70 small slices brings the common ones again."""

T = TypeVar("T")


class Shared:
    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: dict[Hashable, Any] = {}

    def of(self, value: T) -> T:
        """What equals `value` in all it is made of: `value` itself, or what was given before. Models and dataclasses
        must be frozen: their fields are replaced by equal ones."""
        if len(self._known) > self._most:
            self.forget()
        found: T = self._shared(value)
        return found

    def forget(self) -> None:
        """What was given stays as it is; nothing is compared with it any more."""
        self._known.clear()

    def _shared(self, value: Any) -> Any:
        match value:
            case str():
                return sys.intern(value) if type(value) is str else value
            case BaseModel():
                return self._model(value)
            case dict():
                entries = {self._shared(name): self._shared(found) for name, found in value.items()}
                return self._known.setdefault((dict, *_tokens(entries)), entries)
            case list():
                items = [self._shared(item) for item in value]
                return self._known.setdefault((list, *map(_token, items)), items)
            case tuple() if type(value) is tuple:
                parts = tuple(self._shared(part) for part in value)
                return self._known.setdefault((tuple, *map(_token, parts)), parts)
            case _ if is_dataclass(value) and not isinstance(value, type):
                return self._dataclass(value)
        return value

    def _model(self, model: BaseModel) -> BaseModel:
        state = vars(model)
        for name, value in state.items():
            state[name] = self._shared(value)
        known: BaseModel = self._known.setdefault((type(model), *_tokens(state)), model)
        return known

    def _dataclass(self, value: Any) -> Any:
        state = {entry.name: self._shared(getattr(value, entry.name)) for entry in fields(value)}
        for name, part in state.items():
            object.__setattr__(value, name, part)
        return self._known.setdefault((type(value), *_tokens(state)), value)


def _tokens(entries: Mapping[str, Any]) -> tuple[Hashable, ...]:
    return tuple(entries), *map(_token, entries.values())


def _token(value: Any) -> Hashable:
    """The same for two values that are the same. Parts are known by where they are, and they stay there: whoever knows
    the token holds them."""
    if value is None or isinstance(value, (str, int, float)):
        return type(value), value
    return id(value)
