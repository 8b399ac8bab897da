"""Counts whose proxies are being replaced, gives places to those that wait, and wakes the next one.

The count is made from the children that are known, so a restart loses nothing. What is kept beside is little: who was
given a place and has not been seen using it, and who asked in vain.
"""

from collections.abc import Callable, Iterator

import structlog

from resilientslice.kube.cache import Child, Children
from resilientslice.kube.kinds import SliceKey
from resilientslice.kube.slices import Slices
from resilientslice.observe.rollouts import proxy_deployment, rolls, stuck
from resilientslice.reconcile.children import DIGEST_ANNOTATION
from resilientslice.reconcile.expected import Expected
from resilientslice.reconcile.rollouts import Queued, next_in_line, queued, turn, unasked

_log = structlog.get_logger("resilientslice.rollouts")


class ProxyRollouts:
    """`places`: slices whose proxies are replaced at a time. `wake` has a slice looked at."""

    def __init__(self, slices: Slices, children: Children, *, places: int, wake: Callable[[SliceKey], None]) -> None:
        self._slices = slices
        self._children = children
        self._places = places
        self._wake = wake
        self._looked: set[SliceKey] = set()
        self._waiting: set[SliceKey] = set()
        self._given: set[SliceKey] = set()
        self._rolling: set[SliceKey] = set()
        """As of the last count, and those that were seen to begin since."""
        self._stuck: set[SliceKey] = set()

    def look(self, key: SliceKey, wanted: Expected) -> Queued | None:
        """None: the slice's proxies may be written as wanted. The place is kept until `settle` or `leave`."""
        self._looked.add(key)
        child = self._deployment(key)
        if child is None or not _waits_for_turn(child, wanted):
            self._waiting.discard(key)
            self._given.discard(key)
            self._noticed(key, child)
            return None
        self._count()
        if turn(key, self._rolling, self._places):
            self._waiting.discard(key)
            self._given.add(key)
            self._rolling.add(key)
            return None
        self._waiting.add(key)
        return queued(key, self._perhaps_waiting(), self._stuck, self._places)

    def settle(self, key: SliceKey) -> None:
        """What was to be written was written, or not tried: from now on the children tell."""
        self._given.discard(key)
        self._noticed(key, self._deployment(key))

    def leave(self, key: SliceKey) -> None:
        """The slice is gone, or nothing of it is written any more."""
        for known in (self._looked, self._waiting, self._given):
            known.discard(key)
        self._noticed(key, None)

    def _perhaps_waiting(self) -> Iterator[SliceKey]:
        """Also those that were not looked at since the start: nobody's place is to seem better for that."""
        for key in self._slices.keys():  # noqa: SIM118 - not a mapping
            if key in self._waiting or (key not in self._looked and key not in self._rolling):
                yield key

    def _deployment(self, key: SliceKey) -> Child | None:
        return proxy_deployment(key, self._children.of(key))

    def _noticed(self, key: SliceKey, child: Child | None) -> None:
        """A rollout that has ended makes a place free; one that is stuck is news for all who wait."""
        if rolls(child):
            self._rolling.add(key)
            changed = stuck(child) != (key in self._stuck)
        else:
            changed = key in self._rolling
            self._rolling.discard(key)
        if changed and self._waiting:
            self._count()
            for waiting in next_in_line(self._waiting, self._rolling, self._places):
                self._wake(waiting)

    def _count(self) -> None:
        known = {key: self._deployment(key) for key in self._slices.keys()}  # noqa: SIM118 - not a mapping
        self._rolling = {key for key, child in known.items() if rolls(child)} | self._given
        found = {key for key, child in known.items() if stuck(child)}
        if found != self._stuck:
            self._stuck = found
            if self._waiting:
                _log.warning(
                    "rollouts of proxies don't end", slices=sorted(map(str, found)), waiting=len(self._waiting)
                )
            for waiting in self._waiting:
                self._wake(waiting)


def _waits_for_turn(child: Child, wanted: Expected) -> bool:
    same = child.annotations.get(DIGEST_ANNOTATION) == wanted.digest
    return not same and unasked(child.annotations, wanted.notes)
