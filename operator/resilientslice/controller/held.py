"""What this process knows of one slice. All of it can be found again: in the cluster, or by a few minutes' watching."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from resilientslice.api.services import StoreName
from resilientslice.api.slice import DeletionPolicy, ResilientSlice
from resilientslice.applying.difference import Action, Change
from resilientslice.applying.expected import Expected
from resilientslice.applying.refusals import RETRY_SECONDS, Failing, Refusal
from resilientslice.applying.retakes import Contests
from resilientslice.canary.state import Event
from resilientslice.claims.claimant import LOOK_SECONDS
from resilientslice.claims.decision import UNKNOWN
from resilientslice.controller.interning import Shared, graft
from resilientslice.history.adoption import Adopted
from resilientslice.kube.cache import Child
from resilientslice.kube.children import ChildId
from resilientslice.kube.errors import KubeError
from resilientslice.kube.kinds import STATEFUL_SET
from resilientslice.planning.memory import Memory
from resilientslice.planning.observed import Queued, Trouble, Volume
from resilientslice.planning.plan import Desired, sized
from resilientslice.render.revision import Revision
from resilientslice.rollouts.slots import AGAIN_SECONDS
from resilientslice.stores.store_workloads import counted
from resilientslice.stores.volume_claims import KnownVolume

Epoch = tuple[int, int]
OVERDUE_SECONDS = 1.0
RIVALRY: ChildId = ("ResilientSlice", "")
"""What is fought over is the slice as a whole."""


@dataclass(frozen=True, slots=True)
class Left:
    """Fields of an object that were left to others when it was applied last, and its generation after that."""

    fields: frozenset[str]
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Withheld:
    """A revision that the spec asks for and that can't be stored. `weight`: `spec.canary.weight` when that was first
    found out."""

    revision: str
    weight: int | None


@dataclass(slots=True)
class Held:
    """Times are seconds since the epoch."""

    uid: str
    memory: Memory | None = None
    loaded: bool = False
    """`memory` was looked for in the cluster."""
    planned: bool = False
    """A plan was made before: nothing has to be recovered."""
    again: bool = False
    """Something was learned in this pass that its status doesn't say yet."""
    unsaid: bool = False
    """The last pass left its status to the next one, which is not to do so again."""
    slice_: ResilientSlice | None = None
    """As parsed from the generation in it."""
    settled: ResilientSlice | None = None
    shared: tuple[object, ...] = (None, None, ())
    """`slice_`, `wanted`, `basis` and revisions as of the last `settle`: all their parts are shared with other slices.
    `settled` is the first of them."""
    expected: Mapping[ChildId, Expected] = field(default_factory=dict)
    basis: tuple[Any, ...] = ()
    """What `expected` was rendered from."""
    config: tuple[str, str] = ("", "")
    """Digest of the Envoys' configuration in `expected`, and the second copy of the memory beside it."""
    wanted: tuple[tuple[Any, ...], Revision] | None = None
    """The revision that the spec asks for, and what it was worked out from."""
    adopted: Adopted | None = None
    """What `memory` was made of, until the Envoys have said how far its canary had got."""
    lost: str = ""
    """What of the memory was lost and is still to be told."""
    before: tuple[Memory | None, tuple[Event, ...]] = (None, ())
    """`memory` and `events` before the plan under way, until the revisions that it begins with are stored."""
    withheld: Withheld | None = None
    unstored: KubeError | None = None
    """Why a revision was not stored in this pass, if that passes by itself."""
    revisions: frozenset[str] = frozenset()
    """ControllerRevisions that this process has read or written."""
    as_applied: dict[ChildId, tuple[str, str]] = field(default_factory=dict)
    left: dict[ChildId, Left] = field(default_factory=dict)
    contests: Contests = field(default_factory=Contests)
    refusals: dict[ChildId, Refusal] = field(default_factory=dict)
    """Until the object was written, or is as it should be, or isn't expected any more."""
    rivals: tuple[Trouble, ...] = ()
    """Other operators that would manage the slice, too."""
    written: dict[ChildId, str] = field(default_factory=dict)
    """Digests of what this process wrote last."""
    rivalry: Contests = field(default_factory=Contests)
    """How often it was overwritten by a program of our name, and until when the slice is left to that."""
    failed: list[KubeError] = field(default_factory=list)
    """What failed in this pass, and may pass by itself."""
    failing: Failing = field(default_factory=Failing)
    unsaid_status: tuple[float, str] | None = None
    """Since when the status itself can't be written, and what was said of it by an Event."""
    foreign: tuple[ChildId, ...] = ()
    """Objects with our label that somebody else controls."""
    strangers: dict[ChildId, float] = field(default_factory=dict)
    """Objects without our label that have a name we need, and when to look again."""
    terminal: tuple[Trouble, ...] = ()
    """What else stands in the way, as of the last pass."""
    pods: tuple[Trouble, ...] = ()
    pods_due: float | None = None
    """When the pods are to be asked (again) why they don't come up; None while they do."""
    queued: Queued | None = None
    """The proxies wait for their turn to be replaced."""
    key_due: float | None = None
    """When the agents' key is to be looked at again."""
    events: tuple[Event, ...] = ()
    """Still to be told."""
    status_written: float = 0.0
    epoch: Epoch = (0, 0)
    """Of the configuration that was pushed last."""
    credentials: dict[str, DeletionPolicy | None] = field(default_factory=dict)
    """Stores whose Secret is known to be there, and which policy it and the volume follow; None: not both of them."""

    secrets: dict[str, str] = field(default_factory=dict)
    """Resource versions of those Secrets as they were read last."""
    secrets_due: float | None = None
    """When to look whether they are still there; None before the first time."""
    volumes: Mapping[StoreName, KnownVolume] = field(default_factory=dict)
    """Of managed stores, as they were read last."""
    remade: frozenset[str] = frozenset()
    """StatefulSets that were let go of their pods, to be created again around them."""

    def settle(self, shared: Shared) -> None:
        """After a pass: what was parsed or loaded in it stays for long, so it is kept with what other slices have."""
        before, now = self.settled, (self.slice_, self.wanted, self.basis)
        if all(one is other for one, other in zip(self.shared, now, strict=False)):
            return
        done = self.shared
        if before is not None and self.slice_ is not None:
            done += graft(self.slice_.spec, before.spec)
        kept = shared.of((self.slice_, self.memory, self.wanted, self.basis), but=done)
        self.slice_, self.memory, self.wanted, self.basis = kept
        self.settled = self.slice_
        self.shared = (self.slice_, self.wanted, self.basis, *_revisions(self.memory))

    def troubles(self, now: float) -> tuple[Trouble, ...]:
        """Without those of names and pods, which are read off the cluster in each pass."""
        refused = tuple(self.refusals[key].trouble for key in sorted(self.refusals))
        return (*self.terminal, *refused, *self.failing.troubles(now), *self.rivals)

    def overwritten(self, changes: Iterable[Change], now: float) -> bool:
        """Somebody who does as we do, and makes no claim, has written other things over ours; notes it."""
        found = any(c.action is Action.UPDATE and self.written.get(c.id) == c.expected.digest for c in changes)
        if found:
            self.rivalry = self.rivalry.current(now).retaken(RIVALRY, [(UNKNOWN, "")], now)
        return found

    def left_to_rival(self, now: float) -> float | None:
        """Until when the slice is left alone, because an operator that makes no claims goes on changing it."""
        self.rivalry = self.rivalry.current(now)
        return self.rivalry.deadline(now) if self.rivalry.held(now) else None

    def applied(self, children: Mapping[ChildId, Child], now: float) -> Mapping[ChildId, tuple[str, str]]:
        """`as_applied`, without objects of which a field was left to others and may not be any longer: its time is
        over, or the object was changed since, perhaps by them giving it up."""
        due = {child for child, left in self.left.items() if self._looked_at(children.get(child), left, now)}
        return {child: noted for child, noted in self.as_applied.items() if child not in due}

    def _looked_at(self, child: Child | None, left: Left, now: float) -> bool:
        if child is None or child.generation != left.generation:
            return True
        return not left.fields <= self.contests.paused(child.key, now)

    def obstacles(self) -> tuple[Any, ...]:
        """What a pass may meet with that its own status doesn't say yet."""
        refused = {child: refusal.trouble for child, refusal in self.refusals.items()}
        return self.terminal, self.foreign, tuple(self.strangers), refused, self.volumes

    def sized(self, desired: Desired) -> Desired:
        """With the volumes that are in force, where they can't be as the slice asks."""
        return sized(desired, {store: known.in_force for store, known in self.volumes.items()})

    def seen_volumes(self) -> dict[StoreName, Volume]:
        return {store: known.volume for store, known in self.volumes.items() if known.volume}

    def still_remade(self, children: Mapping[ChildId, Child]) -> frozenset[str]:
        """Those that are not there again, or whose controllers have not counted their pods."""
        found = {name: children.get((STATEFUL_SET.kind, name)) for name in self.remade}
        self.remade = frozenset(name for name, child in found.items() if child is None or not counted(child))
        return self.remade

    def keep_refusals(self, children: Collection[ChildId]) -> None:
        """Only those that still are to be written."""
        self.refusals = {child: refusal for child, refusal in self.refusals.items() if child in children}

    def deadlines(self, now: float) -> list[float]:
        """When time alone makes another pass worth while."""
        found = [refusal.until for refusal in self.refusals.values()]
        found += list(self.strangers.values())
        contested = self.contests.deadline(now)
        rival = self.rivalry.deadline(now)
        contender = now + LOOK_SECONDS if self.rivals else None
        # Secrets are not watched: nobody tells when one was restored
        terminal = now + RETRY_SECONDS if self.terminal else None
        queued = now + AGAIN_SECONDS if self.queued else None
        volumes = [known.due for known in self.volumes.values()]
        looked_at = (self.pods_due, self.key_due, self.secrets_due, *volumes)
        timed = (contested, rival, contender, *looked_at, terminal, queued)
        # what is overdue was not come to in this pass: the next one is not at once
        return [*found, *(max(at, now + OVERDUE_SECONDS) for at in timed if at)]


def _revisions(memory: Memory | None) -> tuple[Revision | None, ...]:
    return (memory.stable, memory.canary, *memory.history, *memory.leaving) if memory else ()
