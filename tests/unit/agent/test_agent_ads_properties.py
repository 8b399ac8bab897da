"""Whatever comes in whatever order: routes never lead nowhere, nothing refused is offered again, and it converges."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from resilientslice.agent.ads_channel import Request
from resilientslice.agent.ads_state import Closed, GiveUp, Opened, Push, Settled, State, Tick, admit, step
from resilientslice.agent.ads_stream import LINGER_SECONDS, Send, WakeAt
from resilientslice.agent.resources import Config, Epoch, Resource, ResourceType, version_of

CLUSTERS, ENDPOINTS, LISTENERS, ROUTES = ResourceType
NAMES = ("a", "b", "c")
PORTS = ("x", "y")


@dataclass(frozen=True)
class Wish:
    """A configuration to make: variants of clusters and listeners, and the cluster that each listener's route takes."""

    clusters: dict[str, int]
    listeners: dict[str, tuple[int, str]]
    bad: ResourceType | None = None


@st.composite
def wishes(draw, *, bad=True):
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    ports = draw(st.lists(st.sampled_from(PORTS), min_size=1, unique=True))
    return Wish(
        clusters={name: draw(st.integers(1, 2)) for name in names},
        listeners={port: (draw(st.integers(1, 2)), draw(st.sampled_from(names))) for port in ports},
        bad=draw(st.sampled_from([None, None, CLUSTERS, ENDPOINTS, LISTENERS, ROUTES])) if bad else None,
    )


def made(wish: Wish, sequence: int) -> Config:
    """`c` clusters are static, the others ask for endpoints. One resource of the bad type is refused by Envoy."""
    parts: dict[ResourceType, dict[str, Resource]] = {kind: {} for kind in ResourceType}
    for name, variant in wish.clusters.items():
        asks = frozenset[str]() if name == "c" else frozenset({name})
        parts[CLUSTERS][name] = Resource(name, f"cluster {name} {variant}", b"", asks=asks)
        if asks:
            parts[ENDPOINTS][name] = Resource(name, f"hosts {name} {variant}", b"")
    for port, (variant, cluster) in wish.listeners.items():
        asks, address = frozenset({port}), frozenset({port})
        parts[LISTENERS][port] = Resource(port, f"listener {port} {variant}", b"", asks=asks, addresses=address)
        parts[ROUTES][port] = Resource(port, f"route {port} {cluster}", b"", clusters=frozenset({cluster}))
    if wish.bad is not None and parts[wish.bad]:
        name, old = next(iter(parts[wish.bad].items()))
        parts[wish.bad][name] = Resource(
            name, f"bad {old.digest} {sequence}", b"", old.asks, old.clusters, old.addresses
        )
    versions = " ".join(version_of(part) for part in parts.values())
    return Config(versions, Epoch(1, sequence), *parts.values())


def is_bad(config: Config) -> bool:
    return any(resource.digest.startswith("bad") for kind in ResourceType for resource in config.of(kind).values())


