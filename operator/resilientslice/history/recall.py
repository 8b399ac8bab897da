"""Finds the memory of a slice when the process knows none: as it was stored, or from what runs where that is lost.

Nothing is concluded from the cache of children alone, which has what carries the slice's label: the ConfigMap, the
revisions and the Deployments that it lacks are asked for by name. Reads; keeps a copy of what is damaged.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from resilientslice.api.slice import ResilientSlice
from resilientslice.history.adoption import Adopted, Found, adopt, restored
from resilientslice.history.record import Stored, memory_of, read_state, revision_of_object, state_text
from resilientslice.history.remembered import Remembered
from resilientslice.history.running import Running, running_of
from resilientslice.history.second_copy import SecondCopy, read_copy
from resilientslice.kube.cache import Children, controller_uid
from resilientslice.kube.children import REVISION_ANNOTATION
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import KubeError, NotLeadingError
from resilientslice.kube.kinds import CONFIG_MAP, CONTROLLER_REVISION, DEPLOYMENT, SERVICE, Kind, Object, SliceKey
from resilientslice.planning.memory import DamagedMemoryError, Memory, UnreadableMemoryError
from resilientslice.render.names import LABEL_SERVICE, Track, proxy_name, service_name, state_name, track_name
from resilientslice.render.revision import Revision

_log = logging.getLogger(__name__)

DAMAGED_KEY = "damaged.txt"
"""In the ConfigMap: what could not be read, for people."""
LARGEST_COPY = 256 * 1024
MANAGER = "resilientslice-damaged"


@dataclass(frozen=True, slots=True)
class Recalled:
    """`memory` is None for a slice that nothing is known of and that doesn't run. `adopted`: its canary may have got
    further, which the Envoys prove."""

    memory: Memory | None
    adopted: Adopted | None = None
    why: str = ""
    """What was lost; empty if nothing was."""


class Recall:
    """Of one slice. Raises UnreadableMemoryError for what a later version wrote, KubeError for what can't be read."""

    def __init__(
        self,
        client: KubeClient,
        children: Children,
        slice_: ResilientSlice,
        remembered: Remembered,
        *,
        sleep_action: bool,
    ) -> None:
        self._client = client
        self._slice = slice_
        self._key = SliceKey(slice_.namespace, slice_.name)
        self._children = children.of(self._key)
        self._remembered = remembered
        self._sleep_action = sleep_action

    async def memory(self, now: float) -> Recalled:
        """`now` in seconds since the epoch."""
        state, name = await self._state(), state_name(self._slice.name)
        if state is None:
            return await self._lost(now, f"ConfigMap {name}, the slice's memory, is gone")
        try:
            return await self._read(read_state(state), now)
        except DamagedMemoryError as error:
            why = f"ConfigMap {name}: {error}"
        await self._keep_copy(state)
        return await self._lost(now, why)

    async def _state(self) -> Object | None:
        """None if it isn't there, or someone else's. An owner reference that was taken off it is no reason."""
        state = await self._find(CONFIG_MAP, state_name(self._slice.name))
        owner = controller_uid(state) if state else ""
        if state is None or not (state.get("data") or state.get("binaryData")):
            return None  # or it was made to claim the slice: nothing is remembered in it
        if owner == self._remembered.uid:
            return state
        return state if not owner and await is_own_state(self._client, state, self._remembered.uid) else None

    async def _read(self, stored: Stored, now: float) -> Recalled:
        known = await self._revisions(stored.names)
        self._remembered.revisions = frozenset(known)
        needed = [stored.stable, *([stored.canary] if stored.canary else [])]
        gone = [name for name in dict.fromkeys(needed) if name not in known]
        if not gone:
            return Recalled(memory_of(stored, known))
        why = f"ControllerRevision {', '.join(gone)}, which the slice runs, is gone"
        found = Found(await self._running(known.values()), known)
        memory = restored(self._slice, stored, found, sleep_action=self._sleep_action)
        return Recalled(memory, why=why) if memory else await self._lost(now, why)

    async def _lost(self, now: float, why: str) -> Recalled:
        names = [name for kind, name in self._children if kind == CONTROLLER_REVISION.kind]
        status = self._slice.status.revision
        known = await self._revisions((*names, status.stable, status.canary))
        copy = await self._copy()
        known |= await self._revisions(copy.leaving)
        self._remembered.revisions = frozenset(known)
        found = Found(await self._running(known.values()), known, copy)
        adopted = adopt(self._slice, found, now, sleep_action=self._sleep_action)
        return Recalled(adopted.memory, adopted, why) if adopted else Recalled(None)

    async def _copy(self) -> SecondCopy:
        found = await self._find(CONFIG_MAP, proxy_name(self._slice.name))
        return read_copy(found) if found is not None and controller_uid(found) == self._remembered.uid else SecondCopy()

    async def _revisions(self, names: Iterable[str]) -> dict[str, Revision]:
        """Those that are there and ours, by name; one that is damaged is as good as gone."""
        known = {}
        for name in dict.fromkeys(name for name in names if name):
            found = await self._find(CONTROLLER_REVISION, name)
            if found is None or controller_uid(found) not in (self._remembered.uid, ""):
                continue
            try:
                known[name] = revision_of_object(found)
            except DamagedMemoryError as error:
                _log.warning("%s: %s", self._key, error)
        return known

    async def _running(self, known: Iterable[Revision]) -> tuple[Running, ...]:
        """Of all services that the slice has, had or may have had."""
        services = {service.name for service in self._slice.spec.services}
        services |= {service.name for service in self._slice.status.services}
        services |= {name for revision in known for name in revision.services}
        services |= {child.labels[LABEL_SERVICE] for child in self._children.values() if LABEL_SERVICE in child.labels}
        found = [await self._one(service, track) for service in sorted(services) for track in Track]
        return tuple(running for running in found if running is not None)

    async def _one(self, service: str, track: Track) -> Running | None:
        deployment = await self._find(DEPLOYMENT, track_name(self._slice.name, service, track))
        if deployment is None or controller_uid(deployment) != self._remembered.uid:
            return None
        metadata = deployment["metadata"]
        if "deletionTimestamp" in metadata:
            return None
        noted = (metadata.get("annotations") or {}).get(REVISION_ANNOTATION, "")
        return running_of(deployment, service, track, noted, await self._port(service))

    async def _port(self, service: str) -> int | None:
        found = await self._find(SERVICE, service_name(self._slice.name, service))
        if found is None or controller_uid(found) != self._remembered.uid:
            return None
        target = next((port.get("targetPort") for port in found["spec"].get("ports") or ()), None)
        return target if isinstance(target, int) else None

    async def _keep_copy(self, state: Mapping[str, Any]) -> None:
        """Keep it for a person to look at. A failure to do so stops nothing."""
        text = state_text(state)[:LARGEST_COPY]
        if not text or self._slice.spec.suspend:
            return
        try:
            name = state["metadata"]["name"]
            await self._client.merge(
                CONFIG_MAP, self._key.namespace, name, {"data": {DAMAGED_KEY: text}}, manager=MANAGER
            )
        except NotLeadingError:
            raise
        except KubeError as error:
            _log.warning("%s: what is damaged was not kept: %s", self._key, error)

    async def _find(self, kind: Kind, name: str) -> Object | None:
        return await self._client.find(kind, self._key.namespace, name)


async def is_own_state(client: KubeClient, state: Mapping[str, Any], uid: str) -> bool:
    """Of a ConfigMap that nobody controls: it says that it is this slice's, or names a revision that is."""
    try:
        stored = read_state(state)
    except DamagedMemoryError:
        return False
    if stored.owner:
        return stored.owner == uid
    found = await client.find(CONTROLLER_REVISION, state["metadata"]["namespace"], stored.stable)
    return found is not None and controller_uid(found) == uid


def unreadable(key: SliceKey, error: UnreadableMemoryError) -> str:
    """Message for people."""
    return (
        f"{error}. Until then no edit acts, an abort neither. To act with this operator, delete ConfigMap "
        f"{state_name(key.name)}: the slice is then adopted as it runs."
    )
