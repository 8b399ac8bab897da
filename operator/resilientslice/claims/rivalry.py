"""Other operators that change the same slice: those that say so, and those that make no claims."""

from dataclasses import dataclass, field

from resilientslice.applying.retakes import Contests
from resilientslice.claims.decision import LOOK_SECONDS, UNKNOWN
from resilientslice.kube.children import ChildId
from resilientslice.planning.observed import Trouble

WHOLE: ChildId = ("ResilientSlice", "")
"""What is contested is the slice as a whole."""


@dataclass(slots=True)
class Rivalry:
    """Times are seconds since the epoch."""

    rivals: tuple[Trouble, ...] = ()
    """Other operators that would manage the slice, too."""
    overwrites: Contests = field(default_factory=Contests)
    """How often the slice was overwritten by a program of our name, and until when it is left to that."""

    def note(self, now: float) -> None:
        """The slice was overwritten by an operator that makes no claims."""
        self.overwrites = self.overwrites.current(now).retaken(WHOLE, [(UNKNOWN, "")], now)

    def left_until(self, now: float) -> float | None:
        """Return until when the slice is left alone, because an operator without claims keeps changing it."""
        self.overwrites = self.overwrites.current(now)
        return self.overwrites.deadline(now) if self.overwrites.held(now) else None

    def deadlines(self, now: float) -> list[float]:
        times = (self.overwrites.deadline(now), now + LOOK_SECONDS if self.rivals else None)
        return [at for at in times if at]
