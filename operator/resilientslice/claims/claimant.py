"""Claims slices for this installation of the operator, and finds those that another one has claimed.

The claim is looked at before each pass, in the cache; only making one, and telling whether another installation still
lives, asks the API server. Of two that start at the same moment one has its claim stored, and the other one finds it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from resilientslice.api.slice import ResilientSlice
from resilientslice.applying.expected import annotated, owned
from resilientslice.claims.decision import (
    CLAIM_MANAGER,
    CONTENDER_ANNOTATION,
    CONTENDER_MANAGER,
    INSTALLATION_ANNOTATION,
    LOOK_SECONDS,
    Claimed,
    Place,
    claimed,
    managed_by_another,
)
from resilientslice.kube.cache import Child, Children, controller_uid
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import AlreadyExistsError, KubeError, NotFoundError, NotLeadingError
from resilientslice.kube.kinds import CONFIG_MAP, LEASE, Object, SliceKey
from resilientslice.render.metadata import metadata, slice_labels
from resilientslice.render.names import state_name

PATIENCE_SECONDS = 60.0
"""Without a sign of life for that long, or for four times what its Lease is for, an installation is gone."""

_log = structlog.get_logger("resilientslice.claims")


@dataclass(slots=True)
class _Sight:
    """Of another installation. Times of the monotonic clock."""

    version: str
    alive_at: float
    looked_at: float
    patience: float
    unreadable: str = ""


@dataclass(slots=True)
class Claims:
    """`installation`: ours; empty: nothing is claimed, and nobody's claim respected."""

    client: KubeClient
    children: Children
    installation: str
    monotonic: Callable[[], float] = time.monotonic
    patience: float = PATIENCE_SECONDS
    look: float = LOOK_SECONDS
    _seen: dict[str, _Sight] = field(default_factory=dict)
    _made: dict[SliceKey, str] = field(default_factory=dict)
    """UIDs of slices whose claim was made, or found, when there was none."""
    _elsewhere: dict[SliceKey, str] = field(default_factory=dict)
    """Who manages the slices that this installation leaves alone."""

    @property
    def elsewhere(self) -> int:
        """Slices that others manage."""
        return len(self._elsewhere)

    def forget(self, key: SliceKey) -> None:
        """The slice is gone."""
        self._made.pop(key, None)
        self._elsewhere.pop(key, None)

    async def holder(self, key: SliceKey, uid: str, slice_: ResilientSlice | None) -> str:
        """The other installation that manages a slice; empty if this one does, or may.

        Without `slice_`, and for one that is suspended, no claim is made. Raises KubeError's kinds.
        """
        if not self.installation:
            return ""
        found = await self._holder(key, uid, slice_ if slice_ and not slice_.spec.suspend else None)
        if not found:
            self._elsewhere.pop(key, None)
        return found

    def stand_back(self, key: SliceKey, holder: str) -> str:
        """What is to be told of that; empty if it was told before."""
        if self._elsewhere.get(key) == holder:
            return ""
        self._elsewhere[key] = holder
        sight = self._seen.get(holder)
        said = managed_by_another(key.name, holder, self.installation, sight.unreadable if sight else "")
        _log.warning("another installation manages a slice", slice=str(key), reason=said)
        return said

    async def contender(self, key: SliceKey) -> str:
        """Another installation that found our claim, while it lives."""
        state = self._state(key)
        named = state.annotations.get(CONTENDER_ANNOTATION, "") if state and self.installation else ""
        if state is None or not named:
            return ""
        if named != self.installation and await self._lives(named):
            return named
        gone = {"annotations": {CONTENDER_ANNOTATION: None}, "resourceVersion": state.resource_version}
        try:
            answer = await self.client.merge(
                CONFIG_MAP, key.namespace, state.name, {"metadata": gone}, manager=CONTENDER_MANAGER
            )
        except NotLeadingError:
            raise
        except KubeError as error:
            _log.info("a contender's note was not removed", slice=str(key), reason=str(error))
        else:
            self.children.saw(answer)
        return ""

    async def _holder(self, key: SliceKey, uid: str, slice_: ResilientSlice | None) -> str:
        state = self._state(key)
        standing = claimed(state, uid, self.installation)
        if standing is Claimed.NOT_THERE and slice_ is not None and self._made.get(key) != uid:
            found = await self._make(key, uid, slice_)
            self._made[key] = uid
            return found
        if state is None or standing in (Claimed.NOT_THERE, Claimed.NOT_OURS, Claimed.BY_US):
            return ""
        if standing is Claimed.BY_ANOTHER:
            holder = state.annotations[INSTALLATION_ANNOTATION]
            if await self._lives(holder):
                await self._contend(key, state)
                return holder
            _log.warning("a slice is taken over", slice=str(key), of=holder)
        if slice_ is not None or standing is Claimed.BY_ANOTHER:
            await self._take(key, state.name, state.uid, state.resource_version)
        return ""

    def _state(self, key: SliceKey) -> Child | None:
        return self.children.of(key).get((CONFIG_MAP.kind, state_name(key.name)))

    async def _make(self, key: SliceKey, uid: str, slice_: ResilientSlice) -> str:
        """The ConfigMap with nothing but the claim; its state comes with the first pass."""
        name = state_name(key.name)
        bare = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(slice_, name, slice_labels(slice_))}
        made = annotated(owned(slice_, bare), {INSTALLATION_ANNOTATION: self.installation})
        try:
            self.children.saw(await self.client.create(made, manager=CLAIM_MANAGER))
        except AlreadyExistsError:
            there = await self.client.get(CONFIG_MAP, key.namespace, name)
            return await self._found(key, uid, there)
        return ""

    async def _found(self, key: SliceKey, uid: str, there: Object) -> str:
        """Someone was quicker, or has taken our label away."""
        if controller_uid(there) != uid:
            return ""
        noted = there["metadata"].get("annotations") or {}
        holder = str(noted.get(INSTALLATION_ANNOTATION, ""))
        if holder == self.installation:
            return ""
        if Place.of(holder) is not None and await self._lives(holder):
            return holder
        named = there["metadata"]
        await self._take(key, named["name"], named["uid"], named["resourceVersion"])
        return ""

    async def _take(self, key: SliceKey, name: str, uid: str, version: str) -> None:
        """Only of what was seen: ConflictError if anyone has changed it since."""
        claim = {INSTALLATION_ANNOTATION: self.installation}
        identity = {"namespace": key.namespace, "name": name, "uid": uid, "resourceVersion": version}
        only = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**identity, "annotations": claim}}
        self.children.saw(await self.client.apply(only, manager=CLAIM_MANAGER, force=True))

    async def _contend(self, key: SliceKey, state: Child) -> None:
        """For the holder, who says so in the status. The first one is enough."""
        if CONTENDER_ANNOTATION in state.annotations:
            return
        identity = {"namespace": key.namespace, "name": state.name, "uid": state.uid}
        noted = {**identity, "annotations": {CONTENDER_ANNOTATION: self.installation}}
        only = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": noted}
        try:
            self.children.saw(await self.client.apply(only, manager=CONTENDER_MANAGER))
        except NotLeadingError:
            raise
        except KubeError as error:
            _log.info("the holder of a claim was not told", slice=str(key), reason=str(error))

    async def _lives(self, installation: str) -> bool:
        """Whether its Lease was seen to change lately, as far as can be told."""
        now, place = self.monotonic(), Place.of(installation)
        if place is None:
            return False
        seen = self._seen.get(installation)
        if seen is None or now - seen.looked_at >= self.look:
            seen = self._seen[installation] = await self._looked(place, seen, now)
        return now - seen.alive_at < seen.patience

    async def _looked(self, place: Place, before: _Sight | None, now: float) -> _Sight:
        version, patience, unreadable = "", self.patience, ""
        try:
            lease = await self.client.get(LEASE, place.namespace, place.name)
            spec = lease.get("spec") or {}
            version = lease["metadata"]["resourceVersion"] if spec.get("holderIdentity") else ""
            patience = max(patience, 4.0 * float(spec.get("leaseDurationSeconds") or 0))
        except NotFoundError:
            pass  # it has run for the last time, or is about to make its Lease anew
        except KubeError as error:
            unreadable = str(error)
        still = before is not None and not unreadable and version in ("", before.version)
        return _Sight(version, before.alive_at if before and still else now, now, patience, unreadable)
