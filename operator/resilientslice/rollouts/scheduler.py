"""Counts whose proxies are being replaced, gives places to those that wait, and wakes the next one.

The count is made from the children that are known, so a restart loses little: who was given a place and has not been
seen using it, who asked in vain, for how long each has rolled, and who had not settled before.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto

import structlog

from resilientslice.applying.expected import Expected
from resilientslice.kube.cache import Child, Children
from resilientslice.kube.children import DIGEST_ANNOTATION, REVISION_ANNOTATION
from resilientslice.kube.kinds import SliceKey
from resilientslice.kube.slices import Slices
from resilientslice.planning.observed import Queued
from resilientslice.rollouts.progress import proxy_deployment, rolls, since, stuck
from resilientslice.rollouts.slots import STALL_SECONDS, Line, queued, unasked

_log = structlog.get_logger("resilientslice.rollouts")


class _Origin(Enum):
    """What a rollout that has not ended comes from."""

    UNKNOWN = auto()
    """It was under way when this process began to count."""
    UPGRADE = auto()
    """The new version, which came to proxies that had settled. Only then it may be the version's fault."""
    OWN = auto()
    """The slice: an edit, a restart by hand, a node; or proxies that had not settled before the new version came."""


@dataclass(slots=True)
class _Rolling:
    """Of one slice. Times in seconds since the epoch."""

    origin: _Origin
    began: float | None = None
    """None: it doesn't roll."""
    spent: float = 0.0
    """For how long it has rolled before, since someone began to wait: else proxies that are restarted again and again
    would hold a place for ever."""
    stalled: bool = False
    """Until it settles, or a new version gets to it."""
    generation: int | None = None
    """Of the Deployment as the new version has written it."""

    def lasts(self, now: float) -> float:
        return self.spent + (now - self.began if self.began is not None else 0.0)

    def ended(self, now: float) -> None:
        self.spent, self.began, self.stalled, self.origin = self.lasts(now), None, False, _Origin.OWN

    def given(self, now: float, *, unsettled: bool) -> None:
        self.origin = _Origin.OWN if unsettled else _Origin.UPGRADE
        self.began, self.stalled, self.generation = now, False, None

    def seen(self, child: Child) -> None:
        """A change of the Deployment after the new version has its own reasons."""
        if self.generation is not None and child.generation > self.generation:
            self.origin = _Origin.OWN

    def blamed(self, child: Child | None) -> bool:
        """It may be the new version's fault that this one stalls."""
        known = self.origin is _Origin.UPGRADE or (self.origin is _Origin.UNKNOWN and stuck(child))
        return self.stalled and known


@dataclass(slots=True)
class _Known:
    """What is kept beside the children."""

    looked: set[SliceKey] = field(default_factory=set)
    waiting: set[SliceKey] = field(default_factory=set)
    given: set[SliceKey] = field(default_factory=set)
    current: set[SliceKey] = field(default_factory=set)
    """Their proxies are of the version that is wanted."""
    left: set[SliceKey] = field(default_factory=set)
    """Nothing of them is written."""


