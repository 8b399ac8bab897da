"""The record of what was applied of one slice: what was refused, left to others, or stands in the way.

All of it can be found again within a few minutes of reconciling.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from resilientslice.applying.difference import Action, Change
from resilientslice.applying.refusals import Refusal
from resilientslice.applying.retakes import Contests
from resilientslice.kube.cache import Child
from resilientslice.kube.children import ChildId
from resilientslice.planning.observed import Trouble


@dataclass(frozen=True, slots=True)
class Left:
    """Fields of an object that were left to others when it was applied last, and its generation after that."""

    fields: frozenset[str]
    generation: int = 0


@dataclass(slots=True)
class Applied:
    """Times are seconds since the epoch."""

    uid: str
    """Of the slice, the owner of what is applied."""
    shapes: dict[ChildId, tuple[str, str]] = field(default_factory=dict)
    """Objects of which the API server keeps less than is rendered: digest, and the fields that it keeps."""
    written: dict[ChildId, str] = field(default_factory=dict)
    """Digests of what this process wrote last."""
    left: dict[ChildId, Left] = field(default_factory=dict)
    contests: Contests = field(default_factory=Contests)
    refusals: dict[ChildId, Refusal] = field(default_factory=dict)
    """Until the object was written, or is as it should be, or isn't expected any more."""
    foreign: tuple[ChildId, ...] = ()
    """Objects with our label that have another controller."""
    strangers: dict[ChildId, float] = field(default_factory=dict)
    """Objects without our label that have a name we need, and when to look again."""
    remade: frozenset[str] = frozenset()
    """StatefulSets that were let go of their pods, to be created again around them."""

    def expected_shapes(self, children: Mapping[ChildId, Child], now: float) -> Mapping[ChildId, tuple[str, str]]:
        """Return `shapes` without objects of which a field was left to others and may not be any longer: its time is
        over, or the object was changed since, perhaps by them giving it up."""
        due = {child for child, left in self.left.items() if self._is_due(children.get(child), left, now)}
        return {child: noted for child, noted in self.shapes.items() if child not in due}

    def overwritten(self, changes: Iterable[Change]) -> bool:
        """Return whether a program that acts as this one, without a claim, has overwritten what this process wrote."""
        return any(c.action is Action.UPDATE and self.written.get(c.id) == c.expected.digest for c in changes)

    def withheld(self, digests: Mapping[ChildId, str], now: float) -> set[ChildId]:
        """Return the objects that are not to be tried now: refused as they are rendered, or with a name in use.

        Strangers that aren't expected any more are forgotten."""
        self.strangers = {child: until for child, until in self.strangers.items() if child in digests}
        refused = {
            child
            for child, refusal in self.refusals.items()
            if refusal.until > now and digests.get(child) == refusal.digest
        }
        return refused | {child for child, until in self.strangers.items() if until > now}

    def keep_refusals(self, children: Collection[ChildId]) -> None:
        """Forget refusals of all objects but these."""
        self.refusals = {child: refusal for child, refusal in self.refusals.items() if child in children}

    def troubles(self) -> tuple[Trouble, ...]:
        return tuple(self.refusals[key].trouble for key in sorted(self.refusals))

    def obstacles(self) -> tuple[Any, ...]:
        """Return what a pass may meet with, to be compared with the same after it."""
        return self.foreign, tuple(self.strangers), {child: refusal.trouble for child, refusal in self.refusals.items()}

    def deadlines(self) -> list[float]:
        return [*(refusal.until for refusal in self.refusals.values()), *self.strangers.values()]

    def _is_due(self, child: Child | None, left: Left, now: float) -> bool:
        if child is None or child.generation != left.generation:
            return True
        return not left.fields <= self.contests.paused(child.key, now)
