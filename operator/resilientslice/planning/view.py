"""Questions about a slice that its status answers, each asked in one place."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.canary.state import CanaryReason, Phase, State
from resilientslice.planning.memory import Memory
from resilientslice.planning.observed import Observed, Proxies, Store, Trouble, TroubleKind, Workload
from resilientslice.planning.signals import asked_of, pending, uncounted, unfound
from resilientslice.render.names import Track
from resilientslice.render.revision import Revision
from resilientslice.render.store_settings import managed
from resilientslice.render.tracks import CanaryTrack

_UNDER_WAY = frozenset({Phase.STARTING, Phase.PROMOTING, Phase.DRAINING})
NOT_THERE = Store(ready=0)


@dataclass(frozen=True, slots=True)
class StoreView:
    """One store beside what it is to be."""

    name: StoreName
    desired: int
    ready: int
    seen: Store

    @property
    def text(self) -> str:
        return f"{self.name} {self.ready}/{self.desired}"

    @property
    def missing(self) -> bool:
        """The pods of one that is remade continue: nothing says that they don't."""
        return self.ready < self.desired and not self.seen.remade

    @property
    def pending(self) -> str:
        """Why it isn't as it is to be: `postgres 0/1`. Empty if it is."""
        if self.seen.remade:
            return f"{self.name} (its StatefulSet is created again, its pod continues)"
        if self.missing:
            return self.text
        return f"{self.name} (not updated yet)" if self.seen.rolling else ""