class ProxyRollouts:
    """`places`: slices whose proxies are replaced at a time. `wake` has a slice looked at. `clock` gives seconds since
    the epoch."""

    def __init__(
        self,
        slices: Slices,
        children: Children,
        *,
        places: int,
        wake: Callable[[SliceKey], None],
        clock: Callable[[], float],
    ) -> None:
        self._slices = slices
        self._children = children
        self._wake = wake
        self._clock = clock
        self._known = _Known()
        self._times: dict[SliceKey, _Rolling] = {}
        self._counted = False
        self._line: Line[SliceKey] = Line(places)
        """As of the last count."""

    @property
    def waiting(self) -> int:
        return len(self._known.waiting)

    @property
    def stalled(self) -> int:
        return len(self._line.stalled)

    def look(self, key: SliceKey, wanted: Expected) -> Queued | None:
        """None: the slice's proxies may be written as wanted. The place is kept until `settle` or `leave`."""
        known = self._known
        known.looked.add(key)
        known.left.discard(key)
        child = self._deployment(key)
        _put(known.current, key, child is not None and _same_template(child, wanted))
        if child is None or not _waits_for_turn(child, wanted):
            known.waiting.discard(key)
            known.given.discard(key)
            self._noticed(key)
            return None
        line = self._count()
        if line.turn(key):
            known.waiting.discard(key)
            self._give(key)
            return None
        known.waiting.add(key)
        return queued(key, self._perhaps_waiting(), line)

    def settle(self, key: SliceKey) -> None:
        """What was to be written was written, or not tried: from now on the children tell."""
        child = self._deployment(key)
        if key in self._known.given and child is not None:
            self._times[key].generation = child.generation
        self._known.given.discard(key)
        self._noticed(key)

    def leave(self, key: SliceKey) -> None:
        """The slice is gone, or nothing of it is written any more."""
        known = self._known
        for some in (known.looked, known.waiting, known.given, known.current):
            some.discard(key)
        known.left.add(key)
        self._noticed(key)

    def _give(self, key: SliceKey) -> None:
        """A rollout of the new version begins; if another one had not ended, it may be that slice's own fault."""
        line, one = self._line, {key}
        self._times.setdefault(key, _Rolling(_Origin.UPGRADE)).given(self._clock(), unsettled=key in line.rolling)
        self._known.given.add(key)
        self._line = replace(
            line, rolling={*line.rolling, key}, stalled={*line.stalled} - one, blamed={*line.blamed} - one
        )

    def _perhaps_waiting(self) -> Iterator[SliceKey]:
        """Also those that were not looked at since the start: nobody's place is to seem better for that."""
        known = self._known
        for key in self._slices.keys():  # noqa: SIM118 - not a mapping
            if key in known.waiting or (key not in known.looked and key not in self._line.rolling):
                yield key

    def _deployment(self, key: SliceKey) -> Child | None:
        return proxy_deployment(key, self._children.of(key))

    def _noticed(self, key: SliceKey) -> None:
        """A rollout that has ended makes a place free; one that stalls is news for all who wait."""
        child = self._deployment(key)
        before = (key in self._line.rolling, key in self._line.stalled)
        same = (rolls(child) or key in self._known.given, stuck(child)) == before
        if same or not self._known.waiting:
            return  # nobody to tell; the next who asks has them counted
        line = self._count()
        for waiting in line.next(self._known.waiting):
            self._wake(waiting)

    def _count(self) -> Line[SliceKey]:
        known = self._known
        found = {key: self._deployment(key) for key in self._slices.keys()}  # noqa: SIM118 - not a mapping
        known.left &= found.keys()
        rolling = {key for key, child in found.items() if rolls(child)} | known.given
        self._take_times(rolling, found, self._clock())
        stalled = {key for key in rolling if self._times[key].stalled}
        blamed = {key for key in stalled if key not in known.left and self._times[key].blamed(found.get(key))}
        first = min((since(found.get(key)) for key in blamed), default="")
        ended = sum(since(found.get(key)) > first for key in known.current - rolling) if blamed else 0
        before, self._line = self._line, Line(self._line.places, rolling, stalled, blamed, ended)
        if (self._line.stalled, self._line.stopped) != (before.stalled, before.stopped):
            self._tell(self._line)
        return self._line

    def _take_times(self, rolling: set[SliceKey], found: Mapping[SliceKey, Child | None], now: float) -> None:
        waited = bool(self._known.waiting)
        if not waited:
            self._times = {key: times for key, times in self._times.items() if key in rolling}
        for key, times in self._times.items():
            if key not in rolling and times.began is not None:
                times.ended(now)
        began = _Origin.OWN if self._counted else _Origin.UNKNOWN
        for key in rolling:
            times, child = self._times.setdefault(key, _Rolling(began)), found.get(key)
            if times.began is None or not waited:
                times.began, times.spent = now, times.spent if waited else 0.0
            if key not in self._known.given and child is not None:
                times.seen(child)
                times.stalled = times.stalled or stuck(child) or times.lasts(now) > STALL_SECONDS
        self._counted = True

    def _tell(self, line: Line[SliceKey]) -> None:
        if self._known.waiting:
            _log.warning(
                "rollouts of proxies stall",
                slices=sorted(map(str, line.stalled)),
                waiting=len(self._known.waiting),
                stopped=line.stopped,
            )
        for waiting in sorted(self._known.waiting):
            self._wake(waiting)


def _put(some: set[SliceKey], key: SliceKey, there: bool) -> None:
    if there:
        some.add(key)
    else:
        some.discard(key)


def _same_template(child: Child, wanted: Expected) -> bool:
    return child.annotations.get(REVISION_ANNOTATION) == wanted.notes[REVISION_ANNOTATION]


def _waits_for_turn(child: Child, wanted: Expected) -> bool:
    same = child.annotations.get(DIGEST_ANNOTATION) == wanted.digest
    return not same and unasked(child.annotations, wanted.notes)
