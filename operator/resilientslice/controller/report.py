"""Tells what was observed: the status, written once per change, and one Event for each transition."""

import logging
from dataclasses import dataclass, field

from resilientslice.api.reasons import EventReason, Reason
from resilientslice.api.status import Status
from resilientslice.applying.refusals import SAY_SECONDS, Failing
from resilientslice.canary.state import Event
from resilientslice.kube.children import MANAGER
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import ConflictError, KubeError, NotFoundError, NotLeadingError
from resilientslice.kube.kinds import RESILIENT_SLICE, Object, SliceKey
from resilientslice.kube.meaning import meaning_of
from resilientslice.kube.slices import Slices
from resilientslice.planning.events import transitions, write_at
from resilientslice.planning.status import invalid_status, stalled_status, unread_status

_log = logging.getLogger(__name__)

CONTROLLER = "resilientslice.dev/operator"
MOST_EVENTS = 20
"""Kept for later while they can't be written: the newest."""


@dataclass(slots=True)
class Reported:
    """What of one slice was reported, or is still to be. Times are seconds since the epoch."""

    events: tuple[Event, ...] = ()
    """Still to be written."""
    written: float = 0.0
    """When the status was written last."""
    deferred: bool = False
    """The last pass left its status to the next one, which is not to do so again."""
    unwritten: tuple[float, str] | None = None
    """Since when the status itself can't be written, and what an Event said of it."""
    failing: Failing = field(default_factory=Failing)


@dataclass(frozen=True, slots=True)
class Report:
    client: KubeClient
    slices: Slices
    instance: str = field(default="resilientslice")

    async def write(
        self, key: SliceKey, raw: Object, reported: Reported, *, before: Status, after: Status, now: float
    ) -> float | None:
        """Returns when to look again because of a status that is held back; None if it was written or is the same."""
        at = write_at(before, after, written=reported.written, now=now)
        if at is not None and at > now:
            return at
        if at is not None:
            try:
                await self._write_status(key, raw, after)
            except KubeError as error:
                await self._unwritten(raw, reported, error, now)
                raise
            reported.events = (*reported.events, *transitions(before, after))
            reported.written, reported.unwritten = now, None
        if reported.events:
            await self._tell(raw, reported)
        return None

    async def unread(
        self, key: SliceKey, raw: Object, reported: Reported, *, before: Status, error: KubeError, now: float
    ) -> None:
        """What is needed before anything can be planned could not be read, or made."""
        reported.failing = reported.failing.after([error], key.namespace, now)
        for trouble in reported.failing.troubles(now):
            after = unread_status(before, raw["metadata"].get("generation", 0), trouble, now)
            await self.write(key, raw, reported, before=before, after=after, now=now)

    async def _write_status(self, key: SliceKey, raw: Object, status: Status) -> None:
        data = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        try:
            answer = await self.client.patch_status(
                RESILIENT_SLICE, key.namespace, key.name, data, manager=MANAGER, uid=raw["metadata"]["uid"]
            )
        except NotFoundError:
            return  # it was deleted meanwhile; the next event says so
        self.slices.saw(answer)

    async def _unwritten(self, raw: Object, reported: Reported, error: KubeError, now: float) -> None:
        """Where a status would be read, an Event stands instead, once while it lasts."""
        since, told = reported.unwritten or (now, "")
        meaning = meaning_of(error)
        known = isinstance(error, (NotLeadingError, ConflictError)) or told == meaning.reason
        if not known and (meaning.lasts or now - since >= SAY_SECONDS):
            said = f"The status can't be written: {meaning.advice}: {error.message or error}"
            reported.events, told = (
                (*reported.events, Event(EventReason.STATUS_NOT_WRITTEN, said)),
                meaning.reason,
            )
        reported.unwritten = since, told
        if reported.events and not isinstance(error, NotLeadingError):
            await self._tell(raw, reported)

    async def stalled(
        self,
        key: SliceKey,
        raw: Object,
        reported: Reported,
        *,
        before: Status,
        problems: str,
        reason: Reason,
        now: float,
    ) -> float | None:
        """As `write`."""
        generation = raw["metadata"].get("generation", 0)
        if reason is Reason.INVALID_SPEC:
            after = invalid_status(before, generation, problems, now)
        else:
            after = stalled_status(before, generation, reason, problems, now)
        return await self.write(key, raw, reported, before=before, after=after, now=now)

    async def tell(self, raw: Object, event: Event) -> None:
        """Once; an Event that can't be written is only logged."""
        try:
            await self._event(raw, event)
        except NotLeadingError:
            raise
        except KubeError as error:
            _log.warning("an Event was not written: %s", error)

    async def _tell(self, raw: Object, reported: Reported) -> None:
        """An Event is for people who look: one that can't be written is tried again with the next, not for itself."""
        reported.events = reported.events[-MOST_EVENTS:]
        while reported.events:
            try:
                await self._event(raw, reported.events[0])
            except NotLeadingError:
                raise
            except KubeError as error:
                _log.warning("an Event was not written: %s", error)
                return
            reported.events = reported.events[1:]

    async def _event(self, raw: Object, event: Event) -> None:
        await self.client.event(
            raw,
            reason=event.reason,
            note=event.message,
            action="Reconcile",
            type_=event.type.value,
            controller=CONTROLLER,
            instance=self.instance,
        )
