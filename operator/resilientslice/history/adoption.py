"""The memory of a slice that runs and that nobody remembers: from its Deployments, and from its status as last written.

Status is what was observed, so it is believed only where believing it can't ship anything: which revision a pinned
weight belongs to, which ones were aborted, that a canary was under way. What the stable Deployments run is stable; what
the resource asks for beyond that is a new revision. How far a canary had got is for the Envoys to prove.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from resilientslice.api import status as told
from resilientslice.api.reasons import EventReason
from resilientslice.api.slice import ResilientSlice
from resilientslice.canary.state import Abortion, CanaryReason, Event, Phase, Pin, State
from resilientslice.history.record import Stored, memory_of
from resilientslice.history.running import Running, as_it_runs, made_from, revision_that_runs
from resilientslice.history.second_copy import SecondCopy
from resilientslice.planning.memory import Memory
from resilientslice.planning.observed import Observed
from resilientslice.render.names import Track
from resilientslice.render.revision import Revision, changed_services, revision_of

_ABORTED = re.compile(r"(\S+) was aborted: (.*)\. \S+ serves\. ", re.DOTALL)
_FORGOTTEN = "its cause was lost with the slice's memory"


@dataclass(frozen=True, slots=True)
class Found:
    """What is there of a slice: its services' Deployments, its stored revisions by name, and the second copy."""

    running: tuple[Running, ...]
    stored: Mapping[str, Revision]
    copy: SecondCopy = field(default_factory=SecondCopy)

    def on(self, track: Track) -> tuple[Running, ...]:
        return tuple(found for found in self.running if found.track is track)


@dataclass(frozen=True, slots=True)
class Adopted:
    """`weights`: those that the Envoys may draw for the canary, if its memory says that it starts."""

    memory: Memory
    weights: tuple[int, ...] = ()


def adopt(slice_: ResilientSlice, found: Found, now: float, *, sleep_action: bool = True) -> Adopted | None:
    """None if nothing runs that could be adopted. `now` in seconds since the epoch, `sleep_action` as in
    `revision_of`."""
    stable = stable_that_runs(slice_, found, sleep_action=sleep_action)
    if stable is None:
        return None
    wanted = revision_of(slice_, after=stable, sleep_action=sleep_action)
    canary = _canary(slice_, found, stable, wanted)
    if canary is not None and slice_.status.canary.phase == Phase.PROMOTING:
        stable = canary  # it was final; how far its roll-out got is no part of the memory
    name = canary.name if canary else ""
    state = replace(
        _resting(slice_, stable, wanted, now), pin=_pin(slice_, stable.name, name, wanted.name), settled=_served(slice_)
    )
    memory = _copied(Memory(stable=stable, state=state, served=_served(slice_)), found)
    if canary is None:
        return Adopted(memory)
    services = _services(found, stable, canary)
    state = replace(_under_way(slice_, state, canary), canary=name, services=services, exposed=True)
    sizes = {one.service: one.replicas for one in found.on(Track.STABLE) if one.service in services}
    memory = replace(memory, canary=canary, state=state, sizes=sizes)
    return Adopted(memory, _weights(slice_) if state.phase is not Phase.DRAINING else ())


def stable_that_runs(slice_: ResilientSlice, found: Found, *, sleep_action: bool = True) -> Revision | None:
    """What the stable Deployments run; what status says of it where there are none. None if neither is known."""
    running, name = found.on(Track.STABLE), slice_.status.revision.stable
    said = found.stored.get(name)
    if said is not None and made_from(said, running):
        return revision_that_runs(slice_, running, [said], base=said)
    if not running:
        return None
    wanted = as_it_runs(revision_of(slice_, sleep_action=sleep_action), running)
    return revision_that_runs(slice_, running, [*found.stored.values(), wanted])


