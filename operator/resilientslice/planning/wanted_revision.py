"""Which revision a slice asks for, in the words of the revisions that are known already.

Revisions are the same if their content is. One that is known keeps its name and the templates that it was first
rendered with, and so does every service that a new revision leaves as it was: nothing restarts that nobody edited.
"""

from collections.abc import Mapping
from dataclasses import replace

from resilientslice.api.policies import Canary
from resilientslice.api.slice import ResilientSlice
from resilientslice.canary.state import Phase
from resilientslice.planning.memory import HISTORY, Memory
from resilientslice.render.revision import Revision, refreshed, revision_of

_SERVES = frozenset({Phase.STARTING, Phase.PROGRESSING, Phase.PAUSED})


def wanted_revision(slice_: ResilientSlice, memory: Memory | None, *, sleep_action: bool = True) -> Revision:
    if memory is None:
        return revision_of(slice_, sleep_action=sleep_action)
    fresh = revision_of(slice_, after=memory.stable, taken=memory.leaving, sleep_action=sleep_action)
    for running in (memory.stable, memory.canary):
        if running is not None and running.content == fresh.content:
            return refreshed(running, fresh)
    for former in memory.history:
        if former.content == fresh.content:
            return replace(_with_templates_of(former, fresh), name=former.name)
    return _with_templates_of(memory.stable, fresh)


def known_revisions(memory: Memory, wanted: Revision) -> Mapping[str, Revision]:
    """Every revision that can be named by a decision, by name."""
    running = [memory.stable] if memory.canary is None else [memory.stable, memory.canary]
    return {revision.name: revision for revision in (*running, wanted)}


def begun(before: Memory | None, after: Memory, wanted: Revision) -> tuple[Revision, ...]:
    """Revisions that a decision leads to and that no track ran before it: also the wanted one whose turn is yet to
    come, since what it replaces ends for its sake."""
    known = {revision.name for revision in (before.stable, before.canary) if revision} if before else set[str]()
    coming = {revision.name: revision for revision in (after.stable, after.canary) if revision}
    if awaited(after, wanted):
        coming.setdefault(wanted.name, wanted)
    return tuple(revision for name, revision in coming.items() if name not in known)


def awaited(memory: Memory, wanted: Revision) -> bool:
    """It is to run, or runs: it was not aborted."""
    return wanted.name == memory.stable.name or memory.state.abortion(wanted.name) is None


def without_wanted(memory: Memory) -> Revision:
    """What is wanted in place of a revision that can't be stored: what there is continues."""
    return memory.canary if memory.canary is not None and memory.state.phase in _SERVES else memory.stable


def canary_without_wanted(canary: Canary | None, memory: Memory, came_with: int | None) -> Canary | None:
    """The canary section meanwhile. A weight that came with the revision isn't for the canary that lives on; nor is the
    section's removal, which would promote that one."""
    if canary is None:
        return Canary() if memory.canary is not None else None
    pin = memory.state.pin
    if canary.weight is None or canary.weight != came_with or (pin is not None and pin.weight == canary.weight):
        return canary
    return canary.model_copy(update={"weight": pin.weight if pin else None})


def remembered(history: tuple[Revision, ...], revision: Revision) -> tuple[Revision, ...]:
    """`history` with one more revision that was stable, newest first."""
    return (revision, *(former for former in history if former.name != revision.name))[:HISTORY]


def _with_templates_of(known: Revision, fresh: Revision) -> Revision:
    return replace(
        fresh,
        services={
            name: replace(service, template=known.services[name].template)
            if name in known.services and known.services[name].digest == service.digest
            else service
            for name, service in fresh.services.items()
        },
    )
