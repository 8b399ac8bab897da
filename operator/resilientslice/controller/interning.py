"""Bounds on what a process keeps of many slices: equal parts once, and what only active slices need for few of them.

Equal parts are defaults, security contexts, probes, names of fields.

A small slice that was parsed, and its revision, are some 400 objects, of which all but a few dozen look the same in
every other slice. Nothing that is held is ever changed in place, so whether two slices have the same part or equal ones
makes no difference but in memory. No use is made of weak references: dictionaries have none. What is known is dropped
instead when it has become much; what is found twice after that is merely kept twice.
"""

import sys
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import is_dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

MOST = 2048
"""Parts that are remembered. The first of the next 70 small slices brings the common ones again."""

_PLAIN = frozenset({bool, int, float, type(None)})

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Shared:
    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: dict[Hashable, Any] = {}
        self._done: set[int] = set()

    def of(self, value: T, *, but: Iterable[object] = ()) -> T:
        """What equals `value` in all it is made of: `value` itself, or what was given before. Models and dataclasses
        must be frozen: their fields are replaced by equal ones. What is among `but` was given before, and is left as
        it is."""
        if len(self._known) > self._most:
            self.forget()
        self._done = {id(part) for part in but}
        found: T = self._shared(value)
        return found

    def forget(self) -> None:
        """What was given stays as it is; nothing is compared with it any more."""
        self._known.clear()

    def _shared(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return sys.intern(value)
        if kind in _PLAIN or id(value) in self._done:
            return value
        if kind is dict:
            entries = {self._shared(name): self._shared(inner) for name, inner in value.items()}
            found = self._known.setdefault((dict, *_tokens(entries)), entries)
        elif kind is list or kind is tuple:
            items = kind([self._shared(item) for item in value])
            found = self._known.setdefault((kind, *map(_token, items)), items)
        elif isinstance(value, BaseModel):
            found = self._model(value)
        elif is_dataclass(value):
            found = self._dataclass(value)
        else:
            return value
        self._done.add(id(found))
        return found

    def _model(self, model: BaseModel) -> Any:
        state = vars(model)
        for name, value in state.items():
            state[name] = self._shared(value)
        return self._known.setdefault((type(model), *_tokens(state)), model)

    def _dataclass(self, value: Any) -> Any:
        state = {name: self._shared(getattr(value, name)) for name in value.__dataclass_fields__}
        for name, part in state.items():
            object.__setattr__(value, name, part)
        return self._known.setdefault((type(value), *_tokens(state)), value)


def graft(model: BaseModel, before: BaseModel) -> tuple[object, ...]:
    """Takes what `model` has in common with `before` from there; returns all that `before` is made of."""
    state, known = vars(model), vars(before)
    for name, value in state.items():
        if value == known[name]:
            state[name] = known[name]
    return tuple(known.values())


def _tokens(entries: Mapping[str, Any]) -> tuple[Hashable, ...]:
    return tuple(entries), *map(_token, entries.values())


def _token(value: Any) -> Hashable:
    """The same for two values that are the same. Parts are known by where they are, and they stay there: who knows
    the token holds them."""
    kind = type(value)
    return (kind, value) if kind is str or kind in _PLAIN else id(value)


class Recent(Generic[K, V]):
    """A value for each key, made when it is asked for; of those that were asked for last, `most` are kept."""

    def __init__(self, most: int, make: Callable[[], V]) -> None:
        self._most = most
        self._make = make
        self._kept: dict[K, V] = {}

    def of(self, key: K) -> V:
        found = self._kept.pop(key) if key in self._kept else self._make()
        self._kept[key] = found
        if len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
        return found

    def forget(self, key: K) -> None:
        self._kept.pop(key, None)
