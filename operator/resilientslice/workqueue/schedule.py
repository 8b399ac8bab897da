"""Which key is next, and when: the queue's rules without tasks or clocks, so that they can be tried in any order.

- A key that is being processed is not handed out again; what is added meanwhile is processed afterwards.
- What is added several times before it is handed out is processed once.
- A key that failed waits, longer each time; an event shortens that to `EVENT_SECONDS` after the failure, never to
  nothing, since a failing pass may well cause events itself.
- Urgent keys go first, but of five keys one is always the longest-waiting other.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_SECONDS = 0.1
"""Wait after the first failure; doubled with each one that follows."""
LONGEST_SECONDS = 120.0
EVENT_SECONDS = 1.0
URGENT_IN_A_ROW = 4


@dataclass(slots=True)
class _Known:
    """`at` is when the key becomes due by itself; the heap's entry of another time is void."""

    at: float | None = None
    processing: bool = False
    again: float | None = None
    urgent_again: bool = False
    failures: int = 0
    failed_at: float = 0.0


@dataclass(slots=True)
class Schedule(Generic[K]):
    """All times in seconds of one clock that the caller reads. `spread` gives a factor that parts keys that failed."""

    spread: Callable[[], float] = lambda: 1.0
    _known: dict[K, _Known] = field(default_factory=dict)
    _ready: OrderedDict[K, float] = field(default_factory=OrderedDict)
    _urgent: OrderedDict[K, float] = field(default_factory=OrderedDict)
    _heap: list[tuple[float, int, K]] = field(default_factory=list)
    _count: int = 0
    _in_a_row: int = 0

    def add(self, key: K, now: float, *, after: float = 0.0, urgent: bool = False) -> None:
        """Have `key` processed `after` seconds from now, or sooner if it is due sooner."""
        known = self._known.setdefault(key, _Known())
        at = now + max(after, 0.0)
        if known.processing:
            known.again = at if known.again is None else min(known.again, at)
            known.urgent_again |= urgent
            return
        self._due(key, known, self._held_back(known, at), now, urgent=urgent)

    def take(self, now: float) -> K | None:
        """The next key, which is being processed from now on; None: nothing is due."""
        self.wake(now)
        urgent = bool(self._urgent) and (not self._ready or self._in_a_row < URGENT_IN_A_ROW)
        line = self._urgent if urgent else self._ready
        if not line:
            return None
        self._in_a_row = self._in_a_row + 1 if urgent else 0
        key, _ = line.popitem(last=False)
        known = self._known[key]
        known.processing, known.at = True, None
        return key

    def done(self, key: K, now: float, *, next_at: float | None = None) -> None:
        """Processing ended well; `next_at`: when the key is to be processed again if nothing happens before."""
        known = self._known[key]
        known.failures = 0
        self._ended(key, known, now, next_at)

    def failed(self, key: K, now: float, *, at_least: float = 0.0) -> float:
        """Processing failed; returns the seconds until it is tried again, at least `at_least`."""
        known = self._known[key]
        wait = min(FIRST_SECONDS * 2.0 ** min(known.failures, 30), LONGEST_SECONDS)
        wait = max(min(wait * self.spread(), LONGEST_SECONDS), at_least)
        known.failures += 1
        known.failed_at = now
        self._ended(key, known, now, now + wait)
        return wait

    def wake(self, now: float) -> None:
        """Move what has become due into line."""
        while self._heap and self._heap[0][0] <= now:
            at, _, key = heapq.heappop(self._heap)
            known = self._known.get(key)
            if known is not None and known.at == at and not known.processing and not self._in_line(key):
                self._ready[key] = at

    def next_at(self) -> float | None:
        """When the next key becomes due; None: never by itself. For the time after `wake`."""
        while self._heap:
            at, _, key = self._heap[0]
            known = self._known.get(key)
            if known is not None and known.at == at and not known.processing and not self._in_line(key):
                return at
            heapq.heappop(self._heap)
        return None

    @property
    def depth(self) -> int:
        """Keys that are due and wait for a worker."""
        return len(self._ready) + len(self._urgent)

    def oldest(self, now: float) -> float:
        """Seconds that the key which is due longest has waited for a worker; 0 if none waits."""
        self.wake(now)
        firsts = [next(iter(line.values())) for line in (self._ready, self._urgent) if line]
        return max((now - first for first in firsts), default=0.0)

    def _ended(self, key: K, known: _Known, now: float, next_at: float | None) -> None:
        known.processing = False
        again, urgent = known.again, known.urgent_again
        known.again, known.urgent_again = None, False
        if again is not None:
            again = self._held_back(known, again)
        times = [at for at in (again, next_at) if at is not None]
        if times:
            self._due(key, known, min(times), now, urgent=urgent and min(times) == again)
        elif not known.failures:
            del self._known[key]

    def _held_back(self, known: _Known, at: float) -> float:
        return max(at, known.failed_at + EVENT_SECONDS) if known.failures else at

    def _due(self, key: K, known: _Known, at: float, now: float, *, urgent: bool) -> None:
        if self._in_line(key):
            if urgent and key in self._ready and at <= now:
                self._urgent[key] = self._ready.pop(key)
            return
        if known.at is not None and known.at < at:
            return
        known.at = at
        if at <= now:
            (self._urgent if urgent else self._ready)[key] = now
        else:
            self._count += 1
            heapq.heappush(self._heap, (at, self._count, key))

    def _in_line(self, key: K) -> bool:
        return key in self._ready or key in self._urgent
