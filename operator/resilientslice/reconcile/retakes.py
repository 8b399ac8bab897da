"""Two managers of one field: when somebody sets again and again what we set too, both lose. One of them has to say so.

A field that had to be taken back three times in five minutes is left alone for a while, longer each time, and is named
in the status, with whoever sets it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from resilientslice.reconcile.children import ChildId

WINDOW_SECONDS = 300.0
MOST_RETAKES = 3
FIRST_PAUSE_SECONDS = 300.0
LONGEST_PAUSE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Contest:
    """Of one field of one object. Times are seconds since the epoch."""

    object: ChildId
    field: str
    manager: str
    retaken: tuple[float, ...] = ()
    until: float = 0.0
    """Left alone until then."""
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Contests:
    """All of one slice. Kept while the process lives: a conflict that goes on is found again within minutes."""

    of: Mapping[tuple[ChildId, str], Contest] = field(default_factory=dict)

    def retaken(self, child: ChildId, lost: Iterable[tuple[str, str]], now: float) -> "Contests":
        """Fields (with who took them) are about to be taken back."""
        found = dict(self.of)
        for name, manager in lost:
            known = found.get((child, name), Contest(child, name, manager))
            found[child, name] = _once_more(replace(known, manager=manager), now)
        return replace(self, of=found)

    def current(self, now: float) -> "Contests":
        """Without those that nobody contested for so long that they count no more."""
        kept = {key: contest for key, contest in self.of.items() if _forgotten_at(contest) > now}
        return self if len(kept) == len(self.of) else replace(self, of=kept)

    def conflicts(self, now: float) -> tuple[Contest, ...]:
        """Those to be named: contested until a whole window has passed since the last pause."""
        found = (contest for contest in self.of.values() if contest.pause and _forgotten_at(contest) > now)
        return tuple(sorted(found, key=lambda contest: (contest.object, contest.field)))

    def held(self, now: float) -> frozenset[ChildId]:
        """Objects that are left as they are."""
        return frozenset(contest.object for contest in self.of.values() if contest.until > now)

    def deadline(self, now: float) -> float | None:
        """When time alone changes something."""
        ends = [at for c in self.of.values() if c.pause for at in (c.until, _forgotten_at(c)) if at > now]
        return min(ends, default=None)


def _once_more(contest: Contest, now: float) -> Contest:
    times = (*(at for at in contest.retaken if at > now - WINDOW_SECONDS), now)
    if len(times) < MOST_RETAKES and not contest.pause:
        return replace(contest, retaken=times)
    pause = min(contest.pause * 2 or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    # after a pause, one try shows whether the other side has given up
    return replace(contest, retaken=times, until=now + pause, pause=pause)


def _forgotten_at(contest: Contest) -> float:
    latest = max((*contest.retaken, contest.until))
    return latest + WINDOW_SECONDS
