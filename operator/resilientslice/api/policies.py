"""How a slice survives: time-outs, retries, ejection, bulkheads, tenant limits, canary steps and the objective."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from resilientslice.api.base import Model
from resilientslice.api.overrides import given, overridden, override_of
from resilientslice.api.scalars import (
    TENANT_PATTERN,
    VISIBLE_PATTERN,
    Duration,
    HeaderName,
    Objective,
    Percent,
    PositiveDuration,
    Window,
)

Attempts = Annotated[int, Field(ge=0, le=10)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[int, Field(ge=1, le=1_000_000)]


class RequestRetries(Model):
    """Retries of a request: number and timeout of the tries."""

    attempts: Attempts = 2
    """Maximum number of retries; 0 disables them. After a response only idempotent requests are retried."""
    per_try_timeout: PositiveDuration | None = None
    """Timeout of one try. Default: the timeout divided by the number of tries, also of a service or route that sets
    only its timeout."""


class Retries(RequestRetries):
    """Retries of requests, within a budget."""

    budget_percent: Percent = 25
    """Retry budget, in percent of the active requests. It keeps retries from amplifying an outage."""


class OutlierErrors(StrEnum):
    """Responses that count as failures of a host."""

    GATEWAY_ERRORS = "GatewayErrors"
    SERVER_ERRORS = "ServerErrors"


class OutlierDetection(Model):
    """Ejection of failing hosts."""

    on: OutlierErrors = OutlierErrors.GATEWAY_ERRORS
    """GatewayErrors: connection failures, timeouts, 502, 503, 504 and gRPC's UNAVAILABLE. ServerErrors: every 5xx, of
    which a caller may cause some, such as 501."""
    consecutive_5xx_errors: Annotated[int, Field(ge=1, le=1000)] = Field(default=5, alias="consecutive5xxErrors")
    """Consecutive failures before a host is ejected."""
    interval: PositiveDuration = "10s"
    """Interval of the checks that return ejected hosts."""
    base_ejection_time: PositiveDuration = "30s"
    """Duration of the first ejection. Each further ejection lasts longer by the same time."""
    max_ejection_percent: Percent = 50
    """Maximum share of a service's hosts ejected at the same time, in percent."""


class Bulkhead(Model):
    """Limits of the whole slice, divided among its proxies."""

    max_connections: Count = 256
    """Maximum number of connections to a service."""
    max_pending_requests: Count = 64
    """Maximum number of requests waiting for a connection."""
    max_requests: Count = 128
    """Maximum number of active requests. Further requests get 503 immediately."""


class Connections(Model):
    """Connections of the proxies to the hosts of a service."""

    connect_timeout: PositiveDuration = "200ms"
    """Timeout of a connection attempt. Another host is tried after it."""
    idle_timeout: PositiveDuration = "1500ms"
    """Time after which an idle connection is closed. It must be shorter than the keep-alive timeout of the service, or
    requests are sent on connections that are being closed; gunicorn's is 2s, that of uvicorn and Node.js 5s."""


class Resilience(Model):
    """Resilience of calls to a service."""

    timeout: Duration = "15s"
    """Timeout of a request, retries included; 0s disables it."""
    retries: Retries = Field(default_factory=Retries)
    """Retries."""
    outlier_detection: OutlierDetection = Field(default_factory=OutlierDetection)
    """Ejection of failing hosts."""
    bulkhead: Bulkhead = Field(default_factory=Bulkhead)
    """Limits of connections and requests."""
    connections: Connections = Field(default_factory=Connections)
    """Connections to the service's hosts."""


if TYPE_CHECKING:
    RequestRetriesOverride = RequestRetries
    ResilienceOverride = Resilience
else:
    RequestRetriesOverride = override_of(RequestRetries)
    ResilienceOverride = override_of(Resilience)


class Enforcement(StrEnum):
    """Enforcement point of tenant limits."""

    LOCAL = "Local"
    MIDDLEWARE = "Middleware"


class OnRedisFailure(StrEnum):
    """Handling of requests while Redis is unavailable."""

    LOCAL_FALLBACK = "LocalFallback"
    ALLOW = "Allow"
    DENY = "Deny"


class Limit(Model):
    """Token bucket of each tenant without a limit of its own."""

    requests_per_second: Rate = 10
    """Sustained requests per second."""
    burst: Rate = 20
    """Maximum burst of requests."""


