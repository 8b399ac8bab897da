"""The revision that a slice asks for, computed again only when its inputs have changed; and what acts without it.

A revision that the API server does not store is withheld: it waits, and everything else acts.
"""

from dataclasses import replace
from typing import Any

from resilientslice.api.slice import ResilientSlice
from resilientslice.applying.applied import Applied
from resilientslice.applying.refusals import Refusal
from resilientslice.history.remembered import Remembered, Withheld
from resilientslice.history.store import Unstored
from resilientslice.planning.memory import Memory
from resilientslice.planning.wanted_revision import canary_without_wanted, wanted_revision, without_wanted
from resilientslice.render.revision import Revision


class NothingStoredError(Exception):
    """The very first revision of a slice is refused: there is nothing that could continue."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.trouble.message)
        self.refusal = refusal


def withhold(remembered: Remembered, applied: Applied, slice_: ResilientSlice, failed: Unstored) -> Withheld:
    """Take note of it, with what it means in words."""
    if failed.refusal is not None:
        applied.refusals[failed.refusal.object] = _with_meaning(failed.refusal)
    if remembered.withheld is None or remembered.withheld.revision != failed.revision:
        canary = slice_.spec.canary
        remembered.withheld = Withheld(failed.revision, canary.weight if canary else None)
    return remembered.withheld


def without(slice_: ResilientSlice, memory: Memory, withheld: Withheld) -> ResilientSlice:
    """The slice as it acts meanwhile."""
    canary = canary_without_wanted(slice_.spec.canary, memory, withheld.weight)
    return slice_.model_copy(update={"spec": slice_.spec.model_copy(update={"canary": canary})})


def _with_meaning(refusal: Refusal) -> Refusal:
    meaning = f" Revision {refusal.object[1]} is not started until it can be stored."
    said = refusal.trouble.message.removesuffix(meaning)
    return replace(refusal, trouble=replace(refusal.trouble, message=said + meaning))


def asked(
    remembered: Remembered,
    slice_: ResilientSlice,
    memory: Memory | None,
    withheld: Withheld | None,
    *,
    sleep_action: bool,
) -> tuple[ResilientSlice, Revision]:
    """The slice and its revision; or what continues while that revision can't be stored."""
    if withheld is not None and memory is not None:
        return without(slice_, memory, withheld), without_wanted(memory)
    return slice_, wanted_of(remembered, slice_, memory, sleep_action=sleep_action)


def wanted_of(remembered: Remembered, slice_: ResilientSlice, memory: Memory | None, *, sleep_action: bool) -> Revision:
    """A weight is nothing that it is made from."""
    spec = slice_.spec
    header = spec.canary.header if spec.canary else None
    bare = spec.model_copy(update={"canary": None, "suspend": False})
    known = (memory.stable, memory.canary, memory.history, memory.leaving) if memory else None
    basis: tuple[Any, ...] = (bare, header, known)
    if remembered.wanted is None or remembered.wanted[0] != basis:
        found = wanted_revision(slice_, memory, sleep_action=sleep_action)
        remembered.wanted = (basis, found)
    return remembered.wanted[1]
