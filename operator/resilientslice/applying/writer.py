"""Writes what a difference says, one kind after the other, and takes note of what the API server answers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from resilientslice.applying.applied import Applied, Left
from resilientslice.applying.contested import TakingBack, take_back
from resilientslice.applying.difference import Action, Change, Difference
from resilientslice.applying.refusals import RETRY_SECONDS, refusal_of
from resilientslice.kube.cache import Children, controller_uid
from resilientslice.kube.children import (
    DIGEST_ANNOTATION,
    MANAGER,
    REPLICAS_MANAGER,
    ChildId,
    note_of,
)
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import ConflictError, KubeError, NotLeadingError
from resilientslice.kube.kinds import CHILD_KINDS, STATEFUL_SET, Object, SliceKey, kind_of
from resilientslice.render.kinds import BEFORE_PODS, POD_OWNERS
from resilientslice.render.stores.workload import same_claims

_log = logging.getLogger(__name__)

AT_ONCE = 8
"""Writes of one slice under way at a time."""
_KINDS = {kind.kind: kind for kind in CHILD_KINDS}

Finished = Callable[[Change], Object]
"""The object of a change, complete with what is only known when it is written."""


class ObjectWriter:
    """Of one pass over one slice. Refusals and strangers end up in `applied`; what passes by itself is raised."""

    def __init__(
        self, client: KubeClient, children: Children, key: SliceKey, *, applied: Applied, now: float, finished: Finished
    ) -> None:
        self._client = client
        self._children = children
        self._key = key
        self._applied = applied
        self._now = now
        self._finished = finished
        self._places = asyncio.Semaphore(AT_ONCE)

    async def carry_out(self, difference: Difference) -> list[KubeError]:
        """Returns the failures that are worth another try soon. Each keeps nothing from being tried but pods, if it is
        of what has to be there before them."""
        failures: list[KubeError] = []
        # also what an earlier pass was refused, and is not tried again for a while
        tried = {change.id for change in difference.changes}
        refused = (child for child in self._applied.refusals if child not in tried)
        obstacles = (*difference.strangers, *refused, *self._applied.strangers)
        isolated = not any(kind in BEFORE_PODS for kind, _ in obstacles)
        for kind, changes in groupby(difference.changes, key=lambda change: change.id[0]):
            if kind in POD_OWNERS and not isolated:
                continue
            failed = await self._all(self._write(change) for change in changes)
            stopped = failed or any(other == kind for other, _ in (*self._applied.refusals, *self._applied.strangers))
            isolated = isolated and not (kind in BEFORE_PODS and stopped)
            failures += failed
        for child in difference.gone:
            failures += await self._all([self._remove(child)])
        return failures

    async def _all(self, writes: Iterable[Awaitable[None]]) -> list[KubeError]:
        found = await asyncio.gather(*(self._one(write) for write in writes), return_exceptions=True)
        return _kube_errors(found)

    async def _one(self, write: Awaitable[None]) -> None:
        async with self._places:
            await write

    async def _write(self, change: Change) -> None:
        try:
            await self._changed(change)
        except KubeError as error:
            before = self._applied.refusals.get(change.id)
            refusal = refusal_of(change.id, change.expected.digest, error, self._now, before)
            if refusal is None:
                self._applied.refusals.pop(change.id, None)
                raise
            self._applied.refusals[change.id] = refusal
        else:
            self._applied.refusals.pop(change.id, None)

    async def _changed(self, change: Change) -> None:
        wanted, uid = self._finished(change), ""
        self._applied.left.pop(change.id, None)
        if change.action is not Action.UPDATE or self._applied.contests.about(change.id):
            live = await self._client.find(kind_of(wanted), self._key.namespace, change.id[1])
            if live is not None and controller_uid(live) != self._applied.uid:
                self._applied.strangers[change.id] = self._now + RETRY_SECONDS
                return
            uid = live["metadata"]["uid"] if live else ""
            taking = self._take_back(change, live, wanted) if live is not None else None
            if taking is not None and taking.left and not taking.taken and change.action is Action.RETAKE:
                self._note(change)  # nothing else was changed by others
                return
            wanted = taking.wanted if taking is not None else wanted
        else:
            child = self._children.of(self._key).get(change.id)
            uid = child.uid if child else ""
        if change.action is Action.UPDATE and change.id[0] == STATEFUL_SET.kind and await self._let_go(wanted, uid):
            return
        self._applied.strangers.pop(change.id, None)
        await self._apply(change, wanted, uid)

    def _take_back(self, change: Change, live: Object, wanted: Object) -> TakingBack:
        self._saw(live)
        drift = change.action is Action.RETAKE
        found = take_back(self._applied.contests, change.id, live, wanted, self._now, drift=drift)
        self._applied.contests = found.contests
        if found.left:
            self._applied.left[change.id] = Left(found.left)
        if drift and found.taken:
            _log.info("%s: %s changed by others, taken back: %s", self._key, " ".join(change.id), found.taken)
        return found

    async def _let_go(self, wanted: Object, uid: str) -> bool:
        """True if a StatefulSet has to be created again: its claim templates are immutable. Its pod continues, and is
        taken over by the one that follows as soon as this one is gone."""
        name = wanted["metadata"]["name"]
        live = await self._client.find(STATEFUL_SET, self._key.namespace, name)
        if live is None or live["metadata"]["uid"] != uid:
            return False
        if "deletionTimestamp" in live["metadata"]:
            return True
        if same_claims(live["spec"].get("volumeClaimTemplates") or (), wanted["spec"]["volumeClaimTemplates"]):
            return False
        self._applied.remade |= {name}
        _log.info("%s: StatefulSet %s is created again, its pod continues", self._key, name)
        await self._client.delete(STATEFUL_SET, self._key.namespace, name, uid=uid, propagation="Orphan")
        return True

    async def _apply(self, change: Change, wanted: Object, uid: str) -> None:
        if change.hand_over is not None:
            uid = await self._hand_over(change, wanted, uid)
        answer = await self._client.apply(_with_uid(wanted, uid), manager=MANAGER, force=True)
        self._saw(answer)
        self._applied.written[change.id] = change.expected.digest
        self._note(change)

    def _note(self, change: Change) -> None:
        """The API server keeps less than is rendered: a field that this version of it doesn't know, or that is left to
        others."""
        child = self._children.of(self._key).get(change.id)
        if child is None:
            return
        fields = note_of(child).fields
        if fields != change.expected.shape:
            self._applied.shapes[change.id] = (child.annotations.get(DIGEST_ANNOTATION, ""), fields)
        if change.id in self._applied.left:
            self._applied.left[change.id] = replace(self._applied.left[change.id], generation=child.generation)

    async def _hand_over(self, change: Change, wanted: Object, uid: str) -> str:
        """`replicas` gets a second owner before the first gives it up, so that it keeps its value meanwhile."""
        spec = {"replicas": change.hand_over}
        if change.action is Action.CREATE:
            first = await self._client.apply(
                {**wanted, "spec": {**wanted["spec"], **spec}}, manager=MANAGER, force=True
            )
            uid = first["metadata"]["uid"]
        metadata = wanted["metadata"]
        identity = {"name": metadata["name"], "namespace": metadata["namespace"]}
        only = {"apiVersion": wanted["apiVersion"], "kind": wanted["kind"], "metadata": identity, "spec": spec}
        await self._client.apply(_with_uid(only, uid), manager=REPLICAS_MANAGER, force=True)
        return uid

    def _saw(self, answer: Object) -> None:
        self._children.saw(answer)

    async def _remove(self, key: ChildId) -> None:
        child = self._children.of(self._key).get(key)
        if child is None:
            return
        try:
            await self._client.delete(_KINDS[child.kind], self._key.namespace, child.name, uid=child.uid)
        except ConflictError:
            _log.info("%s: %s was replaced by another one, which is not removed", self._key, " ".join(key))


def _with_uid(wanted: Object, uid: str) -> Object:
    """So that an object which was replaced meanwhile is never touched."""
    return {**wanted, "metadata": {**wanted["metadata"], "uid": uid}} if uid else wanted


def _kube_errors(found: Sequence[BaseException | None]) -> list[KubeError]:
    """Raises whatever is no KubeError, and NotLeadingError."""
    for error in found:
        if isinstance(error, BaseException) and (
            isinstance(error, NotLeadingError) or not isinstance(error, KubeError)
        ):
            raise error
    return [error for error in found if isinstance(error, KubeError)]
