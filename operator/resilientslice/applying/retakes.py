"""Two managers of one field: when someone sets again and again what we set too, both lose. One of them has to say so.

A field that had to be taken back three times in five minutes is left alone for a while, longer each time, and is named
in the status, with the manager that sets it. Only that field: the rest of its object is applied meanwhile.
When the slice asks for another value of the field itself, that is a new wish, and is tried at once, once.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from resilientslice.kube.children import ChildId

NOTHING: Mapping[str, str] = MappingProxyType({})
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
    wish: str = ""
    """Digest of the value that it was to have when it was taken back last."""


@dataclass(frozen=True, slots=True)
class Contests:
    """All of one slice. Kept while the process lives: a conflict that continues is found again within minutes."""

    of: Mapping[tuple[ChildId, str], Contest] = field(default_factory=dict)

    def retaken(
        self, child: ChildId, lost: Iterable[tuple[str, str]], now: float, wishes: Mapping[str, str] = NOTHING
    ) -> "Contests":
        """Fields (with who took them) are about to be taken back. `wishes`: digests of the values they are to have."""
        found = dict(self.of)
        for name, manager in lost:
            known = replace(found.get((child, name), Contest(child, name, manager)), manager=manager)
            # another wish during a pause is no sign of who gives in: the pause neither grows nor begins anew
            taken = known if known.until > now else _once_more(known, now)
            found[child, name] = replace(taken, wish=wishes.get(name, ""))
        return replace(self, of=found)

    def left(self, child: ChildId, wishes: Mapping[str, str], now: float) -> frozenset[str]:
        """Fields of an object that are left to others, unless the slice wishes for something else by now."""
        return frozenset(
            contest.field
            for contest in self.of.values()
            if contest.object == child and contest.until > now and contest.wish == wishes.get(contest.field, "")
        )

    def paused(self, child: ChildId, now: float) -> frozenset[str]:
        """The same, whatever is wished for."""
        return frozenset(name for (known, name), contest in self.of.items() if known == child and contest.until > now)

    def about(self, child: ChildId) -> frozenset[str]:
        """Fields of an object that are, or were lately, contested."""
        return frozenset(name for known, name in self.of if known == child)

    def without(self, child: ChildId, fields: Collection[str]) -> "Contests":
        """They are over: nobody else has the field any more, or the slice doesn't set it."""
        if not fields:
            return self
        kept = {key: contest for key, contest in self.of.items() if key[0] != child or key[1] not in fields}
        return replace(self, of=kept)

    def of_children(self, children: Collection[ChildId]) -> "Contests":
        """Of those that are still rendered."""
        kept = {key: contest for key, contest in self.of.items() if key[0] in children}
        return self if len(kept) == len(self.of) else replace(self, of=kept)

    def current(self, now: float) -> "Contests":
        """Without those that nobody contested for so long that they count no more."""
        kept = {key: contest for key, contest in self.of.items() if _forgotten_at(contest) > now}
        return self if len(kept) == len(self.of) else replace(self, of=kept)

    def conflicts(self, now: float) -> tuple[Contest, ...]:
        """Those to be named: contested until a whole window has passed since the last pause."""
        found = (contest for contest in self.of.values() if contest.pause and _forgotten_at(contest) > now)
        return tuple(sorted(found, key=lambda contest: (contest.object, contest.field)))

    def held(self, now: float) -> frozenset[ChildId]:
        """Objects of which a field is left to others."""
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