@dataclass(frozen=True)
class View:
    """`memory` as it will be, `observed` as it was. `waits`: what the canary waits for, in words."""

    slice_: ResilientSlice
    memory: Memory
    observed: Observed
    track: CanaryTrack | None = None
    waits: str = ""

    @property
    def state(self) -> State:
        return self.memory.state

    @property
    def proxies(self) -> Proxies:
        return self.observed.envoys.proxies

    @property
    def accepted(self) -> bool:
        """Every Envoy runs the configuration that it is offered."""
        return self.proxies.all_run(self.memory.config)

    @property
    def rejected(self) -> str:
        """Envoy's words, if it refuses the configuration that is wanted; those about an earlier one are history."""
        return self.memory.refused.words if self.memory.refused else ""

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Stable services with fewer ready replicas than they are to have, whatever template those run."""
        found = {name: self.workload(name, Track.STABLE) for name in sorted(self.memory.stable.services)}
        return tuple(
            f"{name} {workload.ready if workload else 0}/{workload.desired if workload else '?'}"
            for name, workload in found.items()
            if workload is None or workload.ready < workload.desired
        )

    @cached_property
    def unfound(self) -> tuple[str, ...]:
        """Stable services of which not every Envoy knows a host."""
        return unfound(self.observed, Track.STABLE, self.memory.stable.services)

    @cached_property
    def rolling(self) -> tuple[str, ...]:
        """What doesn't all run what it is to run, or isn't ready: stable services, stores, and the proxies."""
        late = uncounted(self.observed.workloads, self.memory.stable.services, asked_of(self.slice_))
        found = (*(self.unrolled or late), *self.pending_stores)
        return (*found, "the proxies") if self.observed.proxies_roll else found

    @cached_property
    def stores(self) -> Mapping[StoreName, StoreView]:
        """Those that run here: the managed ones, and CloudNativePG's."""
        wanted = {store: _instances(self.slice_, store) for store in StoreName}
        found = {store: self.observed.stores.get(store, NOT_THERE) for store, count in wanted.items() if count}
        return {
            store: StoreView(store, wanted[store], seen.ready, seen)
            for store, seen in found.items()
            if seen.ready is not None
        }

    @cached_property
    def missing_stores(self) -> tuple[str, ...]:
        """Stores that a stable service uses, with fewer ready instances than they are to have."""
        used = {store for service in self.memory.stable.services.values() for store in service.spec.stores}
        return tuple(found.text for name, found in self.stores.items() if name in used and found.missing)

    @cached_property
    def pending_stores(self) -> tuple[str, ...]:
        """Stores that aren't as they are to be, used or not."""
        return tuple(found.pending for found in self.stores.values() if found.pending)

    @cached_property
    def growing(self) -> tuple[str, ...]:
        """What the volumes wait for that are growing."""
        known = self.observed.volumes
        return tuple(known[name].growth for name in self.stores if name in known and known[name].growth)

    @cached_property
    def unrolled(self) -> tuple[str, ...]:
        """Stable services that don't all run what they are to run and are ready."""
        stable, asked = self.memory.stable, asked_of(self.slice_)
        return pending(self.observed.workloads, stable, Track.STABLE, stable.services, asked=asked)

    @property
    def proxies_are_replaced(self) -> bool:
        """As opposed to: not all of them happen to be there."""
        return self.observed.proxies_roll and not self.observed.proxies_short

    @cached_property
    def stuck(self) -> tuple[str, ...]:
        """What fails to roll out, as its controller says: stable services, and the proxies."""
        services = self._stuck(Track.STABLE, self.memory.stable, self.memory.stable.services)
        return (*services, "the proxies") if self.observed.proxies_stuck else services

    @cached_property
    def stuck_canary(self) -> tuple[str, ...]:
        """Services whose canary fails to roll out. One that is on its way out has nothing to roll out."""
        canary, state = self.memory.canary, self.state
        return self._stuck(Track.CANARY, canary, state.services) if canary and state.phase is not Phase.DRAINING else ()

    def _stuck(self, track: Track, revision: Revision, services: Iterable[str]) -> tuple[str, ...]:
        found = {name: self.workload(name, track) for name in services}
        late = [
            name
            for name, workload in found.items()
            if workload is not None and workload.stuck and workload.digest == revision.services[name].digest
        ]
        return pending(self.observed.workloads, revision, track, late, asked=asked_of(self.slice_))

    @cached_property
    def serving(self) -> str:
        """What callers are served by, as a sentence without its end; empty where that isn't known."""
        stable, state = self.memory.stable, self.state
        found = [(self.workload(name, Track.STABLE), service) for name, service in stable.services.items()]
        known = [(workload, service) for workload, service in found if workload is not None]
        if any(_has_former_pods(workload, service.digest) for workload, service in known):
            if state.phase is Phase.PROMOTING and state.live:
                return f"{state.canary} serves on the canary track"
            return f"{self.memory.former} serves" if self.memory.former else "The former pods serve"
        if len(known) < len(found) or any(not workload.counted for workload, _ in known):
            return ""
        return f"{stable.name} serves"

    @property
    def canary_moves(self) -> bool:
        """It is on its way somewhere by itself, as opposed to resting where a person put it."""
        state = self.state
        resting = state.phase is Phase.PAUSED or (
            state.reason is CanaryReason.PINNED and state.weight == state.observed
        )
        return state.phase in _UNDER_WAY or (state.phase is Phase.PROGRESSING and not resting)

    def troubles(self, *kinds: TroubleKind) -> tuple[Trouble, ...]:
        return tuple(trouble for trouble in self.observed.troubles if trouble.kind in kinds)

    def workload(self, service: str, track: Track) -> Workload | None:
        return self.observed.workloads.get((service, track))


def _has_former_pods(workload: Workload, digest: str) -> bool:
    """As far as is known for sure."""
    return workload.counted and (bool(workload.outdated) or workload.digest != digest)


def _instances(slice_: ResilientSlice, store: StoreName) -> int:
    """Of a store that the slice runs; 0 for one that it doesn't."""
    postgres = slice_.spec.stores.postgres
    if store is StoreName.POSTGRES and postgres and postgres.cnpg:
        return postgres.cnpg.instances
    return 1 if managed(slice_, store) else 0
