"""Rules of time-outs, tenants and headers."""

from collections.abc import Iterator

from resilientslice.api.overrides import given
from resilientslice.api.policies import Enforcement, Resilience, ResilienceOverride
from resilientslice.api.problems import Path, Problem, problem
from resilientslice.api.rules.draft import Draft, Entry
from resilientslice.api.rules.services import duplicates
from resilientslice.api.scalars import duration_milliseconds
from resilientslice.api.services import Route

PER_TRY_ABOVE_TIMEOUT = "perTryTimeout must not be above timeout"
SERVICE_PER_TRY_ABOVE_TIMEOUT = (
    "a service's perTryTimeout must not be above its timeout; what it does not set is spec.resilience's"
)
ROUTE_PER_TRY_ABOVE_TIMEOUT = "a route's perTryTimeout must not be above its timeout, or its service's"
MIDDLEWARE_WITHOUT_REDIS = "enforcement Middleware needs spec.stores.redis"
MIDDLEWARE_SERVICE_WITHOUT_REDIS = "with enforcement Middleware each exposed service must list redis in its stores"
HEADER_OF_OURS = (
    "a header of the slice's own must not begin with x-rslice- or x-envoy-, which are stripped at the front"
)
HEADER_OF_HTTP = "a header that HTTP itself uses can't be taken"
SAME_HEADER = "the tenant's and the canary's header must differ"

OUR_HEADERS = ("x-rslice-", "x-envoy-")
HTTP_HEADERS = (
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "te",
    "transfer-encoding",
    "upgrade",
)


def timeouts(draft: Draft) -> Iterator[Problem]:
    base = draft.resilience
    if base is None:
        return
    if _per_try_too_long(base):
        path = ("spec", "resilience", "retries", "perTryTimeout")
        yield problem(path, base.retries.per_try_timeout, PER_TRY_ABOVE_TIMEOUT, _fix(base.timeout))
    for service in draft.services:
        yield from _service_timeouts(service, base, draft)


def _service_timeouts(service: Entry, base: Resilience, draft: Draft) -> Iterator[Problem]:
    own = service.spec.resilience
    policy = draft.resilience_of(service.spec) or base
    if own is not None and _per_try_too_long(policy):
        path, value = _culprit(service, own, policy)
        yield problem(path, value, SERVICE_PER_TRY_ABOVE_TIMEOUT, _effective_fix(policy))
    for index, route in enumerate(service.spec.routes):
        yield from _route_timeout(service.at("routes", index, "retries", "perTryTimeout"), route, policy)


def _culprit(service: Entry, own: ResilienceOverride, policy: Resilience) -> tuple[Path, str | int | None]:
    """The field that the service itself set: its perTryTimeout, else its attempts."""
    field = "perTryTimeout" if given(own, "retries", "per_try_timeout") is not None else "attempts"
    value = policy.retries.per_try_timeout if field == "perTryTimeout" else policy.retries.attempts
    return service.at("resilience", "retries", field), value


def _route_timeout(path: Path, route: Route, policy: Resilience) -> Iterator[Problem]:
    """Only where the route has a perTryTimeout of its own: the service's doesn't count beside a route's timeout."""
    per_try = given(route.retries, "per_try_timeout")
    if per_try is None or given(route.retries, "attempts") == 0:
        return
    timeout = route.timeout or policy.timeout
    if 0 < duration_milliseconds(timeout) < duration_milliseconds(per_try):
        yield problem(path, per_try, ROUTE_PER_TRY_ABOVE_TIMEOUT, _fix(timeout))


def _per_try_too_long(policy: Resilience) -> bool:
    """Without retries there is only one try, and the timeout of the request bounds it."""
    retries, timeout = policy.retries, duration_milliseconds(policy.timeout)
    if retries.per_try_timeout is None or retries.attempts == 0:
        return False
    return 0 < timeout < duration_milliseconds(retries.per_try_timeout)


def _fix(timeout: str) -> str:
    return f"the timeout is {timeout}: raise it, or lower perTryTimeout"


def _effective_fix(policy: Resilience) -> str:
    return f"the timeout is {policy.timeout}, perTryTimeout {policy.retries.per_try_timeout}: set both for this service"


def rate_limit(draft: Draft) -> Iterator[Problem]:
    limits = draft.rate_limit
    if limits is None:
        return
    yield from duplicates(("spec", "rateLimit", "tenants"), "name", [tenant.name for tenant in limits.tenants])
    if limits.enforcement is not Enforcement.MIDDLEWARE:
        return
    if draft.store_names is not None and "redis" not in draft.store_names:
        path = ("spec", "rateLimit", "enforcement")
        yield problem(path, limits.enforcement, MIDDLEWARE_WITHOUT_REDIS, "add redis there, or use Local")
    for service in draft.services:
        if service.spec.expose is not None and "redis" not in service.spec.stores:
            stores = [store.value for store in service.spec.stores]
            yield problem(service.at("stores"), stores, MIDDLEWARE_SERVICE_WITHOUT_REDIS, "add redis")


def headers(draft: Draft) -> Iterator[Problem]:
    tenant = draft.rate_limit.tenant_header if draft.rate_limit else None
    canary = draft.canary.header.name if draft.canary else None
    for path, name in (
        (("spec", "rateLimit", "tenantHeader"), tenant),
        (("spec", "canary", "header", "name"), canary),
    ):
        if name is not None and name.lower().startswith(OUR_HEADERS):
            yield problem(path, name, HEADER_OF_OURS, "choose another name")
        if name is not None and name.lower() in HTTP_HEADERS:
            yield problem(path, name, HEADER_OF_HTTP, "choose another name")
    if tenant is not None and canary is not None and tenant.lower() == canary.lower():
        yield problem(("spec", "canary", "header", "name"), canary, SAME_HEADER, "rename one of the two")


RULES = (timeouts, rate_limit, headers)
