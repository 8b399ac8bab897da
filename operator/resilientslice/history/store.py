"""Writes the memory of a slice: its ControllerRevisions, and what becomes of the ConfigMap that names them.

A decision that begins with a new revision is pushed only after the revision was stored: a restart would not know what
the Envoys were told. What the API server refuses is said, and holds up nothing but that revision.
"""

from dataclasses import dataclass

from resilientslice.api.slice import ResilientSlice
from resilientslice.applying.applied import Applied
from resilientslice.applying.conflict_words import name_conflicts
from resilientslice.applying.expected import owned
from resilientslice.applying.refusals import RETRY_SECONDS, Refusal, refusal_of
from resilientslice.history.recall import Recall, is_own_state
from resilientslice.history.record import Record, revision_object, same_templates
from resilientslice.history.remembered import Remembered
from resilientslice.kube.cache import Child, Children, controller_uid, slice_key
from resilientslice.kube.children import MANAGER, ChildId
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import AlreadyExistsError, ConflictError, KubeError, NotLeadingError
from resilientslice.kube.kinds import CONFIG_MAP, CONTROLLER_REVISION, Object, SliceKey
from resilientslice.planning.memory import Memory
from resilientslice.planning.wanted_revision import awaited, begun
from resilientslice.render.revision import Revision


@dataclass(frozen=True, slots=True)
class Unstored:
    """A revision that could not be stored: refused, which is to be said, or for a reason that passes by itself."""

    revision: str
    refusal: Refusal | None = None
    error: KubeError | None = None


@dataclass(frozen=True, slots=True)
class Keeping:
    """Of one slice in one pass. `now` in seconds since the epoch."""

    slice_: ResilientSlice
    remembered: Remembered
    applied: Applied
    now: float

    @property
    def key(self) -> SliceKey:
        return SliceKey(self.slice_.namespace, self.slice_.name)


