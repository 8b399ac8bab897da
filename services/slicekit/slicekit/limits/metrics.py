"""What is counted of the limits. No tenant is a label: there may be a million of them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from slicekit.limits.decision import Decision, Mode

_BATCHES = (1, 2, 5, 10, 20, 50, 100, 256)


class LimitMetrics:
    def __init__(self, registry: CollectorRegistry, app: str) -> None:
        decided = Counter(
            "rate_limit_requests_total",
            "Requests charged to a tenant: allowed or limited, and by whose count (exact, local, open, closed).",
            ["app", "decision", "mode"],
            registry=registry,
        )
        self._decided = {
            (allowed, mode): decided.labels(app=app, decision="allowed" if allowed else "limited", mode=mode.value)
            for allowed in (True, False)
            for mode in Mode
        }

        def counter(name: str, text: str) -> Counter:
            return Counter(name, text, ["app"], registry=registry).labels(app=app)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, ["app"], registry=registry).labels(app=app)

        self.calls = counter("rate_limit_redis_calls_total", "Script calls to Redis.")
        self.leased = counter("rate_limit_leased_tokens_total", "Tokens charged ahead of the requests for them.")
        self.returned = counter("rate_limit_returned_tokens_total", "Leased tokens given back unused.")
        self.trips = counter("rate_limit_redis_failures_total", "Times that Redis was given up for a while.")
        self.degraded = gauge("rate_limit_degraded", "1 while Redis is not counting.")
        self.leases = gauge("rate_limit_leases", "Tenants with tokens on lease.")
        self.tenants = gauge("rate_limit_tenants", "Tenants remembered by this replica.")
        self.stale = gauge("rate_limit_config_stale", "1 while the file with the limits can't be used.")
        self.batch = Histogram(
            "rate_limit_batch_tenants",
            "Tenants asked for in one call to Redis.",
            ["app"],
            buckets=_BATCHES,
            registry=registry,
        ).labels(app=app)
        self.degraded.set(1)

    def observe(self, decision: Decision) -> None:
        self._decided[decision.allowed, decision.mode].inc()
