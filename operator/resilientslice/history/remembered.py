"""The memory of one slice as its process holds it, and what is known of where it is stored."""

from dataclasses import dataclass
from typing import Any

from resilientslice.history.adoption import Adopted
from resilientslice.kube.errors import KubeError
from resilientslice.planning.memory import Memory
from resilientslice.render.revision import Revision


@dataclass(frozen=True, slots=True)
class Withheld:
    """A revision that the spec asks for and that can't be stored. `weight`: `spec.canary.weight` when that was first
    found out."""

    revision: str
    weight: int | None


@dataclass(slots=True)
class Remembered:
    uid: str
    """Of the slice."""
    memory: Memory | None = None
    loaded: bool = False
    """`memory` was looked for in the cluster."""
    regained: bool = False
    """Nothing has to be recovered from the Envoys any more."""
    adopted: Adopted | None = None
    """What `memory` was made of, until the Envoys have said how far its canary had got."""
    lost: str = ""
    """Lost part of the memory, until it is reported."""
    wanted: tuple[tuple[Any, ...], Revision] | None = None
    """The revision that the spec asks for, and what it was computed from."""
    withheld: Withheld | None = None
    unstored: KubeError | None = None
    """Why a revision was not stored in this pass, if that may pass by itself."""
    revisions: frozenset[str] = frozenset()
    """ControllerRevisions that this process has read or written."""

    def wanted_or(self, revision: Revision) -> Revision:
        return self.wanted[1] if self.wanted else revision

    def all_revisions(self) -> tuple[Revision | None, ...]:
        memory = self.memory
        return (memory.stable, memory.canary, *memory.history, *memory.leaving) if memory else ()
