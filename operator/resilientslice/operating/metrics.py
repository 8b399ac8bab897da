"""The operator's own numbers, for Prometheus. Times in seconds; nothing is labelled by slice, since there are many."""

from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

PREFIX = "rslice_operator"
_PASS_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_CALL_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class OperatorMetrics:
    """In a registry of their own; whoever else has numbers registers them in it too."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.passes = Counter(
            f"{PREFIX}_reconciles", "Passes over a slice, by outcome.", ["outcome"], registry=self.registry
        )
        self.pass_seconds = Histogram(
            f"{PREFIX}_reconcile_seconds", "Length of a pass.", buckets=_PASS_BUCKETS, registry=self.registry
        )
        self.calls = Counter(
            f"{PREFIX}_api_requests",
            "Requests to the Kubernetes API; code 0: no answer.",
            ["verb", "kind", "code"],
            registry=self.registry,
        )
        self.call_seconds = Histogram(
            f"{PREFIX}_api_request_seconds",
            "Length of a request to the Kubernetes API, watches left out.",
            ["verb"],
            buckets=_CALL_BUCKETS,
            registry=self.registry,
        )

    def called(self, verb: str, kind: str, status: int, seconds: float) -> None:
        """An observer of `kube.session.Session`."""
        self.calls.labels(verb, kind, str(status)).inc()
        if verb != "watch":
            self.call_seconds.labels(verb).observe(seconds)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A number that is read when it is asked for."""
        Gauge(f"{PREFIX}_{name}", text, registry=self.registry).set_function(read)

    def gauges(self, name: str, text: str, label: str, read: Iterable[tuple[str, Callable[[], float]]]) -> None:
        """The same for each value of a label."""
        made = Gauge(f"{PREFIX}_{name}", text, [label], registry=self.registry)
        for value, one in read:
            made.labels(value).set_function(one)

    def text(self) -> bytes:
        return generate_latest(self.registry)
