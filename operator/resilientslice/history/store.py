"""Writes the memory of a slice: its ControllerRevisions, and what becomes of the ConfigMap that names them.

A decision that begins with a new revision is pushed only after the revision was stored: a restart would not know what
the Envoys were told. What the API server refuses is said, and holds up nothing but that revision.
"""

from dataclasses import dataclass

from resilientslice.api.slice import ResilientSlice
from resilientslice.applying.conflict_words import name_conflicts
from resilientslice.applying.expected import owned
from resilientslice.applying.refusals import RETRY_SECONDS, Refusal, refusal_of
from resilientslice.controller.held import Held
from resilientslice.history.recall import Recall, Recalled, is_own_state
from resilientslice.history.record import Record, revision_object, same_templates
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


class Remembering:
    def __init__(self, client: KubeClient, children: Children) -> None:
        self._client = client
        self._children = children

    async def load(self, slice_: ResilientSlice, held: Held, now: float, *, sleep_action: bool) -> Recalled:
        """What is remembered of a slice, or what it runs. Raises as `Recall`."""
        return await Recall(self._client, self._children, slice_, held, sleep_action=sleep_action).memory(now)

    async def begin(
        self, slice_: ResilientSlice, held: Held, before: Memory | None, after: Memory, now: float
    ) -> Unstored | None:
        """Store the revisions that a decision leads to and that did not run before. Returns the first that can't be."""
        wanted = held.wanted[1] if held.wanted else after.stable
        for revision in begun(before, after, wanted):
            unstored = await self._keep(slice_, held, revision, now)
            if unstored is not None:
                return unstored
        return None

    async def store_revisions(self, slice_: ResilientSlice, held: Held, record: Record, now: float) -> list[KubeError]:
        """Those that are not there, or not any more. Refusals end up in `held`; returns what failed in this pass and
        may pass by itself."""
        unstored = [await self._keep(slice_, held, revision, now) for revision in record.known.values()]
        needed = {*record.known, held.withheld.revision if held.withheld else ""}
        for child in list(held.refusals):
            if child[0] == CONTROLLER_REVISION.kind and child[1] not in needed:
                del held.refusals[child]
        errors = [held.unstored, *(found.error for found in unstored if found is not None)]
        return [error for error in errors if error is not None]

    async def forget_revisions(self, key: SliceKey, held: Held, record: Record, memory: Memory) -> None:
        """Those that nothing refers to any more; only once the record that doesn't name them was stored."""
        if (CONFIG_MAP.kind, record.state["metadata"]["name"]) in (held.refusals.keys() | held.strangers.keys()):
            return
        gone = [child for child in self._children.of(key).values() if _is_revision(child, held.uid)]
        wanted = held.wanted[1] if held.wanted else memory.stable
        needed = {*record.known, *([wanted.name] if awaited(memory, wanted) else [])}
        for child in gone:
            if child.name not in needed and not child.deleting:
                held.revisions -= {child.name}
                await self._client.delete(CONTROLLER_REVISION, key.namespace, child.name, uid=child.uid)

    async def reclaim_state(self, key: SliceKey, held: Held, wanted: Object, now: float) -> None:
        """Make the ConfigMap the slice's again after its owner reference was taken off it. One that somebody else
        controls stays as it is."""
        child: ChildId = CONFIG_MAP.kind, wanted["metadata"]["name"]
        known = self._children.of(key).get(child)
        if (known is not None and known.owner_uid == held.uid) or held.strangers.get(child, 0.0) > now:
            return
        there = await self._client.find(CONFIG_MAP, key.namespace, child[1])
        if there is None or controller_uid(there):
            return
        if not await is_own_state(self._client, there, held.uid):
            held.strangers[child] = now + RETRY_SECONDS
            return
        same = {**wanted, "metadata": {**wanted["metadata"], "uid": there["metadata"]["uid"]}}
        self._children.saw(await self._client.apply(same, manager=MANAGER, force=True))

    async def _keep(self, slice_: ResilientSlice, held: Held, revision: Revision, now: float) -> Unstored | None:
        child: ChildId = CONTROLLER_REVISION.kind, revision.name
        if self._is_stored(slice_, held, child):
            held.refusals.pop(child, None)
            return None
        refusal = held.refusals.get(child)
        if refusal is not None and refusal.until > now:
            return Unstored(revision.name, refusal)
        try:
            stored = await self._store(held, owned(slice_, revision_object(slice_, revision)))
        except NotLeadingError:
            raise
        except KubeError as error:
            refusal = refusal_of(child, revision.name, error, now, refusal)
            if refusal is None:
                return Unstored(revision.name, error=error)
        else:
            refusal = None if stored else _name_taken(child, now)
        if refusal is None:
            held.revisions |= {revision.name}
            held.refusals.pop(child, None)
            return None
        held.refusals[child] = refusal
        return Unstored(revision.name, refusal)

    def _is_stored(self, slice_: ResilientSlice, held: Held, child: ChildId) -> bool:
        """It was read or written by this process, and is still there."""
        known = self._children.of(SliceKey(slice_.namespace, slice_.name)).get(child)
        return child[1] in held.revisions and known is not None and known.owner_uid == held.uid and not known.deleting

    async def _store(self, held: Held, revision: Object) -> bool:
        """False if the name is somebody else's."""
        try:
            self._children.saw(await self._client.create(revision))
        except AlreadyExistsError:
            metadata = revision["metadata"]
            there = await self._client.find(CONTROLLER_REVISION, metadata["namespace"], metadata["name"])
            if there is None:
                raise
            owner, same = controller_uid(there), same_templates(there, revision)
            if owner not in (held.uid, "") or not (owner or same):
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
