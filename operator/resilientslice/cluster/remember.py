"""Reads and writes the memory of a slice: its ControllerRevisions, and the ConfigMap that names those that count."""

from resilientslice.api.slice import ResilientSlice
from resilientslice.cluster.held import Held
from resilientslice.kube.cache import Children, controller_uid
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import AlreadyExistsError, ConflictError
from resilientslice.kube.kinds import CONFIG_MAP, CONTROLLER_REVISION, Object, SliceKey
from resilientslice.reconcile.children import ChildId
from resilientslice.reconcile.conflict_words import name_conflicts
from resilientslice.reconcile.expected import owned
from resilientslice.reconcile.memory import Memory
from resilientslice.reconcile.observed import Trouble
from resilientslice.reconcile.record import Record, memory_of, revision_names, same_templates
from resilientslice.render.names import state_name


class Remembering:
    def __init__(self, client: KubeClient, children: Children) -> None:
        self._client = client
        self._children = children

    async def load(self, key: SliceKey, held: Held) -> Memory | None:
        """None for a slice that nothing is remembered of. UnreadableMemoryError when what is there makes no sense."""
        name = state_name(key.name)
        child = self._children.of(key).get((CONFIG_MAP.kind, name))
        if child is None or child.owner_uid != held.uid:
            return None
        state = await self._client.find(CONFIG_MAP, key.namespace, name)
        if state is None or not state.get("data"):
            return None  # made to claim the slice: nothing was remembered yet
        found = [await self._client.find(CONTROLLER_REVISION, key.namespace, name) for name in revision_names(state)]
        stored = [revision for revision in found if revision is not None]
        memory = memory_of(state, stored)
        held.revisions = frozenset(revision["metadata"]["name"] for revision in stored)
        return memory

    async def store_revisions(self, slice_: ResilientSlice, held: Held, record: Record) -> tuple[Trouble, ...]:
        """Those that are not known to be there. Troubles are about names that are somebody else's."""
        troubles: tuple[Trouble, ...] = ()
        for name in record.known:
            if name in held.revisions:
                continue
            if await self._store(held, owned(slice_, record.revision(name))):
                held.revisions |= {name}
            else:
                troubles += name_conflicts([(CONTROLLER_REVISION.kind, name)])
        return troubles

    async def forget_revisions(self, key: SliceKey, held: Held, record: Record) -> None:
        """Those that nothing refers to any more; only once the record that doesn't name them was stored."""
        gone = [child for child in self._children.of(key).values() if _is_ours(child.key, child.owner_uid, held.uid)]
        for child in gone:
            if child.name not in record.known and not child.deleting:
                held.revisions -= {child.name}
                await self._client.delete(CONTROLLER_REVISION, key.namespace, child.name, uid=child.uid)

    async def _store(self, held: Held, revision: Object) -> bool:
        """False if the name is somebody else's."""
        try:
            self._children.saw(await self._client.create(revision))
        except AlreadyExistsError:
            metadata = revision["metadata"]
            there = await self._client.find(CONTROLLER_REVISION, metadata["namespace"], metadata["name"])
            if there is None:
                raise
            if controller_uid(there) != held.uid:
                return False
            if not same_templates(there, revision):
                await self._replace(there, revision)
        return True

    async def _replace(self, there: Object, revision: Object) -> None:
        """Its data can't be changed, and nothing refers to the one that is there."""
        metadata = there["metadata"]
        await self._client.delete(CONTROLLER_REVISION, metadata["namespace"], metadata["name"], uid=metadata["uid"])
        try:
            self._children.saw(await self._client.create(revision))
        except AlreadyExistsError as error:
            raise ConflictError(error.where, status=error.status, message=error.message) from error


def _is_ours(key: ChildId, owner: str, uid: str) -> bool:
    return key[0] == CONTROLLER_REVISION.kind and owner == uid