@dataclass
class Envoy:
    """What matters of Envoy: subscriptions, warming, refusals, and what it runs. It outlives its streams."""

    stream: int | None = None
    clusters: dict[str, Resource] = field(default_factory=dict)
    cold: set[str] = field(default_factory=set)
    hosts: dict[str, Resource] = field(default_factory=dict)
    listeners: dict[str, Resource] = field(default_factory=dict)
    routes: dict[str, Resource] = field(default_factory=dict)
    versions: dict[ResourceType, str] = field(default_factory=dict)
    nonces: dict[ResourceType, str] = field(default_factory=dict)
    inbox: list[Send] = field(default_factory=list)
    outbox: list[Request] = field(default_factory=list)
    unanswered: bool = False

    def connect(self, stream: int) -> None:
        self.stream, self.nonces, self.inbox, self.outbox, self.unanswered = stream, {}, [], [], False
        for kind in ResourceType:
            if kind.wildcard or self.names(kind):
                self.ask(kind)

    def names(self, kind: ResourceType) -> frozenset[str]:
        askers = {CLUSTERS: {}, LISTENERS: {}, ENDPOINTS: self.clusters, ROUTES: self.listeners}[kind]
        return frozenset[str]().union(*(asker.asks for asker in askers.values()))

    def ask(self, kind: ResourceType, error: str | None = None) -> None:
        assert self.stream is not None
        version, nonce = self.versions.get(kind, ""), self.nonces.get(kind, "")
        self.outbox.append(Request(self.stream, kind, self.names(kind), version, nonce, error))

    def take(self, send: Send) -> None:
        """Apply one response, answer it, and ask for what it makes necessary."""
        self.nonces[send.kind] = send.nonce
        bad = [resource.digest for resource in send.resources if resource.digest.startswith("bad")]
        if bad:
            self.unanswered = self.unanswered and send.kind is not CLUSTERS
            self.ask(send.kind, f"refused: {bad[0]}")
            return
        self.versions[send.kind] = send.version
        wanted = {r.name for r in send.resources} if send.kind.wildcard else self.names(send.kind)
        new = {resource.name: resource for resource in send.resources if resource.name in wanted}
        match send.kind:
            case ResourceType.CLUSTERS:
                changed = {name for name, cluster in new.items() if self.clusters.get(name) != cluster}
                self.cold = {name for name in self.cold | (changed - self.clusters.keys()) if name in new}
                self.clusters, before = new, self.names(ENDPOINTS)
                self.hosts = {name: hosts for name, hosts in self.hosts.items() if name in self.names(ENDPOINTS)}
                self.unanswered = True
                self.acknowledge_clusters()
                if changed or before != self.names(ENDPOINTS):
                    self.ask(ENDPOINTS)
            case ResourceType.LISTENERS:
                assert len({next(iter(item.addresses)) for item in new.values()}) == len(new)
                self.listeners = new
                self.routes = {name: route for name, route in self.routes.items() if name in self.names(ROUTES)}
                self.ask(LISTENERS)
                self.ask(ROUTES)
            case ResourceType.ENDPOINTS:
                self.hosts |= new
                self.ask(ENDPOINTS)
                self.acknowledge_clusters()
            case ResourceType.ROUTES:
                self.routes |= new
                self.ask(ROUTES)

    def acknowledge_clusters(self) -> None:
        """Only once all of them are warm, as Envoy does."""
        if self.unanswered and not self.cold:
            self.ask(CLUSTERS)
            self.unanswered = False

    def stops_waiting(self) -> None:
        """After 15 s, Envoy's initial_fetch_timeout: for a cluster of an install that broke off with its stream."""
        self.cold = set()
        self.acknowledge_clusters()

    def warm(self) -> None:
        self.cold = {name for name in self.cold if self.clusters[name].asks - self.hosts.keys()}
        self.acknowledge_clusters()