def canary_that_runs(
    slice_: ResilientSlice, found: Found, stable: Revision | None, name: str, *, sleep_action: bool = True
) -> Revision | None:
    """The canary of that name from what its Deployments run, or from the spec if it asks for it. None if neither."""
    running = found.on(Track.CANARY)
    wanted = as_it_runs(revision_of(slice_, after=stable, sleep_action=sleep_action), running)
    if wanted.name == name:
        return wanted
    if not running or stable is None:
        return None
    return replace(revision_that_runs(slice_, running, [wanted], base=stable), name=name)


def restored(slice_: ResilientSlice, stored: Stored, found: Found, *, sleep_action: bool = True) -> Memory | None:
    """The memory of a stored ConfigMap that refers to revisions which are not there: read off what runs, or rendered
    again where the spec asks for them. None if the stable one can't be known."""
    known, stable, canary = dict(found.stored), stored.stable, stored.canary
    if stable not in known:
        again = canary_that_runs if stable == canary else None
        made = again(slice_, found, None, stable, sleep_action=sleep_action) if again else None
        made = made or stable_that_runs(slice_, found, sleep_action=sleep_action)
        if made is None:
            return None
        known[made.name], stable = made, made.name
    if canary and canary not in known:
        made = canary_that_runs(slice_, found, known[stable], canary, sleep_action=sleep_action)
        known |= {canary: made} if made else {}
    return memory_of(_renamed(stored, stable, canary if canary in known else ""), known)


def _renamed(stored: Stored, stable: str, canary: str) -> Stored:
    """With other revisions than those that it was stored with; without its canary where there is none any more."""
    state = {**stored.fields["state"], "stable": stable}
    if stored.canary and not canary:
        kept = ("stable", "pin", "aborted", "settled", "since", "entered")
        state = {key: value for key, value in state.items() if key in kept}
    return replace(stored, fields={**stored.fields, "state": state}, stable=stable, canary=canary)


def proved(adopted: Adopted, observed: Observed, digests_of: Callable[[Memory], Iterable[str]]) -> Memory:
    """The memory with the lowest weight that an Envoy draws, if all Envoys run a configuration that could have been
    asked for; else the canary starts again, at 0. `digests_of` gives the digests of a memory's configurations: on each
    policy that may be in force."""
    running = set(observed.envoys.proxies.acked.values())
    drawn: dict[str, Memory] = {}
    for weight in sorted(adopted.weights, reverse=True) if running else ():
        memory = _drawing(adopted.memory, weight)
        drawn |= dict.fromkeys(digests_of(memory), memory)
    if not running or not running <= drawn.keys():
        return adopted.memory
    config = min(running, key=lambda digest: drawn[digest].state.weight)
    return replace(drawn[config], config=config)


def memory_lost(memory: Memory, why: str) -> Event:
    state = memory.state
    said = f"{why}. Adopted what runs: {memory.stable.name} is stable"
    if state.live:
        said += f", {state.canary} continues at weight {state.weight}, which the Envoys draw"
    elif state.canary:
        said += f", {state.canary} is {state.phase.value}, at weight 0"
    aborted = ", ".join(abortion.revision for abortion in state.aborted)
    said += f", {aborted} stays aborted" if aborted else ""
    return Event(EventReason.MEMORY_LOST, f"{said}. Returning to earlier revisions takes the canary's steps.")


def _copied(memory: Memory, found: Found) -> Memory:
    """With what the second copy says of it. Revisions are there under their names, or they aren't known any more."""
    names = [name for name in found.copy.leaving if name in found.stored and name != memory.stable.name]
    aims = {name: aim for name, aim in found.copy.aims.items() if name in memory.stable.services}
    leaving = tuple(found.stored[name] for name in names)
    return replace(memory, accepted=found.copy.accepted, aims=aims, leaving=leaving)


def _drawing(memory: Memory, weight: int) -> Memory:
    phase = Phase.PROGRESSING if memory.state.phase is Phase.STARTING else memory.state.phase
    return replace(memory, state=replace(memory.state, phase=phase, weight=weight, observed=weight, live=True))


