"""What the agent offers, and what became of each configuration. Pure: (state, event) → (state, outputs).

One configuration is installed at a time and at most one waits. It is good once every connected Envoy runs it; the first
refusal takes all of them back to the last good one, and a refused configuration is not offered again by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from resilientslice.agent.ads_channel import Refusal, Request
from resilientslice.agent.ads_stream import (
    Send,
    Stream,
    StreamOutput,
    advance,
    receive_on,
    refuse,
    retarget,
)
from resilientslice.agent.resources import EMPTY, Config, Epoch, Resources, ResourceType

REMEMBERED_REFUSALS = 16
REMEMBERED_VERSIONS = 64


@dataclass(frozen=True, slots=True)
class Accepted:
    """Every connected Envoy runs it."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """An Envoy refused it, in these words."""

    kind: ResourceType
    message: str


@dataclass(frozen=True, slots=True)
class Superseded:
    """A newer configuration took its place before it was installed. `by` is that one's digest."""

    by: str


Verdict = Accepted | Rejected | Superseded


@dataclass(frozen=True, slots=True)
class Stale:
    """Not taken: the agent holds epoch `held`, of the configuration `digest`: newer, or another of the same epoch."""

    held: Epoch
    digest: str


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of the configuration with this digest."""

    digest: str
    verdict: Verdict


Output = StreamOutput | Settled


@dataclass(frozen=True, slots=True)
class Push:
    """Install this configuration, after `admit` found nothing against it."""

    config: Config


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nobody waits for this configuration any more: it stays wanted, but a newer one need not wait for it."""

    digest: str


@dataclass(frozen=True, slots=True)
class Opened:
    stream: int


@dataclass(frozen=True, slots=True)
class Closed:
    stream: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went on."""


Event = Push | GiveUp | Opened | Closed | Request | Tick


@dataclass(frozen=True, slots=True)
class State:
    """`good` is what Envoy accepted last, `target` what is offered now, `pending` what waits for its turn.

    `offered` remembers what was sent under which version, for an Envoy that comes back on a new stream and names the
    version that it runs. `floor` is the newest epoch seen, of `floor_digest`; nothing older is taken. `abandoned` says
    that nobody waits for the target's verdict.
    """

    good: Config | None = None
    target: Config | None = None
    pending: Config | None = None
    offered: Mapping[str, Resources] = field(default_factory=dict)
    floor: Epoch = EMPTY.epoch
    floor_digest: str = EMPTY.digest
    abandoned: bool = False
    streams: Mapping[int, Stream] = field(default_factory=dict)
    rejected: Mapping[str, Rejected] = field(default_factory=dict)

    @property
    def active(self) -> tuple[Stream, ...]:
        return tuple(stream for stream in self.streams.values() if stream.active)

    @property
    def resolved(self) -> bool:
        """Nothing is being installed, or all that is left is the way back to what is good."""
        return self.target is None or self.target.digest == (self.good or EMPTY).digest

    @property
    def ready(self) -> bool:
        """An Envoy is connected and has taken a whole configuration."""
        return self.good is not None and any(stream.served for stream in self.active)


def restored(good: Config | None, mounted: Config | None, floor: tuple[Epoch, str] | None) -> State:
    """The state of an agent that starts: what it had, and a mounted copy, which counts if it is of a later epoch.

    `floor` is the newest epoch that was seen before, and its digest: a refused configuration may have been newer.
    """
    if mounted is not None and floor is not None and mounted.epoch <= floor[0]:
        mounted = None
    target = mounted or good
    if target is None:
        return State()
    newest, digest = floor if floor is not None and mounted is None else (target.epoch, target.digest)
    return State(good=good, target=target, floor=newest, floor_digest=digest or target.digest, abandoned=True)


def admit(state: State, config: Config, *, retry: bool = False) -> Stale | Verdict | None:
    """Why a configuration need not, or must not, be installed; None if it is to be pushed.

    A refused one is refused again at once, unless `retry` says that what it failed on (a port in use) may have changed.
    """
    if config.epoch < state.floor or (config.epoch == state.floor and config.digest != state.floor_digest):
        return Stale(state.floor, state.floor_digest)
    if config.digest in state.rejected and not retry:
        return state.rejected[config.digest]
    dropped = _leans_on_dropped(state, config)
    if dropped:
        message = f"route to cluster {dropped[0]!r}, which runs now but is not part of this configuration"
        return Rejected(ResourceType.ROUTES, f"{message}: keep the cluster or change the route")
    return None


def step(state: State, event: Event, now: float) -> tuple[State, tuple[Output, ...]]:
    """Take one event; `now` in seconds of a steady clock. The outputs are to be carried out in order."""
    state, taken = _take(state, event)
    outputs: list[Output] = list(taken)
    while True:
        state, advanced = _advance(state, now)
        outputs += advanced
        state, settled = _settle(state)
        if not settled:
            return state, tuple(outputs)
        outputs += settled


def waiting_for(state: State) -> str:
    """In words, what a configuration that isn't accepted yet waits for."""
    if not state.active:
        return "no Envoy is connected"
    if state.pending is not None:
        return "another configuration is being installed"
    stages = sorted({stream.stage.name.lower() for stream in state.active if not stream.installed})
    return f"Envoy has not answered: waiting at {', '.join(stages)}" if stages else "nothing"


