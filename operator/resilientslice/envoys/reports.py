"""Who the agents of a slice are, and what each of them answered to a push. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

SliceKey = tuple[str, str]
"""Namespace and name; `kube.kinds.SliceKey` is one."""
Epoch = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Unheard:
    """Why nothing that an agent says counts, in words that stay the same for as long as the fault does: they reach the
    status. `broken`: it answers, and what it says makes no sense."""

    why: str
    broken: bool = False


NO_ANSWER = Unheard("gives no answer that counts")
FOREIGN_KEY = Unheard("does not answer with the slice's key")
DISBELIEVED = Unheard("claims an epoch that this operator never sent", broken=True)
NEWER_TERM = Unheard("claims an epoch of an operator that leads after this one", broken=True)
DEFECT = Unheard("answers what the operator fails to read: see its log", broken=True)


@dataclass(frozen=True, slots=True)
class AgentPod:
    """One pod of a slice's proxies. `address` is `ip:port` of its agent; `ready` what the pod's status says."""

    name: str
    uid: str
    address: str
    ready: bool


@dataclass(frozen=True, slots=True)
class Accepted:
    """Envoy runs it. Not `durable`: a restarted agent would have to be pushed to again, for this `reason`."""

    durable: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused, in Envoy's `words` (or the agent's). `type` is clusters, endpoints, listeners, routes or empty.

    `serving` is the digest of what keeps serving, empty if nothing does or it was not said.
    """

    words: str
    type: str = ""
    serving: str = ""


@dataclass(frozen=True, slots=True)
class Stale:
    """The agent holds a newer epoch, or another configuration of the same epoch."""

    held: Epoch
    words: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The agent did not answer in time, or not as the slice's agent would. `unheard` says so in fixed words."""

    reason: str
    unheard: Unheard = NO_ANSWER


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The agent took it and continues by itself: Envoy said nothing in time, or a newer push took its place."""

    words: str


MOST_AHEAD = 1_000_000
"""Pushes of one slice in one term that a process may not know of: those of an earlier process of that term."""


def doubt(held: Epoch, sent: Epoch) -> Unheard | None:
    """Why an agent can't hold this epoch, when `sent` is the newest that is known; None if it can."""
    if held[0] > sent[0]:
        return NEWER_TERM
    return DISBELIEVED if held[0] == sent[0] and held[1] > sent[1] + MOST_AHEAD else None


Outcome = Accepted | Rejected | Stale | Unreachable | Unanswered


@dataclass(frozen=True, slots=True)
class PushReport:
    """What became of one push at each pod, by the pod's name. Empty: the slice has no agents to push to yet."""

    digest: str
    epoch: Epoch
    outcomes: Mapping[str, Outcome]

    @property
    def accepted(self) -> bool:
        """Every Envoy runs it, and there is one."""
        return bool(self.outcomes) and all(isinstance(outcome, Accepted) for outcome in self.outcomes.values())

    @property
    def rejected(self) -> Rejected | None:
        """The first refusal, in the order of names."""
        refusals = (self.outcomes[name] for name in sorted(self.outcomes))
        return next((refusal for refusal in refusals if isinstance(refusal, Rejected)), None)

    @property
    def held(self) -> Epoch | None:
        """The newest epoch, of those that can be, that made an agent call this push stale: the next one must be above
        it. What one agent claims keeps nobody from going above what another one holds."""
        claims = (one.held for one in self.outcomes.values() if isinstance(one, Stale))
        return max((held for held in claims if held >= self.epoch and doubt(held, self.epoch) is None), default=None)
