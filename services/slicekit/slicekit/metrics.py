"""Prometheus metrics with bounded labels: route templates in place of paths, known methods, few tenants."""

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from slicekit.settings import Settings

# Seconds. Dense between 50 ms and 1 s, where the objectives and time-outs of a slice lie.
LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.5, 2.5, 5.0, 10.0)
UNMATCHED = "unmatched"
OTHER = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """One registry a service, so that several services can live in one process."""

    def __init__(self, settings: Settings) -> None:
        self.registry = CollectorRegistry()
        self._app, self._track = settings.app, settings.track
        self._most_tenants = settings.tenant_labels
        self._tenants: set[str] = set()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "http_requests_total",
            "Requests answered, by route template.",
            ["app", "route", "method", "code", "track", "tenant"],
            registry=self.registry,
        )
        self._durations = Histogram(
            "http_request_duration_seconds",
            "Time to answer a request, in seconds.",
            ["app", "route", "method", "track"],
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "http_requests_in_flight", "Requests being served.", ["app"], registry=self.registry
        ).labels(app=self._app)
        self._calls = Counter(
            "http_client_requests_total",
            "Calls to other services, by what came back: a status, or timeout, refused, error.",
            ["app", "target", "code"],
            registry=self.registry,
        )
        self._store_errors = Counter(
            "store_errors_total", "Failed operations on a store.", ["app", "store"], registry=self.registry
        )

        self.crowded = Counter(
            "http_connections_crowded_total",
            "Connections that came when all were taken: the longest idle one was closed for it, or else the new one.",
            ["app"],
            registry=self.registry,
        ).labels(app=self._app)

    def observe_request(self, *, route: str, method: str, code: int, tenant: str, seconds: float) -> None:
        method = method if method in _METHODS else OTHER
        self._requests.labels(
            app=self._app, route=route, method=method, code=code, track=self._track, tenant=self._tenant_label(tenant)
        ).inc()
        self._durations.labels(app=self._app, route=route, method=method, track=self._track).observe(seconds)

    def observe_call(self, *, target: str, code: str) -> None:
        self._calls.labels(app=self._app, target=target, code=code).inc()

    def observe_store_error(self, store: str) -> None:
        self._store_errors.labels(app=self._app, store=store).inc()

    def _tenant_label(self, tenant: str) -> str:
        if tenant not in self._tenants:
            if len(self._tenants) >= self._most_tenants:
                return OTHER
            self._tenants.add(tenant)
        return tenant

    def response(self) -> web.Response:
        return web.Response(body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def route_of(request: web.Request) -> str:
    """The template (`/orders/{id}`), never the path, so that callers can't invent label values."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else UNMATCHED
