"""A revision that the spec asks for and the API server doesn't take: it waits, and everything else acts."""

from dataclasses import replace

from resilientslice.api.slice import ResilientSlice
from resilientslice.applying.refusals import Refusal
from resilientslice.controller.held import Held, Withheld
from resilientslice.history.store import Unstored
from resilientslice.planning.memory import Memory
from resilientslice.planning.wanted_revision import canary_without_wanted


class NothingStoredError(Exception):
    """The very first revision of a slice is refused: there is nothing that could go on."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.trouble.message)
        self.refusal = refusal


def withhold(held: Held, slice_: ResilientSlice, failed: Unstored) -> Withheld:
    """Take note of it, with what it means in words."""
    if failed.refusal is not None:
        held.refusals[failed.refusal.object] = _with_meaning(failed.refusal)
    if held.withheld is None or held.withheld.revision != failed.revision:
        canary = slice_.spec.canary
        held.withheld = Withheld(failed.revision, canary.weight if canary else None)
    return held.withheld


def without(slice_: ResilientSlice, memory: Memory, withheld: Withheld) -> ResilientSlice:
    """The slice as it acts meanwhile."""
    canary = canary_without_wanted(slice_.spec.canary, memory, withheld.weight)
    return slice_.model_copy(update={"spec": slice_.spec.model_copy(update={"canary": canary})})


def _with_meaning(refusal: Refusal) -> Refusal:
    meaning = f" Revision {refusal.object[1]} is not started until it can be stored."
    said = refusal.trouble.message.removesuffix(meaning)
    return replace(refusal, trouble=replace(refusal.trouble, message=said + meaning))