class MemoryStore:
    def __init__(self, client: KubeClient, children: Children) -> None:
        self._client = client
        self._children = children

    async def load(self, slice_: ResilientSlice, remembered: Remembered, now: float, *, sleep_action: bool) -> None:
        """Load what is remembered of a slice, or what it runs, unless that was done. Raises as `Recall`."""
        if remembered.loaded:
            return
        recall = Recall(self._client, self._children, slice_, remembered, sleep_action=sleep_action)
        found = await recall.memory(now)
        remembered.memory, remembered.adopted, remembered.lost, remembered.loaded = (
            found.memory,
            found.adopted,
            found.why,
            True,
        )

    async def begin(self, at: Keeping, before: Memory | None, after: Memory) -> Unstored | None:
        """Store the revisions that a decision leads to and that did not run before. Returns the first that can't be."""
        for revision in begun(before, after, at.remembered.wanted_or(after.stable)):
            unstored = await self._keep(at, revision)
            if unstored is not None:
                return unstored
        return None

    async def store_revisions(self, at: Keeping, record: Record) -> list[KubeError]:
        """Those that are not there, or not any more. Refusals end up in `applied`; returns what failed in this pass and
        may pass by itself."""
        remembered, applied = at.remembered, at.applied
        unstored = [await self._keep(at, revision) for revision in record.known.values()]
        needed = {*record.known, remembered.withheld.revision if remembered.withheld else ""}
        for child in list(applied.refusals):
            if child[0] == CONTROLLER_REVISION.kind and child[1] not in needed:
                del applied.refusals[child]
        errors = [remembered.unstored, *(found.error for found in unstored if found is not None)]
        return [error for error in errors if error is not None]

    async def forget_revisions(self, at: Keeping, record: Record, memory: Memory) -> None:
        """Those that nothing refers to any more; only once the record that doesn't name them was stored."""
        remembered, applied, key = at.remembered, at.applied, at.key
        if (CONFIG_MAP.kind, record.state["metadata"]["name"]) in (applied.refusals.keys() | applied.strangers.keys()):
            return
        gone = [child for child in self._children.of(key).values() if _is_revision(child, remembered.uid)]
        wanted = remembered.wanted_or(memory.stable)
        needed = {*record.known, *([wanted.name] if awaited(memory, wanted) else [])}
        for child in gone:
            if child.name not in needed and not child.deleting:
                remembered.revisions -= {child.name}
                await self._client.delete(CONTROLLER_REVISION, key.namespace, child.name, uid=child.uid)

    async def reclaim_state(self, at: Keeping, wanted: Object) -> None:
        """Make the ConfigMap the slice's again after its owner reference was taken off it. One that someone else
        controls stays as it is."""
        applied, key, now = at.applied, at.key, at.now
        child: ChildId = CONFIG_MAP.kind, wanted["metadata"]["name"]
        known = self._children.of(key).get(child)
        if (known is not None and known.owner_uid == applied.uid) or applied.strangers.get(child, 0.0) > now:
            return
        there = await self._client.find(CONFIG_MAP, key.namespace, child[1])
        if there is None or controller_uid(there):
            return
        if not await is_own_state(self._client, there, applied.uid):
            applied.strangers[child] = now + RETRY_SECONDS
            return
        same = {**wanted, "metadata": {**wanted["metadata"], "uid": there["metadata"]["uid"]}}
        self._children.saw(await self._client.apply(same, manager=MANAGER, force=True))

    async def _keep(self, at: Keeping, revision: Revision) -> Unstored | None:
        remembered, applied, now = at.remembered, at.applied, at.now
        child: ChildId = CONTROLLER_REVISION.kind, revision.name
        if self._is_stored(at, child):
            applied.refusals.pop(child, None)
            return None
        refusal = applied.refusals.get(child)
        if refusal is not None and refusal.until > now:
            return Unstored(revision.name, refusal)
        try:
            stored = await self._store(remembered.uid, owned(at.slice_, revision_object(at.slice_, revision)))
        except NotLeadingError:
            raise
        except KubeError as error:
            refusal = refusal_of(child, revision.name, error, now, refusal)
            if refusal is None:
                return Unstored(revision.name, error=error)
        else:
            refusal = None if stored else _name_taken(child, now)
        if refusal is None:
            remembered.revisions |= {revision.name}
            applied.refusals.pop(child, None)
            return None
        applied.refusals[child] = refusal
        return Unstored(revision.name, refusal)

    def _is_stored(self, at: Keeping, child: ChildId) -> bool:
        """It was read or written by this process, and is still there."""
        known, remembered = self._children.of(at.key).get(child), at.remembered
        if known is None or known.deleting or known.owner_uid != remembered.uid:
            return False
        return child[1] in remembered.revisions

    async def _store(self, uid: str, revision: Object) -> bool:
        """False if the name is someone else's."""
        try:
            self._children.saw(await self._client.create(revision))
        except AlreadyExistsError:
            metadata = revision["metadata"]
            there = await self._client.find(CONTROLLER_REVISION, metadata["namespace"], metadata["name"])
            if there is None:
                raise
            owner, same = controller_uid(there), same_templates(there, revision)
            if owner not in (uid, "") or not (owner or same):
                return False
            if owner and same and slice_key(there) == slice_key(revision):
                self._children.saw(there)
            else:
                await self._replace(there, revision)
        return True

    async def _replace(self, there: Object, revision: Object) -> None:
        """Its data can't be changed, and nothing refers to the one that is there; or it lacks its label or owner."""
        metadata = there["metadata"]
        await self._client.delete(CONTROLLER_REVISION, metadata["namespace"], metadata["name"], uid=metadata["uid"])
        try:
            self._children.saw(await self._client.create(revision))
        except AlreadyExistsError as error:
            raise ConflictError(error.where, status=error.status, message=error.message) from error


def _name_taken(child: ChildId, now: float) -> Refusal:
    (trouble,) = name_conflicts([child])
    return Refusal(child, child[1], now + RETRY_SECONDS, trouble)


def _is_revision(child: Child, uid: str) -> bool:
    return child.kind == CONTROLLER_REVISION.kind and child.owner_uid == uid
