"""What was seen of a slice and where it runs: the one frozen value that a plan is made from.

Gathering leaves out what could not be read rather than reporting zero: a canary that looks dead loses its
traffic.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from resilientslice.api.reasons import Reason
from resilientslice.api.services import StoreName
from resilientslice.canary.state import Attempts
from resilientslice.planning.memory import Memory
from resilientslice.render.names import Track


@dataclass(frozen=True, slots=True)
class Workload:
    """The replicas of one service on one track: a Deployment, or processes.

    `digest` is the `ServiceRevision.digest` of the template it was last given. Only counts that are `counted` were made
    after it took that up: a Deployment whose template was patched a moment ago never passes for one that is ready, nor
    for one that has lost its pods.
    """

    desired: int
    """Replicas there are to be."""
    ready: int
    """Replicas that are ready, whatever template they run."""
    updated: int
    """Replicas that run the template of `digest`."""
    digest: str
    outdated: int = 0
    """Replicas that still run an older template."""
    counted: bool = True
    """The counts are of the template of `digest`. How many replicas there are to be may have changed since."""
    current: bool = True
    """Nothing at all has changed since they were made."""
    stuck: bool = False
    """Its controller says that the rollout of that template doesn't get on."""

    @property
    def surely_ready(self) -> int:
        """Replicas of the newest template that are ready for sure: of those that are, any old one may be counted."""
        return max(0, min(self.updated, self.ready - self.outdated)) if self.counted else 0

    @property
    def maybe_ready(self) -> int:
        """Most replicas of the newest template that may be ready, for all that is known."""
        return min(self.updated, self.ready) if self.counted else self.ready


@dataclass(frozen=True, slots=True)
class Store:
    """One store that the slice runs."""

    ready: int | None
    """Instances that are ready; None where the store runs elsewhere and nobody can tell."""
    rolling: bool = False
    """Not all of them run what they are to run, or nobody has counted them since it was last written."""
    remade: bool = False
    """Its StatefulSet is being created again around a pod that keeps running: it has no counts meanwhile."""


@dataclass(frozen=True, slots=True)
class Volume:
    """The volume claim of a managed store, as it was read last."""

    requested: str
    """Size that the claim asks for, such as `5Gi`."""
    capacity: str = ""
    """Size that the volume has; empty before there is one."""
    growth: str = ""
    """What its growth waits for, in words; empty while it doesn't grow."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An Envoy that refused a configuration, in its words."""

    instance: str
    digest: str
    words: str


@dataclass(frozen=True, slots=True)
class SilentAgent:
    """An agent of which nothing counts now. `why` says so in fixed words; `broken`: it answers, and what it says makes
    no sense."""

    pod: str
    why: str
    broken: bool = False


MOST_REFUSALS = 4
"""Of one Envoy that are remembered: of what is wanted, of what it falls back to, and of those before."""


def with_refusal(refused: Mapping[str, str], digest: str, words: str) -> Mapping[str, str]:
    """What an Envoy refused (digest → words, the newest last), with one more refusal."""
    kept = {**without_refusal(refused, digest), digest: words}
    return dict(list(kept.items())[-MOST_REFUSALS:])


def without_refusal(refused: Mapping[str, str], digest: str) -> Mapping[str, str]:
    """The same once it has accepted that configuration."""
    return {other: words for other, words in refused.items() if other != digest} if digest in refused else refused