def _canary(slice_: ResilientSlice, found: Found, stable: Revision, wanted: Revision) -> Revision | None:
    running, name = found.on(Track.CANARY), slice_.status.revision.canary
    if not running:
        return None
    known = [found.stored[name]] if name in found.stored else []
    known += [as_it_runs(wanted, running), *found.stored.values()]
    return revision_that_runs(slice_, running, known, base=stable)


def _services(found: Found, stable: Revision, canary: Revision) -> tuple[str, ...]:
    running = {one.service for one in found.on(Track.CANARY)}
    return tuple(sorted(running | changed_services(stable, canary)))


def _resting(slice_: ResilientSlice, stable: Revision, wanted: Revision, now: float) -> State:
    """Without a canary."""
    state = State(stable=stable.name, since=now, entered=now, aborted=_aborted(slice_, wanted))
    if state.abortion(wanted.name) is None or wanted.name == stable.name:
        return state
    return replace(state, phase=Phase.ABORTED, reason=CanaryReason.ABORTED)


def _under_way(slice_: ResilientSlice, state: State, canary: Revision) -> State:
    """Status says what became of a canary that ends; one that lives starts again, unless more is proved."""
    if slice_.status.canary.phase == Phase.DRAINING:
        reason = _reason(slice_)
        return replace(
            state,
            phase=Phase.DRAINING,
            reason=CanaryReason(reason) if reason in set(CanaryReason) else CanaryReason.REVERTED,
        )
    if state.stable == canary.name:
        return replace(state, phase=Phase.PROMOTING, reason=CanaryReason.PROMOTE)
    step = slice_.status.canary.step if slice_.spec.canary else 0
    return replace(state, phase=Phase.STARTING, reason=CanaryReason.NONE, step=step)


def _aborted(slice_: ResilientSlice, wanted: Revision) -> tuple[Abortion, ...]:
    status = slice_.status
    if status.canary.phase == Phase.DRAINING and _reason(slice_) == CanaryReason.ABORTED and status.revision.canary:
        return (Abortion(status.revision.canary, _FORGOTTEN),)
    if status.canary.phase != Phase.ABORTED:
        return ()
    said = _ABORTED.match(status.canary.message)
    if said:
        return (Abortion(said[1], said[2]),)
    seen = status.observed_generation >= slice_.metadata.generation
    return (Abortion(wanted.name, _FORGOTTEN),) if seen else ()


def _pin(slice_: ResilientSlice, stable: str, canary: str, wanted: str) -> Pin | None:
    """Armed only for the revision that it was set for, while that one is under way or wanted. Where status was lost
    too, nobody knows what a weight was set for."""
    status, weight = slice_.status, slice_.spec.canary.weight if slice_.spec.canary else None
    if status.canary.pin is not None:
        pin = status.canary.pin
        return Pin(pin.weight, pin.revision, armed=pin.revision != stable and pin.revision in (canary, wanted))
    if weight is None or status.observed_generation:
        return None
    return Pin(weight, wanted, armed=False)


def _weights(slice_: ResilientSlice) -> tuple[int, ...]:
    canary, status = slice_.spec.canary, slice_.status.canary
    found = {0, 100, status.weight}
    found |= {status.pin.weight} if status.pin else set()
    found |= {step.weight for step in canary.steps} if canary else set()
    found |= {canary.weight} if canary and canary.weight is not None else set()
    return tuple(sorted(found))


def _served(slice_: ResilientSlice) -> bool:
    """Unless status says otherwise there is something to protect."""
    return slice_.status.observed_generation == 0 or slice_.status.phase is not told.Phase.PENDING


def _reason(slice_: ResilientSlice) -> str:
    kind = told.ConditionType.CANARY_HEALTHY.value
    return next((found.reason for found in slice_.status.conditions if found.type == kind), "")
