"""Whose proxies may be replaced now: a new operator changes those of every slice, and must not restart all at once.

Only a change that nobody asked for waits. What a Deployment was made from is noted on it, so that this can be told
after a restart, too. A rollout that stalls gives its place to other namespaces, and to all once most rollouts of the
new version have succeeded: no tenant holds up the others, and a bad upgrade stops. See ADR 0018 and 0019. Pure.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from resilientslice.kube.children import ASKED_ANNOTATION, REVISION_ANNOTATION
from resilientslice.planning.observed import Queued

ROUGH = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""Precision of a reported place in the queue: exactly, each status would be written whenever anyone's turn has come."""
MOST_NAMED = 5
PROXY_ROLLOUTS = 5
"""Default of the maximum number of slices whose proxies roll out at the same time."""
AGAIN_SECONDS = 300.0
"""A waiting slice looks again after that time, should the one that was woken for a place not be able to take it."""

STALL_SECONDS = 900.0
"""A slice whose proxies have rolled for so long while others wait stalls, whatever they roll for. Three times the
`progressDeadlineSeconds` of proxies."""

K = TypeVar("K", bound=tuple[str, str])
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Line(Generic[K]):
    """Whose proxies roll. `stalled`: of them, those that are stuck, or have taken too long.

    `blamed`: of those, the ones that may be the new version's fault: they had settled before it. `succeeded`: rollouts
    of the new version that have ended since the first of the blamed stalled.
    """

    places: int
    rolling: Collection[K] = frozenset()
    stalled: Collection[K] = frozenset()
    blamed: Collection[K] = frozenset()
    succeeded: int = 0

    @property
    def trusted(self) -> bool:
        """More rollouts of the new version succeed than stall."""
        return self.succeeded > len(self.blamed)

    @property
    def suspect(self) -> frozenset[str]:
        """Namespaces in which a rollout has stalled that may be the version's fault: nothing more is tried there."""
        return frozenset() if self.trusted else frozenset(namespace for namespace, _ in self.blamed)

    @property
    def free(self) -> int:
        """Places that may be given. Stalled rollouts of one namespace hold one, until the version is trusted."""
        moving = sum(1 for key in self.rolling if key not in self.stalled)
        return max(0, self.places - moving - len(self.suspect))

    @property
    def stopped(self) -> bool:
        """It stalls in as many namespaces as there are places: it is taken for bad."""
        return len(self.suspect) >= self.places

    def turn(self, key: K) -> bool:
        """Whether the slice's proxies may be replaced now. One whose last rollout has not ended needs no other place,
        and the next one may be what mends it."""
        return key in self.rolling or (self.free > 0 and key[0] not in self.suspect)

    def next(self, waiting: Iterable[K]) -> list[K]:
        """Who is to be woken for the places that are free: by namespace and name, so that people can tell, too."""
        return sorted(key for key in waiting if key[0] not in self.suspect)[: self.free]


def unasked(applied: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """The pod template would change, though the slice says the same of its proxies as when it was applied.

    Both are annotations of the Deployment: as it is, and as it is to be. One that an operator made which noted nothing
    counts as unasked for: waiting is what harms nobody.
    """
    if applied.get(REVISION_ANNOTATION) == wanted[REVISION_ANNOTATION]:
        return False
    return applied.get(ASKED_ANNOTATION, wanted[ASKED_ANNOTATION]) == wanted[ASKED_ANNOTATION]


def queued(key: K, waiting: Iterable[K], line: Line[K]) -> Queued:
    """`waiting`: all who wait, or may wait for all that is known."""
    named = [f"{namespace}/{name}" for namespace, name in sorted(line.stalled)]
    ahead = sum(1 for other in waiting if other < key)
    stopped = line.stopped or key[0] in line.suspect
    return Queued(rough(ahead), line.places, tuple(named[:MOST_NAMED]), max(0, len(named) - MOST_NAMED), stopped)


def rough(count: int) -> int:
    """Rounded up to a figure that seldom changes."""
    return next((figure for figure in ROUGH if figure >= count), count)
