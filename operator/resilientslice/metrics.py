"""Every metric of the operator and of the agents, once: docs/reference/metrics.md is made from here. Times in seconds.

Nothing is labelled by slice: there are many.
"""

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_CALL_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_PASS_BUCKETS = (*_CALL_BUCKETS, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """`name` is without the suffix that Prometheus gives a counter. A histogram has `buckets`."""

    name: str
    type: type[Counter] | type[Gauge] | type[Histogram]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def exposed(self) -> str:
        """Its name as Prometheus scrapes it."""
        return f"{self.name}_total" if self.type is Counter else self.name

    def counter(self, registry: CollectorRegistry | None) -> Counter:
        return Counter(self.name, self.help, self.labels, registry=registry)

    def gauge(self, registry: CollectorRegistry | None) -> Gauge:
        return Gauge(self.name, self.help, self.labels, registry=registry)

    def histogram(self, registry: CollectorRegistry | None) -> Histogram:
        return Histogram(self.name, self.help, self.labels, buckets=self.buckets, registry=registry)

    def read_by(self, read: Callable[[], float], registry: CollectorRegistry | None) -> None:
        """A gauge that is read when it is scraped."""
        self.gauge(registry).set_function(read)


RECONCILES = Metric("rslice_operator_reconciles", Counter, "Passes over a slice, by outcome.", ("outcome",))
RECONCILE_SECONDS = Metric("rslice_operator_reconcile_seconds", Histogram, "Length of a pass.", buckets=_PASS_BUCKETS)
API_REQUESTS = Metric(
    "rslice_operator_api_requests",
    Counter,
    "Requests to the Kubernetes API; code 0: no answer.",
    ("verb", "kind", "code"),
)
API_REQUEST_SECONDS = Metric(
    "rslice_operator_api_request_seconds",
    Histogram,
    "Length of a request to the Kubernetes API, watches left out.",
    ("verb",),
    _CALL_BUCKETS,
)
LEADING = Metric("rslice_operator_leading", Gauge, "1 while this process leads.")
LEASE_TERM = Metric("rslice_operator_lease_term", Gauge, "Term of the Lease that this process held last.")
QUEUE_DEPTH = Metric("rslice_operator_queue_depth", Gauge, "Slices that are due and wait for a worker.")
QUEUE_OLDEST_SECONDS = Metric(
    "rslice_operator_queue_oldest_seconds", Gauge, "How long the longest-waiting slice has been due."
)
RECONCILING = Metric("rslice_operator_reconciling", Gauge, "Passes under way.")
SLICES = Metric("rslice_operator_slices", Gauge, "Slices that are known.")
CHILDREN = Metric("rslice_operator_children", Gauge, "Children and proxies that are known.")
UNREAD_OBJECTS = Metric("rslice_operator_unread_objects", Gauge, "Watched objects that could not be read: a defect.")
LOOP_LAG_SECONDS = Metric(
    "rslice_operator_loop_lag_seconds", Gauge, "How late the event loop ran at worst in the last minute."
)
WATCH_AGE_SECONDS = Metric(
    "rslice_operator_watch_age_seconds", Gauge, "Since a watch heard anything or last tried to.", ("watch",)
)
SLICES_OF_OTHERS = Metric(
    "rslice_operator_slices_of_others",
    Gauge,
    "Slices that another installation of the operator manages, and this one leaves alone.",
)
PROXY_ROLLOUTS_WAITING = Metric(
    "rslice_operator_proxy_rollouts_waiting", Gauge, "Slices whose proxies wait for their turn in an upgrade."
)
PROXY_ROLLOUTS_STALLED = Metric(
    "rslice_operator_proxy_rollouts_stalled", Gauge, "Rollouts of proxies that stall, as of the last count."
)
AGENT_FAILURES = Metric(
    "rslice_operator_agent_failures",
    Counter,
    "Agents that were not heard, by reason; defect: an error of the operator's own.",
    ("reason",),
)

PUSHES = Metric("rslice_agent_pushes", Counter, "Configurations pushed, by outcome.", ("outcome",))
ACKS = Metric("rslice_agent_acks", Counter, "Responses that Envoy acknowledged.", ("type",))
NACKS = Metric("rslice_agent_nacks", Counter, "Responses that Envoy rejected.", ("type",))
REFUSED_REQUESTS = Metric(
    "rslice_agent_refused_requests", Counter, "Requests over TCP that did not count, by reason.", ("reason",)
)
CONNECTED = Metric("rslice_agent_connected", Gauge, "Envoys on the ADS socket.")
DURABLE = Metric("rslice_agent_durable", Gauge, "1 while the accepted configuration is on disk, else 0.")
INSTALL_SECONDS = Metric(
    "rslice_agent_install_seconds",
    Histogram,
    "From a push to Envoy's acknowledgement of all of it.",
    buckets=_CALL_BUCKETS,
)

METRICS: tuple[Metric, ...] = tuple(value for value in list(vars().values()) if isinstance(value, Metric))
