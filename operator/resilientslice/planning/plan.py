"""The heart: from what is wanted and what was seen to what is to be, all of it, and what to remember. No I/O.

The backend pushes `envoy`, applies `objects`, writes `status`, keeps `memory`, and plans again when
something happens or `next_deadline` comes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.status import Status
from resilientslice.canary import machine
from resilientslice.canary.state import Event, State, Wanted
from resilientslice.planning.desired import Desired, tracks_of
from resilientslice.planning.memory import Memory
from resilientslice.planning.observed import Observed, Store
from resilientslice.planning.offers import Place, Render, offer_of
from resilientslice.planning.readiness import serves
from resilientslice.planning.signals import asked_of, signals_of
from resilientslice.planning.status import status_of, suspended_status
from resilientslice.planning.transit import carried_over, noticed, transit_deadline
from resilientslice.planning.view import View
from resilientslice.planning.wanted_revision import known_revisions, remembered, wanted_revision
from resilientslice.render.envoy import render_envoy
from resilientslice.render.images import DEFAULT_IMAGES, Images
from resilientslice.render.names import OPERATOR_NAMESPACE
from resilientslice.render.revision import Revision, changed_services, moved_services


@dataclass(frozen=True, eq=False)
class Plan:
    """`desired` is None while the slice is suspended: everything is left as it is, and only status is written.

    `memory` is the next pass's `Observed.memory`. Nothing is remembered of a slice that was suspended from the start.
    `next_deadline` is in seconds since the epoch; None: nothing happens by itself.
    """

    desired: Desired | None
    memory: Memory | None
    report: Callable[[], Status]
    events: tuple[Event, ...] = ()
    next_deadline: float | None = None
    stores: Mapping[StoreName, Store] = field(default_factory=dict)
    """As they were seen."""
    awaits_envoys: bool = False
    """Pods are ready, and an Envoy that callers are sent to has not found them yet; it tells when it is asked."""

    @cached_property
    def status(self) -> Status:
        """Worked out when first asked for: Envoys need not wait for it."""
        return self.report()


def plan(
    slice_: ResilientSlice,
    observed: Observed,
    now: float,
    *,
    place: Place,
    render: Render = render_envoy,
    images: Images = DEFAULT_IMAGES,
    operator_namespace: str = OPERATOR_NAMESPACE,
    sleep_action: bool = True,
    wanted: Revision | None = None,
    withheld: str = "",
) -> Plan:
    """`now` in seconds since the epoch. `slice_.status` is the status as last written: its times are kept.

    `wanted` is `wanted_revision` of the same slice and memory, where it is known; or what continues in place of the
    revision `withheld`, which can't be stored. `sleep_action` as in `revision_of`.
    Nothing in the result may be changed in place. Raises KeyError when `place` leaves out a service with a port.
    """
    if slice_.spec.suspend:
        return Plan(desired=None, memory=observed.memory, report=lambda: suspended_status(slice_, now))
    wanted = wanted or wanted_revision(slice_, observed.memory, sleep_action=sleep_action)
    before = noticed(observed.memory or _adopt(wanted, now), observed)
    seen = signals_of(before, observed, asked_of(slice_))
    before = replace(before, state=replace(before.state, settled=before.state.settled or bool(seen.settled)))
    decision = machine.step(before.state, _asked(slice_, before, wanted, withheld), seen, now)
    memory = carried_over(before, _remember(before, decision.state, wanted), observed, slice_, now)
    stable, canary = tracks = tracks_of(memory, slice_, now)
    offer = offer_of(slice_, memory, tracks, observed.envoys.proxies, place=place, render=render)
    memory = replace(memory, config=offer.envoy.digest, accepted=offer.accepted, refused=offer.refused)
    view = View(slice_, memory, observed, canary, waits=decision.message)
    return Plan(
        desired=Desired(slice_, stable, canary, offer.envoy, images, operator_namespace),
        memory=replace(memory, served=memory.served or serves(view)),
        report=lambda: status_of(view, now),
        events=decision.events,
        next_deadline=_earliest(decision.next_deadline, transit_deadline(memory, now)),
        stores=observed.stores,
        awaits_envoys=bool(view.unfound or seen.canary_unfound),
    )


def _adopt(wanted: Revision, now: float) -> Memory:
    """The first pass of a slice that doesn't run: what is wanted is what is stable."""
    return Memory(stable=wanted, state=State(stable=wanted.name, since=now, entered=now))


def _asked(slice_: ResilientSlice, memory: Memory, wanted: Revision, withheld: str) -> Wanted:
    return Wanted(
        revision=wanted.name,
        changed=changed_services(memory.stable, wanted),
        moved=moved_services(memory.stable, wanted),
        canary=slice_.spec.canary,
        former=frozenset(revision.name for revision in memory.history),
        withheld=withheld,
    )


def _remember(before: Memory, state: State, wanted: Revision) -> Memory:
    """A revision that was never seen ready as a whole is nothing to return to."""
    known = known_revisions(before, wanted)
    replaced = before.state.settled and state.stable != before.stable.name
    return replace(
        before,
        stable=known[state.stable],
        canary=known[state.canary] if state.canary else None,
        state=state,
        history=remembered(before.history, before.stable) if replaced else before.history,
        former=_former(before, state),
    )


def _former(before: Memory, state: State) -> str:
    if state.stable == before.stable.name:
        return before.former
    return before.stable.name if before.state.settled else ""


def _earliest(*times: float | None) -> float | None:
    return min((at for at in times if at is not None), default=None)
