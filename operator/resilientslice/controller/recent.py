"""What is only worth keeping of the slices that are worked on: of those at rest it would be memory for nothing."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


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
