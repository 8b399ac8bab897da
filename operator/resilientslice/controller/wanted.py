"""The revision that a slice asks for: worked out again only when something that it is made from has changed."""

from typing import Any

from resilientslice.api.slice import ResilientSlice
from resilientslice.controller.held import Held, Withheld
from resilientslice.controller.withheld import without
from resilientslice.planning.memory import Memory
from resilientslice.planning.wanted_revision import wanted_revision, without_wanted
from resilientslice.render.revision import Revision


def asked(
    held: Held, slice_: ResilientSlice, memory: Memory | None, withheld: Withheld | None, *, sleep_action: bool
) -> tuple[ResilientSlice, Revision]:
    """The slice and its revision; or what goes on while that revision can't be stored."""
    if withheld is not None and memory is not None:
        return without(slice_, memory, withheld), without_wanted(memory)
    return slice_, wanted_of(held, slice_, memory, sleep_action=sleep_action)


def wanted_of(held: Held, slice_: ResilientSlice, memory: Memory | None, *, sleep_action: bool) -> Revision:
    """A weight is nothing that it is made from."""
    spec = slice_.spec
    header = spec.canary.header if spec.canary else None
    bare = spec.model_copy(update={"canary": None, "suspend": False})
    known = (memory.stable, memory.canary, memory.history, memory.leaving) if memory else None
    basis: tuple[Any, ...] = (bare, header, known)
    if held.wanted is None or held.wanted[0] != basis:
        found = wanted_revision(slice_, memory, sleep_action=sleep_action)
        held.wanted = (basis, found)
    return held.wanted[1]