class AgentAndEnvoy(RuleBasedStateMachine):
    """Random pushes, deliveries, reconnects and restarts of both sides."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.now, self.sequence, self.streams = State(), 0.0, 0, 0
        self.envoy = Envoy()
        self.wakes: list[float] = []
        self.refused: set[str] = set()
        self.settled: dict[str, int] = {}

    def dispatch(self, event) -> None:
        self.state, outputs = step(self.state, event, self.now)
        for output in outputs:
            match output:
                case Send(stream=stream) if stream == self.envoy.stream:
                    assert not {r.digest for r in output.resources} & self.refused, "offered again what was refused"
                    self.envoy.inbox.append(output)
                case WakeAt(time):
                    self.wakes.append(time)
                case Settled(digest):
                    self.settled[digest] = self.settled.get(digest, 0) + 1

    @rule(wish=wishes())
    def push(self, wish):
        self.sequence += 1
        config = made(wish, self.sequence)
        if admit(self.state, config) is None:
            self.dispatch(Push(config))

    @precondition(lambda self: self.state.target is not None)
    @rule()
    def give_up(self):
        self.dispatch(GiveUp(self.state.target.digest))

    @rule(fresh=st.booleans())
    def connect(self, fresh):
        if self.envoy.stream is not None:
            self.dispatch(Closed(self.envoy.stream))
        if fresh:
            self.envoy = Envoy()
        self.streams += 1
        self.dispatch(Opened(self.streams))
        self.envoy.connect(self.streams)

    @precondition(lambda self: self.envoy.outbox)
    @rule()
    def agent_reads(self):
        request = self.envoy.outbox.pop(0)
        if request.error is not None:
            self.refused.add(request.error.removeprefix("refused: "))
        self.dispatch(request)

    @precondition(lambda self: self.envoy.inbox)
    @rule()
    def envoy_reads(self):
        self.envoy.take(self.envoy.inbox.pop(0))

    @rule()
    def envoy_warms(self):
        self.envoy.warm()

    @rule(seconds=st.sampled_from([0.01, LINGER_SECONDS, 10.0]))
    def time_passes(self, seconds):
        self.now += seconds
        self.dispatch(Tick())

    @invariant()
    def no_route_leads_nowhere(self):
        for route in self.envoy.routes.values():
            missing = route.clusters - self.envoy.clusters.keys() | (route.clusters & self.envoy.cold)
            assert not missing, f"{route.digest} leads to {missing}, which Envoy does not have or is not warm"

    @invariant()
    def nothing_refused_is_good(self):
        assert self.state.good is None or not is_bad(self.state.good)

    def teardown(self):
        """Let everything arrive; then Envoy runs what is good and nothing else."""
        if self.envoy.stream is None:
            self.connect(fresh=False)
        for _ in range(2000):
            if not self.calm():
                break
            self.no_route_leads_nowhere()
        else:
            raise AssertionError("never comes to rest")
        if self.state.good is None:
            return  # a refused first configuration may have followed one that was never acknowledged
        good = self.state.good
        assert self.state.ready
        assert self.state.target.digest == good.digest
        for kind, running in (
            (CLUSTERS, self.envoy.clusters),
            (LISTENERS, self.envoy.listeners),
            (ROUTES, self.envoy.routes),
            (ENDPOINTS, self.envoy.hosts),
        ):
            assert {r.digest for r in running.values()} == {r.digest for r in good.of(kind).values()}, kind

    def calm(self) -> bool:
        """Do whatever is under way; False when nothing is."""
        if self.envoy.outbox:
            self.agent_reads()
        elif self.envoy.inbox:
            self.envoy_reads()
        elif self.envoy.unanswered and self.envoy.cold:
            cold = set(self.envoy.cold)
            self.envoy_warms()
            assert self.envoy.cold != cold or self.streams > 1, "waits for endpoints that never come"
            if self.envoy.cold == cold:
                self.envoy.stops_waiting()
        elif self.wakes and max(self.wakes) > self.now:
            self.time_passes(max(self.wakes) - self.now)
        else:
            return False
        return True


AgentAndEnvoy.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAgentAndEnvoy = AgentAndEnvoy.TestCase


def driven(*pushes: Config) -> tuple[AgentAndEnvoy, list[Send]]:
    """An Envoy taken through configurations one after the other; the responses that the last one caused."""
    machine = AgentAndEnvoy()
    machine.connect(fresh=True)
    caused: list[Send] = []
    original = machine.envoy.take

    def take(send: Send) -> None:
        caused.append(send)
        original(send)

    machine.envoy.take = take
    for config in pushes:
        caused.clear()
        machine.dispatch(Push(config))
        while machine.calm():
            machine.no_route_leads_nowhere()
    return machine, caused


@given(first=wishes(bad=False), second=wishes(bad=False))
@settings(max_examples=40, deadline=None)
def test_every_change_is_accepted_and_sends_only_types_that_differ(first, second):
    before, after = made(first, 1), made(second, 2)
    machine, caused = driven(before, after)
    assert machine.state.good.digest == after.digest
    changed = {kind for kind in ResourceType if before.of(kind) != after.of(kind)}
    if CLUSTERS not in changed:
        changed.discard(ENDPOINTS)
    # a changed cluster or listener makes Envoy ask again for what it names
    allowed = changed | ({ENDPOINTS} if CLUSTERS in changed else set()) | ({ROUTES} if LISTENERS in changed else set())
    assert {send.kind for send in caused} <= allowed


@given(wish=wishes(bad=False))
@settings(max_examples=50, deadline=None)
def test_nothing_is_sent_for_the_same_again(wish):
    _, caused = driven(made(wish, 1), made(wish, 2))
    assert caused == []
