"""Questions about a slice that its status answers, each asked in one place."""

from dataclasses import dataclass
from functools import cached_property

from resilientslice.api.slice import ResilientSlice
from resilientslice.canary.state import Phase, Reason, State
from resilientslice.reconcile.memory import Memory
from resilientslice.reconcile.observed import Observed, Proxies, Trouble, TroubleKind, Workload
from resilientslice.reconcile.signals import asked_of, pending, uncounted, unfound
from resilientslice.render.names import Track
from resilientslice.render.tracks import CanaryTrack

_UNDER_WAY = frozenset({Phase.STARTING, Phase.PROMOTING, Phase.DRAINING})


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
        return self.observed.proxies

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
        """What doesn't all run what it is to run, or isn't ready: stable services, and the proxies."""
        stable, asked = self.memory.stable, asked_of(self.slice_)
        services = pending(self.observed.workloads, stable, Track.STABLE, stable.services, asked=asked)
        services = services or uncounted(self.observed.workloads, stable.services, asked)
        return (*services, "the proxies") if self.observed.proxies_roll else services

    @property
    def serves(self) -> bool:
        """All that the stable revision is to be is there; the first time, every Envoy must know of it too."""
        known = self.accepted or self.memory.served
        return bool(self.proxies.total) and self.proxies.ready != 0 and not self.missing and known

    @property
    def canary_moves(self) -> bool:
        """It is on its way somewhere by itself, as opposed to resting where a person put it."""
        state = self.state
        resting = state.phase is Phase.PAUSED or (state.reason is Reason.PINNED and state.weight == state.observed)
        return state.phase in _UNDER_WAY or (state.phase is Phase.PROGRESSING and not resting)

    def troubles(self, *kinds: TroubleKind) -> tuple[Trouble, ...]:
        return tuple(trouble for trouble in self.observed.troubles if trouble.kind in kinds)

    def workload(self, service: str, track: Track) -> Workload | None:
        return self.observed.workloads.get((service, track))