def _take(state: State, event: Event) -> tuple[State, list[Output]]:
    outputs: list[Output] = []
    match event:
        case Push(config):
            state, outputs = _push(state, config)
        case GiveUp(digest):
            state, outputs = _give_up(state, digest)
        case Opened(stream):
            state = _with_stream(state, Stream(stream))
        case Closed(stream):
            state = replace(state, streams={k: v for k, v in state.streams.items() if k != stream})
        case Request() if event.stream in state.streams:
            after, refusal = receive_on(state.streams[event.stream], event, _before(state, event))
            state = _with_stream(state, after)
            state, outputs = (state, []) if refusal is None else _refused(state, event.stream, refusal)
        case _:
            pass  # time went on, or news of a stream that is closed by now
    return state, outputs


def _push(state: State, config: Config) -> tuple[State, list[Output]]:
    rejected = {digest: verdict for digest, verdict in state.rejected.items() if digest != config.digest}
    state = replace(state, floor=config.epoch, floor_digest=config.digest, rejected=rejected)
    if state.target is not None and config.digest == state.target.digest:
        return _repeat(state, config)
    busy = bool(state.active) and not state.resolved and not state.abandoned
    if busy:
        waiting = state.pending
        moved = waiting is not None and waiting.digest != config.digest
        outputs = [Settled(waiting.digest, Superseded(config.digest))] if waiting and moved else []
        return replace(state, pending=config), list(outputs)
    return _begin(state, config)


def _repeat(state: State, config: Config) -> tuple[State, list[Output]]:
    """The same configuration again, perhaps of a newer epoch: nothing to install that isn't on its way."""
    outputs: list[Output] = []
    if state.pending is not None:
        outputs.append(Settled(state.pending.digest, Superseded(config.digest)))
    state = replace(state, target=config, pending=None, abandoned=False)
    if state.good is not None and config.digest == state.good.digest:
        state = replace(state, good=config)
        outputs.append(Settled(config.digest, Accepted()))
    return state, outputs


def _give_up(state: State, digest: str) -> tuple[State, list[Output]]:
    if state.target is None or state.target.digest != digest or state.resolved:
        return state, []
    if state.pending is not None:
        return _begin(state, state.pending)
    return replace(state, abandoned=True), []


def _begin(state: State, config: Config) -> tuple[State, list[Output]]:
    """Make a configuration the target, in the place of one that may be under way."""
    outputs: list[Output] = []
    if state.target is not None and not state.resolved:
        outputs.append(Settled(state.target.digest, Superseded(config.digest)))
    state = _retargeted(replace(state, pending=None), config)
    if state.good is not None and config.digest == state.good.digest:
        state = replace(state, good=config)
        outputs.append(Settled(config.digest, Accepted()))
    return state, outputs


def _retargeted(state: State, config: Config) -> State:
    streams = {key: retarget(stream) for key, stream in state.streams.items()}
    return replace(state, target=config, abandoned=False, streams=streams)


def _refused(state: State, stream: int, refusal: Refusal) -> tuple[State, list[Output]]:
    """Go back to what is good, or on to what waits. A refusal of what is good is kept in mind and changes nothing."""
    if refusal.config == (state.good or EMPTY).digest:
        return _with_stream(state, refuse(state.streams[stream], refusal)), []
    verdict = Rejected(refusal.kind, refusal.message)
    known = {**state.rejected, refusal.config: verdict}
    state = replace(state, rejected=dict(list(known.items())[-REMEMBERED_REFUSALS:]))
    if state.target is None or refusal.config != state.target.digest:
        return state, []
    outputs: list[Output] = [Settled(refusal.config, verdict)]
    back, pending = state.good or EMPTY, state.pending
    state = _retargeted(state, back)
    if pending is not None:
        state, more = _begin(state, pending)
        outputs += more
    return state, outputs


def _advance(state: State, now: float) -> tuple[State, list[Output]]:
    target, outputs = state.target, list[Output]()
    if target is None:
        return state, outputs
    for stream in state.active:
        if target.digest == EMPTY.digest and stream.serial == 0:
            continue  # nothing was ever good: an Envoy that starts now waits, rather than starting with nothing
        moved, emitted = advance(stream, target, now)
        sent = {send.version: _by_name(send) for send in emitted if isinstance(send, Send)}
        offered = dict(list({**state.offered, **sent}.items())[-REMEMBERED_VERSIONS:]) if sent else state.offered
        state = replace(_with_stream(state, moved), offered=offered)
        outputs += emitted
    return state, outputs


def _settle(state: State) -> tuple[State, list[Output]]:
    """A target that every Envoy runs is good; then it is the turn of the one that waits."""
    target = state.target
    if target is not None and not state.resolved and state.active and all(s.installed for s in state.active):
        state = replace(state, good=target, abandoned=False)
        outputs: list[Output] = [Settled(target.digest, Accepted())]
        if state.pending is not None:
            state, more = _begin(state, state.pending)
            outputs += more
        return state, outputs
    return state, []


def _leans_on_dropped(state: State, config: Config) -> list[str]:
    """Clusters that its routes use and Envoy has, but only from before: it would accept the routes, and then fail."""
    held = {name for stream in state.active for name in stream.channels[ResourceType.CLUSTERS].base}
    held |= (state.good.clusters if state.good else {}).keys()
    used = frozenset[str]().union(*(route.clusters for route in config.routes.values()))
    return sorted((used & held) - config.clusters.keys())


def _before(state: State, request: Request) -> Resources:
    """What an Envoy that comes with this version may run: what was sent under it, besides what is good."""
    good = state.good.of(request.kind) if state.good is not None else {}
    return {**good, **state.offered.get(request.version, {})}


def _by_name(send: Send) -> Resources:
    return {resource.name: resource for resource in send.resources}


def _with_stream(state: State, stream: Stream) -> State:
    return replace(state, streams={**state.streams, stream.id: stream})
