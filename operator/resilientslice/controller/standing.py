"""Whether this installation of the operator acts for a slice, and what it says when another one does."""

from dataclasses import dataclass

from resilientslice.api.reasons import EventReason
from resilientslice.canary.state import Event
from resilientslice.claims.claimant import Claims
from resilientslice.claims.decision import LOOK_SECONDS, UNKNOWN, contended
from resilientslice.controller.report import Report
from resilientslice.controller.slice_state import SliceState
from resilientslice.controller.understood import Understood
from resilientslice.kube.kinds import Object, SliceKey
from resilientslice.planning.observed import Trouble
from resilientslice.planning.status import contended_status


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """The slice is another one's until `until` (seconds since the epoch) at least. `forget`: what is known of it will
    be old by the time that it is ours."""

    until: float
    forget: bool


@dataclass(frozen=True, slots=True)
class Standing:
    claims: Claims
    report: Report

    async def of(
        self, key: SliceKey, raw: Object, state: SliceState, understood: Understood, now: float
    ) -> LeftAlone | None:
        """None: this installation acts. Raises KubeError's kinds."""
        holder = await self.claims.holder(key, state.uid, understood.slice_)
        if holder:
            said = self.claims.stand_back(key, holder)
            if said:
                await self.report.tell(raw, Event(EventReason.MANAGED_BY_ANOTHER, said))
            return LeftAlone(now + min(LOOK_SECONDS, self.claims.look), forget=True)
        until = state.rivalry.left_until(now)
        if until is not None:
            generation = raw["metadata"].get("generation", 0)
            after = contended_status(understood.status, generation, self._contended(UNKNOWN), now)
            await self.report.write(key, raw, state.reported, before=understood.status, after=after, now=now)
            return LeftAlone(until, forget=False)
        contender = UNKNOWN if state.rivalry.overwrites.conflicts(now) else await self.claims.contender(key)
        state.rivalry.rivals = (self._contended(contender),) if contender else ()
        return None

    def _contended(self, contender: str) -> Trouble:
        return contended(contender, self.claims.installation)
