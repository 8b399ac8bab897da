"""What this process knows of one slice. All of it can be found again: in the cluster, or by a few minutes' watching."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from resilientslice.api.slice import ResilientSlice
from resilientslice.applying.applied import Applied
from resilientslice.applying.refusals import RETRY_SECONDS
from resilientslice.claims.rivalry import Rivalry
from resilientslice.controller.interning import Shared, graft
from resilientslice.controller.pod_inquiry import PodTroubles
from resilientslice.controller.rendered import Rendered
from resilientslice.controller.report import Reported
from resilientslice.history.remembered import Remembered
from resilientslice.history.store import Keeping
from resilientslice.kube.cache import Child
from resilientslice.kube.children import ChildId
from resilientslice.kube.kinds import STATEFUL_SET, Object, SliceKey
from resilientslice.planning.observed import Queued, Trouble
from resilientslice.rollouts.slots import AGAIN_SECONDS
from resilientslice.stores.provisioned import Provisioned
from resilientslice.stores.store_workloads import counted

Epoch = tuple[int, int]
OVERDUE_SECONDS = 1.0


@dataclass(slots=True)
class SliceState:
    """One part for each package that a pass calls. Times are seconds since the epoch."""

    uid: str
    remembered: Remembered
    applied: Applied
    stores: Provisioned = field(default_factory=Provisioned)
    rivalry: Rivalry = field(default_factory=Rivalry)
    rendered: Rendered = field(default_factory=Rendered)
    reported: Reported = field(default_factory=Reported)
    pods: PodTroubles = field(default_factory=PodTroubles)
    slice_: ResilientSlice | None = None
    """As parsed from the generation in it."""
    terminal: tuple[Trouble, ...] = ()
    """What stands in the way of the stores, as of the last pass."""
    queued: Queued | None = None
    """The rollout of the proxies waits for its slot."""
    key_due: float | None = None
    """When to look at the agents' key again."""
    epoch: Epoch = (0, 0)
    """Of the configuration that was pushed last."""
    again: bool = False
    """Something was learned in this pass that its status doesn't say yet."""
    interned: tuple[object, ...] = (None, None, ())
    """`slice_`, the wanted revision, what objects were rendered from, and revisions, as of the last `intern`."""

    @classmethod
    def of(cls, uid: str) -> "SliceState":
        return cls(uid, Remembered(uid), Applied(uid))

    def intern(self, shared: Shared) -> None:
        """After a pass: what was parsed or loaded in it stays for long, so equal parts are kept once for all slices."""
        remembered, rendered = self.remembered, self.rendered
        now = (self.slice_, remembered.wanted, rendered.basis)
        if all(one is other for one, other in zip(self.interned, now, strict=False)):
            return
        before, done = self.interned[0], self.interned
        if isinstance(before, ResilientSlice) and self.slice_ is not None:
            done += graft(self.slice_.spec, before.spec)
        kept = shared.of((self.slice_, remembered.memory, remembered.wanted, rendered.basis), but=done)
        self.slice_, remembered.memory, remembered.wanted, rendered.basis = kept
        self.interned = (self.slice_, remembered.wanted, rendered.basis, *remembered.all_revisions())

    def troubles(self, now: float) -> tuple[Trouble, ...]:
        """Return what stands in the way, but for names in use and pods, which each pass reads off the cluster."""
        return (
            *self.terminal,
            *self.applied.troubles(),
            *self.reported.failing.troubles(now),
            *self.rivalry.rivals,
        )

    def obstacles(self) -> tuple[object, ...]:
        """Return what a pass may meet with that its own status doesn't say yet."""
        return (self.terminal, *self.applied.obstacles(), self.stores.volumes)

    def still_remade(self, children: Mapping[ChildId, Child]) -> frozenset[str]:
        """Return those that are not there again, or whose controllers have not counted their pods."""
        found = {name: children.get((STATEFUL_SET.kind, name)) for name in self.applied.remade}
        self.applied.remade = frozenset(name for name, child in found.items() if child is None or not counted(child))
        return self.applied.remade

    def deadlines(self, now: float) -> list[float]:
        """When time alone makes another pass worth while."""
        contested = self.applied.contests.deadline(now)
        # Secrets are not watched: no event tells when one was restored
        terminal = now + RETRY_SECONDS if self.terminal else None
        queued = now + AGAIN_SECONDS if self.queued else None
        looked_at = (self.pods.due, self.key_due, *self.stores.deadlines())
        timed = (contested, *self.rivalry.deadlines(now), *looked_at, terminal, queued)
        # what is overdue was not reached in this pass: the next one is not at once
        return [*self.applied.deadlines(), *(max(at, now + OVERDUE_SECONDS) for at in timed if at)]


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over one slice: the object as the API server has it, and parsed. `now` in seconds since the epoch."""

    key: SliceKey
    raw: Object
    state: SliceState
    slice_: ResilientSlice
    now: float

    def keeping(self, slice_: ResilientSlice) -> Keeping:
        """`slice_` as it acts."""
        return Keeping(slice_, self.state.remembered, self.state.applied, self.now)
