"""The agent's own numbers, for Prometheus."""

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from resilientslice import metrics


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


@dataclass(frozen=True, slots=True)
class AgentMetrics:
    """Counters of one agent, in a registry of their own. Times in seconds."""

    registry: CollectorRegistry = field(default_factory=_registry)
    pushes: Counter = field(init=False)
    acks: Counter = field(init=False)
    nacks: Counter = field(init=False)
    refused: Counter = field(init=False)
    connected: Gauge = field(init=False)
    durable: Gauge = field(init=False)
    installs: Histogram = field(init=False)

    def __post_init__(self) -> None:
        registry = self.registry
        made = {
            "pushes": metrics.PUSHES.counter(registry),
            "acks": metrics.ACKS.counter(registry),
            "nacks": metrics.NACKS.counter(registry),
            "refused": metrics.REFUSED_REQUESTS.counter(registry),
            "connected": metrics.CONNECTED.gauge(registry),
            "durable": metrics.DURABLE.gauge(registry),
            "installs": metrics.INSTALL_SECONDS.histogram(registry),
        }
        for name, metric in made.items():
            object.__setattr__(self, name, metric)

    def text(self) -> bytes:
        return generate_latest(self.registry)
