"""How a slice survives: time-outs, retries, ejection, bulkheads, tenant limits, canary steps and the objective."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from resilientslice.api.base import Model
from resilientslice.api.overrides import overridden, override_of
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
    """What may differ from request to request: how often one is tried, and for how long each time."""

    attempts: Attempts = 2
    """Retries after the first try; 0 for none. Only what is safe to repeat is retried after an answer."""
    per_try_timeout: PositiveDuration = "250ms"
    """Time one try may take."""


class Retries(RequestRetries):
    """Second chances for requests that are safe to repeat, within a budget."""

    budget_percent: Percent = 25
    """Retries may be at most this share of the active requests, so that they never make an outage worse."""


class OutlierDetection(Model):
    """When a host that fails is left out for a while."""

    consecutive_5xx_errors: Annotated[int, Field(ge=1, le=1000)] = Field(default=5, alias="consecutive5xxErrors")
    """Failures in a row after which a host is ejected."""
    interval: PositiveDuration = "10s"
    """How often ejected hosts are looked at for their return."""
    base_ejection_time: PositiveDuration = "30s"
    """How long the first ejection lasts; each further one is longer by as much."""
    max_ejection_percent: Percent = 50
    """At most this share of a service's hosts is ejected at once."""


class Bulkhead(Model):
    """Limits for the whole slice; each proxy gets its share."""

    max_connections: Count = 256
    """Connections to a service."""
    max_pending_requests: Count = 64
    """Requests that wait for a connection."""
    max_requests: Count = 128
    """Requests under way; one more is answered 503 at once."""


class Resilience(Model):
    """How a call to a service survives what goes wrong there."""

    timeout: PositiveDuration = "800ms"
    """Time for the whole request, retries included."""
    retries: Retries = Field(default_factory=Retries)
    """Retries."""
    outlier_detection: OutlierDetection = Field(default_factory=OutlierDetection)
    """Ejection of hosts that fail."""
    bulkhead: Bulkhead = Field(default_factory=Bulkhead)
    """Limits on what is under way."""


if TYPE_CHECKING:
    RequestRetriesOverride = RequestRetries
    ResilienceOverride = Resilience
else:
    RequestRetriesOverride = override_of(RequestRetries)
    ResilienceOverride = override_of(Resilience)


class Enforcement(StrEnum):
    """Where tenants are limited."""

    LOCAL = "Local"
    MIDDLEWARE = "Middleware"


class OnRedisFailure(StrEnum):
    """What becomes of a request that Redis could not count."""

    LOCAL_FALLBACK = "LocalFallback"
    ALLOW = "Allow"
    DENY = "Deny"


class Limit(Model):
    """A token bucket for each tenant that has none of its own."""

    requests_per_second: Rate = 10
    """Requests a second that are sustained."""
    burst: Rate = 20
    """Requests that may come at once after a rest."""


class Tenant(Model):
    """A tenant with a limit of its own."""

    name: Annotated[str, Field(pattern=TENANT_PATTERN, min_length=1, max_length=63)]
    """Value of the tenant header."""
    requests_per_second: Rate
    """Requests a second that are sustained."""
    burst: Rate
    """Requests that may come at once after a rest."""


class RateLimit(Model):
    """How much each tenant may ask for, counted once a request where it comes in."""

    tenant_header: HeaderName = "X-Tenant"
    """Header that names the tenant; without it the tenant is `anonymous`."""
    enforcement: Enforcement = Enforcement.LOCAL
    """Local: in Envoy, for any image, divided by the proxies. Middleware: exact, by the services' library and Redis."""
    default: Limit = Field(default_factory=Limit)
    """Limit of each tenant that is not listed."""
    tenants: Annotated[tuple[Tenant, ...], Field(max_length=256)] = ()
    """Tenants with limits of their own."""
    on_redis_failure: OnRedisFailure = OnRedisFailure.LOCAL_FALLBACK
    """What Middleware does while Redis does not answer."""


class CanaryHeader(Model):
    """The header that picks the canary."""

    name: HeaderName = "X-Canary"
    """Header that always reaches a live canary, at any weight."""
    value: Annotated[str, Field(min_length=1, max_length=64, pattern=VISIBLE_PATTERN)] = "1"
    """Its exact value."""


class CanaryStep(Model):
    """One weight and how long it is held."""

    weight: Annotated[int, Field(ge=1, le=100)]
    """Percent of the traffic."""
    hold: Duration = "1m"
    """How long it stays there."""


class Analysis(Model):
    """What a canary must hold."""

    min_requests: Annotated[int, Field(ge=0, le=1_000_000)] = 50
    """Requests the canary must have answered before a step is judged."""
    max_error_percent: Percent = 2
    """Most failures of the canary, in percent of its answers."""
    max_p99: PositiveDuration | None = Field(default=None, alias="maxP99")
    """Slowest 99th percentile of the canary; absent: not judged."""
    deadline: PositiveDuration = "30m"
    """Without a verdict for this long the canary is aborted."""


class Canary(Model):
    """How a new revision gets its traffic: by steps, or by a weight that is pinned by hand."""

    header: CanaryHeader = Field(default_factory=CanaryHeader)
    """Header for testers."""
    steps: Annotated[tuple[CanaryStep, ...], Field(max_length=32)] = ()
    """Weights that are run through by themselves, ascending; after the last one the canary is promoted."""
    weight: Percent | None = None
    """Percent pinned by hand, only for the revision current when this value last changed. Absent: steps run."""
    paused: bool = False
    """Hold the steps where they are."""
    promote: Annotated[str, Field(max_length=63)] = ""
    """Name of the revision to promote now."""
    abort: Annotated[str, Field(max_length=63)] = ""
    """Name of the revision to abort."""
    analysis: Analysis = Field(default_factory=Analysis)
    """What a canary must hold to get to the next step by itself."""


class LatencyObjective(Model):
    """How many requests must be fast enough."""

    threshold: PositiveDuration = "500ms"
    """A request that takes longer counts against the objective."""
    objective: Objective = "99"
    """Percent of the requests that must be faster."""


class Slo(Model):
    """The service level objective, whose error budget gates the canary's own steps."""

    objective: Objective = "99.5"
    """Percent of the requests that must succeed."""
    window: Window = "30d"
    """Window of the error budget, from 1h to 30d."""
    latency: LatencyObjective | None = None
    """Objective for latency; absent: none."""


def effective_resilience(base: Resilience, *overrides: ResilienceOverride | None) -> Resilience:
    """`base` with each override's fields put over it, the last one winning."""
    return overridden(base, *overrides)
