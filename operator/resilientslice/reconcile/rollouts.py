"""Whose proxies may be replaced now: a new operator changes those of every slice, and must not restart all at once.

Only a change that nobody asked for waits. What a Deployment was made from is noted on it, so that this can be told
after a restart, too. A rollout that doesn't end keeps its place: a bad upgrade stops there. See ADR 0018. Pure.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from resilientslice.reconcile.children import REVISION_ANNOTATION
from resilientslice.render.names import DOMAIN

ASKED_ANNOTATION = f"{DOMAIN}/asked"
"""Digest of what the slice says about its proxies, as of when they were applied last."""

ROUGH = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""How exactly a place in the line is told: exactly, each status would be written whenever anybody's turn has come."""
MOST_NAMED = 5
PROXY_ROLLOUTS = 5
"""Slices whose proxies are replaced at a time, unless the operator is told otherwise."""
AGAIN_SECONDS = 300.0
"""Whoever waits looks again after that time, should the one that was woken for a place not be able to take it."""

K = TypeVar("K", bound=tuple[str, str])


@dataclass(frozen=True, slots=True)
class Queued:
    """A slice whose proxies wait. `before`: at most that many go first. `stuck`: rollouts that don't end, as
    `NAMESPACE/NAME`; `unnamed` are those beyond the first few."""

    before: int
    places: int
    stuck: tuple[str, ...] = ()
    unnamed: int = 0


def unasked(applied: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """The pod template would change, though the slice says the same of its proxies as when it was applied.

    Both are annotations of the Deployment: as it is, and as it is to be. One that an operator made which noted nothing
    counts as unasked for: waiting is what harms nobody.
    """
    if applied.get(REVISION_ANNOTATION) == wanted[REVISION_ANNOTATION]:
        return False
    return applied.get(ASKED_ANNOTATION, wanted[ASKED_ANNOTATION]) == wanted[ASKED_ANNOTATION]


def turn(key: K, rolling: Collection[K], places: int) -> bool:
    """Whether the slice's proxies may be replaced now. One whose last rollout has not ended has its place already, and
    the next one may be what mends it."""
    return key in rolling or len(rolling) < places


def queued(key: K, waiting: Iterable[K], stuck: Iterable[K], places: int) -> Queued:
    """`waiting`: all who wait, or may wait for all that is known."""
    named = [f"{namespace}/{name}" for namespace, name in sorted(stuck)]
    ahead = sum(1 for other in waiting if other < key)
    return Queued(rough(ahead), places, tuple(named[:MOST_NAMED]), max(0, len(named) - MOST_NAMED))


def next_in_line(waiting: Iterable[K], rolling: Collection[K], places: int) -> list[K]:
    """Who is to be woken for the places that are free: by namespace and name, so that people can tell, too."""
    return sorted(waiting)[: max(0, places - len(rolling))]


def rough(count: int) -> int:
    """Rounded up to a figure that seldom changes."""
    return next((figure for figure in ROUGH if figure >= count), count)
