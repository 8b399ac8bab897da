"""What a canary is made of: its state, what is wanted of it and what is seen of it. All values, no decisions.

Names of revisions stand for the revisions themselves. What is seen carries the name or the traffic that it was seen
of, so that an observation made before a change is never taken for one made after it.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from resilientslice.api.policies import Canary
from resilientslice.api.reasons import EventReason, EventType, Reason


class Phase(StrEnum):
    """Where a canary is. `status.canary.phase`."""

    IDLE = "Idle"
    STARTING = "Starting"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    PROMOTING = "Promoting"
    DRAINING = "Draining"
    ABORTED = "Aborted"


class CanaryReason(StrEnum):
    """Why it is there: what decides over its weight, or what ended it."""

    NONE = ""
    STEPS = "Steps"
    STEPS_DONE = "StepsDone"
    NO_STEPS = "NoSteps"
    PINNED = "Pinned"
    STALE_WEIGHT = "StaleWeight"
    PAUSED = "PausedByUser"
    WITHHELD = "RevisionNotStored"
    PROMOTE = "Promote"
    RETURN = "ReturnToFormerlyStable"
    PLAIN = "PlainUpdate"
    REVERTED = "Reverted"
    REPLACED = "Replaced"
    ABORTED = "Aborted"
    PROMOTED = "Promoted"


@dataclass(frozen=True, slots=True)
class Event:
    """One transition, as `kubectl describe` shows it."""

    reason: EventReason | Reason
    message: str

    @property
    def type(self) -> EventType:
        return self.reason.event


@dataclass(frozen=True, slots=True)
class Pin:
    """The last value of `spec.canary.weight` and the revision that was wanted when it took that value.

    Not `armed`: there was nothing to shift at that time, or its revision has become the stable one since.
    """

    weight: int
    revision: str
    armed: bool


@dataclass(frozen=True, slots=True)
class Abortion:
    revision: str
    cause: str


@dataclass(frozen=True, slots=True)
class Attempts:
    """What the canary's hosts were asked and how they answered, retries counted one by one.

    `good` and `bad` only grow, from any start; `p99` is the recent 99th percentile in milliseconds, None if unknown.
    """

    good: int
    bad: int
    p99: float | None = None

    def went_down(self, earlier: "Attempts") -> bool:
        """Hosts have come or gone, or counters have started again: the difference says nothing."""
        return self.good < earlier.good or self.bad < earlier.bad

    def since(self, earlier: "Attempts") -> "Attempts":
        return Attempts(self.good - earlier.good, self.bad - earlier.bad, self.p99)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Routing of the proxies: the share that is drawn for the canary, and whether there are routes to it at all."""

    canary: str
    weight: int
    live: bool


NO_TRAFFIC = Traffic("", 0, live=False)
"""Whatever canary there is or not, no proxy knows of it."""


@dataclass(frozen=True, slots=True)
class State:
    """All that has to outlive a restart. Times are seconds since the epoch.

    `stable` and `canary` (empty: no canary track) are what the tracks are to run. `services` have a canary Deployment.
    """

    stable: str
    canary: str = ""
    services: tuple[str, ...] = ()
    phase: Phase = Phase.IDLE
    reason: CanaryReason = CanaryReason.NONE
    weight: int = 0
    live: bool = False
    """There are routes to the canary; only while its hosts are ready."""
    exposed: bool = False
    """There were routes to it at some time, so it has to be drained."""
    step: int = 0
    """Step under way, from 1; 0 outside the steps."""
    observed: int = 0
    """Last weight that every Envoy has acknowledged."""
    since: float = 0.0
    """When the phase began."""
    entered: float = 0.0
    """When the reason or the step began."""
    acked_at: float | None = None
    """When every Envoy was first seen to run the present traffic, since the reason or the step began."""
    baseline: Attempts | None = None
    """The counters at `acked_at`, or where they started again since."""
    pin: Pin | None = None
    aborted: tuple[Abortion, ...] = ()
    """Newest last."""
    settled: bool = False
    """The stable revision was once seen ready as a whole."""

    @property
    def traffic(self) -> Traffic:
        return Traffic(self.canary, self.weight, live=True) if self.live else NO_TRAFFIC

    def abortion(self, revision: str) -> Abortion | None:
        return next((a for a in self.aborted if a.revision == revision), None)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the resource asks for. `changed`: services with a port that are new or differ from the stable revision's."""

    revision: str
    changed: frozenset[str]
    canary: Canary | None
    former: frozenset[str] = frozenset()
    """Revisions that were stable before."""
    moved: frozenset[str] = frozenset()
    """Services of both revisions that listen on another port, or speak another protocol, than the stable one's."""
    withheld: str = ""
    """Revision that is asked for in place of `revision` and can't be stored. Nothing happens by itself meanwhile."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What is seen of the present state, by the name of what it was seen of (empty or None: not seen)."""

    canary_ready: str = ""
    """Canary revision all of whose Deployments have all their replicas ready."""
    canary_healthy: str = ""
    """Canary revision of which nothing says that a Deployment has lost its last ready replica."""
    canary_pending: tuple[str, ...] = ()
    """What is not ready, for people: `payments 1/3`."""
    canary_unfound: tuple[str, ...] = ()
    """Services of the canary whose ready pods an Envoy that callers are sent to has not found yet."""
    stable_ready: str = ""
    """Stable revision whose Deployments of the canary's services run its templates and are ready, where every Envoy
    knows."""
    stable_pending: tuple[str, ...] = ()
    """What is not ready of those, for people."""
    settled: str = ""
    """Stable revision all of whose Deployments run its templates and are ready."""
    acked: Traffic | None = None
    """Traffic that every Envoy has acknowledged."""
    active: int | None = None
    """Requests under way on the canary's hosts; None if nobody counts them."""
    attempts: Attempts | None = None
    budget: bool | None = None
    """There is error budget left; None if nobody counts it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The next state and what happened on the way. Look again at `next_deadline`, if nothing happens before."""

    state: State
    message: str = ""
    """What it waits for, or why it stopped, and what to do."""
    events: tuple[Event, ...] = field(default=())
    next_deadline: float | None = None