class Tenant(Model):
    """Limit of one tenant."""

    name: Annotated[str, Field(pattern=TENANT_PATTERN, min_length=1, max_length=63)]
    """Name of the tenant: the value of the tenant header."""
    requests_per_second: Rate
    """Sustained requests per second."""
    burst: Rate
    """Maximum burst of requests."""


class RateLimit(Model):
    """Rate limits by tenant. A request counts once, at the front."""

    tenant_header: HeaderName = "X-Tenant"
    """Header with the tenant. Requests without it belong to the tenant `anonymous`."""
    enforcement: Enforcement = Enforcement.LOCAL
    """Local: by Envoy, for any image, divided among proxies. Middleware: exact, by the services' library and Redis."""
    default: Limit = Field(default_factory=Limit)
    """Limit of each tenant not listed in `tenants`."""
    tenants: Annotated[tuple[Tenant, ...], Field(max_length=256)] = ()
    """Limits of single tenants."""
    on_redis_failure: OnRedisFailure = OnRedisFailure.LOCAL_FALLBACK
    """Behaviour of Middleware while Redis is unavailable."""


class CanaryHeader(Model):
    """Header that selects the canary."""

    name: HeaderName = "X-Canary"
    """Name of the header. Requests with it always reach a live canary, at any weight."""
    value: Annotated[str, Field(min_length=1, max_length=64, pattern=VISIBLE_PATTERN)] = "1"
    """Exact value of the header."""


class CanaryStep(Model):
    """A step of a canary."""

    weight: Annotated[int, Field(ge=1, le=100)]
    """Share of the traffic, in percent."""
    hold: Duration = "1m"
    """Time the weight is held."""


class Analysis(Model):
    """Analysis of a canary."""

    min_requests: Annotated[int, Field(ge=0, le=1_000_000)] = 50
    """Minimum number of responses of the canary before a step is judged."""
    max_error_percent: Percent = 2
    """Maximum error ratio of the canary, in percent of its responses."""
    max_p99: PositiveDuration | None = Field(default=None, alias="maxP99")
    """Maximum 99th percentile of the canary's latency. Default: not judged."""
    deadline: PositiveDuration = "30m"
    """Maximum time without a verdict before the canary is aborted."""


class Canary(Model):
    """Rollout of new revisions: by steps, or by a pinned weight."""

    header: CanaryHeader = Field(default_factory=CanaryHeader)
    """Header that selects the canary."""
    steps: Annotated[tuple[CanaryStep, ...], Field(max_length=32)] = ()
    """Automatic steps with ascending weights. After the last one the canary is promoted."""
    weight: Percent | None = None
    """Pinned weight, in percent, of the revision that was current when this value changed. Default: the steps run."""
    paused: bool = False
    """Pause the steps."""
    promote: Annotated[str, Field(max_length=63)] = ""
    """Name of the revision to promote immediately."""
    abort: Annotated[str, Field(max_length=63)] = ""
    """Name of the revision to abort."""
    analysis: Analysis = Field(default_factory=Analysis)
    """Analysis that a step must pass."""


class LatencyObjective(Model):
    """Objective for latency."""

    threshold: PositiveDuration = "500ms"
    """Maximum latency of a good request."""
    objective: Objective = "99"
    """Share of good requests, in percent."""


class Slo(Model):
    """Service level objective. Its error budget gates automatic steps of a canary."""

    objective: Objective = "99.5"
    """Share of successful requests, in percent."""
    window: Window = "30d"
    """Window of the error budget, from 1h to 30d."""
    latency: LatencyObjective | None = None
    """Objective for latency. Default: none."""


def effective_resilience(base: Resilience, *overrides: ResilienceOverride | None) -> Resilience:
    """`base` with each override's fields put over it, the last one winning.

    The timeout of a try belongs to the timeout that it was set beside: who sets only the latter doesn't inherit it.
    """
    policy = base
    for override in overrides:
        policy = overridden(policy, override)
        if given(override, "timeout") is not None and given(override, "retries", "per_try_timeout") is None:
            retries = policy.retries.model_copy(update={"per_try_timeout": None})
            policy = policy.model_copy(update={"retries": retries})
    return policy