@dataclass(frozen=True, slots=True)
class Proxies:
    """The slice's Envoys."""

    total: int = 0
    """Envoys there are, those that answer nothing included."""
    acked: Mapping[str, str] = field(default_factory=dict)
    """Instance → digest of the configuration that it acknowledged. An instance that was sent another one since, and has
    not answered, is left out: nobody knows which of them it runs."""
    refusals: tuple[Refusal, ...] = ()
    """Of those counted in `total`: what they refused and have not accepted since."""
    ready: int | None = None
    """Envoys that callers are sent to; None where nothing stands between."""
    instances: frozenset[str] = frozenset()
    """Every Envoy there is, also those that are not counted."""
    idle: tuple[Refusal, ...] = ()
    """What Envoys refuse that are not counted: their pods are not ready, and they have accepted nothing yet."""
    pods: tuple[str, ...] = ()
    """Their pods, where they have some."""
    silent: tuple[SilentAgent, ...] = ()
    """Agents that say nothing that counts."""

    def running(self, digest: str) -> int:
        """How many Envoys run that configuration."""
        return sum(1 for acked in self.acked.values() if acked == digest)

    def all_run(self, digest: str) -> bool:
        return self.total > 0 and self.running(digest) >= self.total

    def refusing(self, digest: str) -> Mapping[str, str]:
        """Instance → words of those that refuse that configuration."""
        return {refusal.instance: refusal.words for refusal in self.refusals if refusal.digest == digest}

    def owe(self, digest: str) -> int:
        """How many Envoys neither run that configuration nor refuse it."""
        return max(0, self.total - self.running(digest) - len(self.refusing(digest).keys() - self._runners(digest)))

    def _runners(self, digest: str) -> frozenset[str]:
        return frozenset(instance for instance, acked in self.acked.items() if acked == digest)


@dataclass(frozen=True, slots=True)
class EjectedHost:
    service: str
    host: str
    envoys: int
    """Envoys that have ejected it."""
    pod: str = ""
    since: float | None = None
    """Seconds since the epoch when it was first seen ejected."""


@dataclass(frozen=True, slots=True)
class Envoys:
    """What the slice's Envoys are, run and count, all of them together: what a backend hears of its agents.

    What nobody knows is None or left out, never zero.
    """

    proxies: Proxies = field(default_factory=Proxies)
    attempts: Attempts | None = None
    """Answers of the canary's hosts since any start; None if nobody counts them."""
    active: int | None = None
    """Requests under way on the canary's hosts, counted after the last acknowledgement; None if nobody counts them."""
    ejections: tuple[EjectedHost, ...] = ()
    hostless: frozenset[str] = frozenset()
    """Clusters of services (`payments-canary`) of which an Envoy that callers are sent to knows no host."""


class TroubleKind(StrEnum):
    """What a trouble does to the slice."""

    PODS = "Pods"
    """Replicas don't come up: an image, a quota, a crash. It may pass by itself."""
    REFUSED = "Refused"
    """Something can't be made true until someone changes it; what was there before keeps serving."""
    FAILING = "Failing"
    """Something can't be written now; it may pass by itself, and is tried again."""
    OPERATOR_CONFLICT = "OperatorConflict"
    """Another installation of the operator would manage the slice, too."""
    NAME_CONFLICT = "NameConflict"
    """Someone else's object has a name that the slice needs."""
    FIELD_CONFLICT = "FieldConflict"
    """Someone else keeps setting a field that the slice sets."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """`reason` is one word for machines; `message` says what is wrong with which object, and what to do."""

    kind: TroubleKind
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Queued:
    """A slice whose proxies wait. `before`: at most that many go first. `stuck`: rollouts that stall, as
    `NAMESPACE/NAME`; `unnamed` are those beyond the first few. `stopped`: nobody's turn comes before they get on."""

    before: int
    places: int
    stuck: tuple[str, ...] = ()
    unnamed: int = 0
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """`memory` is what the last `Plan` said to remember; None on the very first pass."""

    memory: Memory | None = None
    workloads: Mapping[tuple[str, Track], Workload] = field(default_factory=dict)
    envoys: Envoys = field(default_factory=Envoys)
    budget: bool | None = None
    """There is error budget left; None if nobody counts it."""
    proxies_roll: bool = False
    """The Envoys' own pods are being replaced, or not all there."""
    proxies_short: bool = False
    """That is so only because pods of a rollout that had ended are not available."""
    proxies_stuck: bool = False
    """Their controller says that their rollout doesn't get on."""
    stores: Mapping[StoreName, Store] = field(default_factory=dict)
    volumes: Mapping[StoreName, Volume] = field(default_factory=dict)
    queued: Queued | None = None
    """They are to be replaced, and others go first."""
    troubles: tuple[Trouble, ...] = ()
    """What stands in the way, the most important first."""
