"""What people asked for, edit by edit, and what therefore may be: the yardstick that the operator's doing is held to.

Knows the rules for canaries as the documentation gives them, and none of the operator's state.
"""

import copy
import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.kube.chaos.api import NAMESPACE, Object

from resilientslice.api.problems import InvalidSliceError
from resilientslice.api.scalars import duration_milliseconds
from resilientslice.api.slice import API_VERSION, KIND, ResilientSlice
from resilientslice.api.validation import check_change, parse_slice
from resilientslice.render.revision import Revision, revision_of

ACT_SECONDS = 2.0
"""Within which what was asked has to be in effect, on the slice's clock."""


@dataclass
class Edit:
    """One generation. `at`: when it was sent, on the slice's clock, and `wall` on everybody's. `slice_` is None for a
    spec that is invalid."""

    at: float
    wall: float
    generation: int
    spec: Object
    slice_: ResilientSlice | None
    revision: Revision | None

    @property
    def canary(self) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = self.spec.get("canary")
        return found

    @property
    def weight(self) -> int | None:
        return (self.canary or {}).get("weight")


@dataclass
class Asked:
    """The edits of one slice, oldest first."""

    name: str
    edits: list[Edit] = field(default_factory=list)
    observed: set[int] = field(default_factory=set)
    """Generations that the operator is known to have seen: its status says so."""
    aborted: set[str] = field(default_factory=set)
    """Revisions of which an abort was known to be seen while they were no stable ones."""
    stable: list[str] = field(default_factory=list)
    """Revisions that were stable, in order."""
    settled: bool = False
    """The stable revision was once ready as a whole."""

    def add(self, spec: Object, at: float) -> Edit:
        """Before it is sent: it may be seen before its answer is back."""
        slice_, revision = self._understood(spec)
        generation = self.edits[-1].generation + 1 if self.edits else 1
        edit = Edit(at, time.monotonic(), generation, copy.deepcopy(spec), slice_, revision)
        self.edits.append(edit)
        return edit

    def _understood(self, spec: Object) -> tuple[ResilientSlice | None, Revision | None]:
        metadata = {"name": self.name, "namespace": NAMESPACE}
        try:
            slice_ = parse_slice({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec})
            before = next((edit.slice_ for edit in reversed(self.edits) if edit.slice_), None)
            if before is not None:
                check_change(before, slice_)
        except InvalidSliceError:
            return None, None
        return slice_, revision_of(slice_)

    @property
    def last(self) -> Edit:
        return self.edits[-1]

    @property
    def valid(self) -> Edit:
        """The newest that can be understood."""
        return next(edit for edit in reversed(self.edits) if edit.revision is not None)

    def in_force(self, now: float) -> Iterator[Edit]:
        """Edits that the operator may still go by, or may go by already. An invalid one changes nothing."""
        replaced: float | None = None
        for edit in reversed(self.edits):
            if edit.revision is None:
                continue
            if replaced is None or now - replaced <= ACT_SECONDS:
                yield edit
            replaced = edit.at if replaced is None else min(replaced, edit.at)

    def most_weight(self, revision: str, now: float) -> int | None:
        """Percent that the canary of a revision may be given at most; None: it may not be routed to at all."""
        found = [self._weight(edit, revision) for edit in self.in_force(now)]
        allowed = [weight for weight in found if weight is not None]
        return max(allowed, default=None)

    def _weight(self, edit: Edit, revision: str) -> int | None:
        assert edit.revision is not None
        canary = edit.canary
        if edit.revision.name != revision or revision in self.aborted:
            return None
        if canary is None:
            return 100
        if canary.get("abort") == revision:
            return None
        if canary.get("promote") == revision or revision in self.stable:
            return 100
        if canary.get("paused"):
            return max((self._bare(one, revision) for one in self._of(edit, revision)), default=0)
        return self._bare(edit, revision)

    def _of(self, until: Edit, revision: str) -> Iterator[Edit]:
        for edit in self.edits:
            if edit.generation <= until.generation and edit.revision is not None and edit.revision.name == revision:
                yield edit

    def _bare(self, edit: Edit, revision: str) -> int:
        """By pin or steps."""
        canary = edit.canary
        if canary is None or canary.get("promote") == revision:
            return 100
        if edit.weight is not None:
            return edit.weight if self._armed(edit, revision) else 0
        steps = canary.get("steps") or ()
        if not steps:
            return max((one.weight or 0 for one in self._of(edit, revision)), default=0)
        first = next(self._of(edit, revision))
        passed, reached = time.monotonic() - first.wall, 0  # the operator's clock never stands still
        needed = 0.0
        for step in steps:
            reached = max(reached, step.get("weight", 0)) if passed >= needed else reached
            needed += duration_milliseconds(step.get("hold", "1m")) / 1000
        return 100 if passed >= needed else reached

    def _armed(self, edit: Edit, revision: str) -> bool:
        """Whether the pin may act on the revision. A value that was seen before the revision came does not."""
        valid = [one for one in self.edits if one.revision is not None and one.generation <= edit.generation]
        changed = valid[0]
        for before, after in itertools.pairwise(valid):
            if before.weight != after.weight:
                changed = after
        came = next(one for one in valid if one.revision is not None and one.revision.name == revision)
        if changed.generation >= came.generation:
            return True
        return not any(changed.generation <= seen < came.generation for seen in self.observed)

    def may_be_stable(self, revision: str) -> bool:
        """Whether someone promoted it, in a way that counts."""
        for edit in self.edits:
            if edit.revision is None or edit.revision.name != revision:
                continue
            before = self.stable[-1] if self.stable else ""
            known = self.revisions().get(before)
            plain = edit.canary is None or known is None or not self.settled or not _ported(known, edit.revision)
            if plain or revision in self.stable:
                return True
            if revision not in self.aborted and (self._weight(edit, revision) or 0) == 100:
                return True
        return False

    def revisions(self) -> dict[str, Revision]:
        return {edit.revision.name: edit.revision for edit in self.edits if edit.revision is not None}


def _ported(stable: Revision, wanted: Revision) -> bool:
    """Some service with a port is new or differs, so there is something to shift."""
    return any(
        service.port is not None and (name not in stable.services or stable.services[name].digest != service.digest)
        for name, service in wanted.services.items()
    )
