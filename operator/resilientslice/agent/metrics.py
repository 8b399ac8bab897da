"""The agent's own numbers, for Prometheus."""

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

PREFIX = "rslice_agent"
_INSTALL_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


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
        metrics = {
            "pushes": Counter(f"{PREFIX}_pushes", "Configurations pushed, by outcome.", ["outcome"], registry=registry),
            "acks": Counter(f"{PREFIX}_acks", "Responses that Envoy acknowledged.", ["type"], registry=registry),
            "nacks": Counter(f"{PREFIX}_nacks", "Responses that Envoy refused.", ["type"], registry=registry),
            "refused": Counter(
                f"{PREFIX}_refused_requests",
                "Requests over TCP that did not count, by reason.",
                ["reason"],
                registry=registry,
            ),
            "connected": Gauge(f"{PREFIX}_connected", "Envoys on the ADS socket.", registry=registry),
            "durable": Gauge(
                f"{PREFIX}_durable", "1 while the accepted configuration is on disk, else 0.", registry=registry
            ),
            "installs": Histogram(
                f"{PREFIX}_install_seconds",
                "From a push to Envoy's acknowledgement of all of it.",
                buckets=_INSTALL_BUCKETS,
                registry=registry,
            ),
        }
        for name, metric in metrics.items():
            object.__setattr__(self, name, metric)

    def text(self) -> bytes:
        return generate_latest(self.registry)
