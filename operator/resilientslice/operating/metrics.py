"""The operator's own numbers, for Prometheus, in a registry that whatever else counts shares."""

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest

from resilientslice import metrics


class OperatorMetrics:
    """In a registry of their own; whatever else has numbers registers them in it, too."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.passes = metrics.RECONCILES.counter(self.registry)
        self.pass_seconds = metrics.RECONCILE_SECONDS.histogram(self.registry)
        self.calls = metrics.API_REQUESTS.counter(self.registry)
        self.call_seconds = metrics.API_REQUEST_SECONDS.histogram(self.registry)

    def called(self, verb: str, kind: str, status: int, seconds: float) -> None:
        """An observer of `kube.session.Session`."""
        self.calls.labels(verb, kind, str(status)).inc()
        if verb != "watch":
            self.call_seconds.labels(verb).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)
