"""A small Envoy and configurations for it, as events and outputs: the words of the tables of the agent's decisions."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest

from resilientslice.agent.ads_channel import Request
from resilientslice.agent.ads_state import Opened, Output, Push, Settled, State, Tick, admit, step
from resilientslice.agent.ads_stream import Send
from resilientslice.agent.resources import Config, Epoch, Resource, ResourceType

CLUSTERS, ENDPOINTS, LISTENERS, ROUTES = ResourceType


def resources(words: Iterable[str]) -> dict[str, Resource]:
    """`name=variant>asked,asked@address!cluster,cluster`; all but the name may be absent."""
    made: dict[str, Resource] = {}
    for word in words:
        head, _, used = word.partition("!")
        head, _, address = head.partition("@")
        head, _, asks = head.partition(">")
        name = head.partition("=")[0]
        made[name] = Resource(
            name=name,
            digest=word,
            encoded=word.encode(),
            asks=frozenset(asks.split(",")) - {""},
            clusters=frozenset(used.split(",")) - {""},
            addresses=frozenset({address} - {""}),
        )
    return made


def config(sequence: int, clusters: str = "", endpoints: str = "", listeners: str = "", routes: str = "") -> Config:
    """Each type as words; the digest is made of all of them, the epoch is (1, sequence)."""
    texts = (clusters, endpoints, listeners, routes)
    parts = [resources(text.split()) for text in texts]
    return Config("|".join(texts), Epoch(1, sequence), *parts)


@dataclass
class Bench:
    """One agent's state; each call takes an event and returns what follows from it."""

    state: State = field(default_factory=State)
    now: float = 0.0

    def take(self, event: object) -> list[Output]:
        self.state, outputs = step(self.state, event, self.now)  # type: ignore[arg-type]
        return list(outputs)

    def push(self, wanted: Config) -> list[Output]:
        assert admit(self.state, wanted) is None
        return self.take(Push(wanted))

    def tick(self, seconds: float) -> list[Output]:
        self.now += seconds
        return self.take(Tick())

    def envoy(self, stream: int = 1) -> "FakeEnvoy":
        self.take(Opened(stream))
        return FakeEnvoy(self, stream)


@dataclass
class FakeEnvoy:
    """Asks, and acknowledges or refuses what it was last sent. Keeps nothing but nonces, versions and names."""

    bench: Bench
    stream: int
    sent: dict[ResourceType, Send] = field(default_factory=dict)
    names: dict[ResourceType, frozenset[str]] = field(default_factory=dict)

    def note(self, outputs: list[Output]) -> list[Output]:
        for output in outputs:
            if isinstance(output, Send) and output.stream == self.stream:
                self.sent[output.kind] = output
        return outputs

    def ask(self, kind: ResourceType, names: str = "", version: str = "") -> list[Output]:
        """Subscribe, or ask again: with the nonce of what was sent last, if anything was."""
        self.names[kind] = frozenset(names.split())
        nonce = self.sent[kind].nonce if kind in self.sent else ""
        return self.note(self.bench.take(Request(self.stream, kind, self.names[kind], version, nonce)))

    def ack(self, kind: ResourceType, names: str | None = None) -> list[Output]:
        if names is not None:
            self.names[kind] = frozenset(names.split())
        send = self.sent[kind]
        asked = self.names.get(kind, frozenset())
        return self.note(self.bench.take(Request(self.stream, kind, asked, send.version, send.nonce)))

    def nack(self, kind: ResourceType, words: str) -> list[Output]:
        send = self.sent[kind]
        asked = self.names.get(kind, frozenset())
        return self.note(self.bench.take(Request(self.stream, kind, asked, "old", send.nonce, words)))

    def push(self, wanted: Config) -> list[Output]:
        return self.note(self.bench.push(wanted))

    def run(self, wanted: Config) -> list[Output]:
        """A fresh Envoy takes the configuration that is offered, up to its routes; what follows from the last word."""
        self.ask(CLUSTERS)
        self.ack(CLUSTERS)
        if wanted.endpoints:
            self.ask(ENDPOINTS, " ".join(wanted.endpoints))
            self.ack(ENDPOINTS)
        self.ask(LISTENERS)
        self.ack(LISTENERS)
        self.ask(ROUTES, " ".join(wanted.routes))
        return self.ack(ROUTES)


def shown(outputs: Iterable[Output]) -> list[str]:
    """Outputs as short words: `clusters a b`, `accepted DIGEST` …"""
    words = []
    for output in outputs:
        match output:
            case Send():
                words.append(f"{output.kind} {' '.join(resource.digest for resource in output.resources)}".strip())
            case Settled():
                words.append(f"{type(output.verdict).__name__.lower()} {output.digest}")
            case _:
                words.append(f"wake at {output.time:g}")
    return words


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def make() -> Callable[..., Config]:
    return config


@pytest.fixture
def show() -> Callable[[Iterable[Output]], list[str]]:
    return shown
