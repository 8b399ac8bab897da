"""Which revision a slice asks for, in the words of the revisions that are known already.

Revisions are the same if their content is. One that is known keeps its name and the templates that it was first
rendered with, and so does every service that a new revision leaves as it was: nothing restarts that nobody edited.
"""

from collections.abc import Mapping
from dataclasses import replace

from resilientslice.api.slice import ResilientSlice
from resilientslice.reconcile.memory import HISTORY, Memory
from resilientslice.render.revision import Revision, refreshed, revision_of


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
