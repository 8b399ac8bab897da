"""Limits that hold for the whole slice, as one proxy's share of them: bulkheads, retry budgets, tenants' buckets."""

from typing import Any

from resilientslice.api.policies import Bulkhead, Enforcement, Limit, RateLimit, Resilience, Tenant
from resilientslice.render.envoy.scalars import TYPE, extension, seconds

MAX_DYNAMIC_TENANTS = 10_000
"""Tenants without an entry of their own that are remembered; with Envoy's default of 20 they evict one another."""
MIN_CONCURRENT_RETRIES = 5
"""Retries that may wait or be under way at once however little else is: the budget is a share of what is under way, and
a share of next to nothing would leave a quiet service without any.

It works together with the back-off, which holds such a place for 50 ms on average: five places repeat at most about
50 requests a second, enough for one failing replica of a service that gets some hundred, and too few to make an outage
of all of them worse.
"""
ALWAYS = {"numerator": 100, "denominator": "HUNDRED"}
MAX_FAILOVER_RETRIES = 1_000_000
TENANT_KEY = "tenant"
TENANT_FILTER = "envoy.filters.http.local_ratelimit"


def share(limit: int, proxies: int) -> int:
    """One proxy's part of a limit, rounded up, so never 0."""
    return max(1, -(-limit // proxies))


def render_circuit_breakers(policy: Resilience, proxies: int) -> dict[str, Any]:
    """The bulkhead of a cluster that has hosts, and the budget of the retries into it."""
    percent = policy.retries.budget_percent
    budget = {
        "budget_percent": {"value": percent},
        "min_retry_concurrency": MIN_CONCURRENT_RETRIES if percent else 0,
    }
    return {"thresholds": [{**_bulkhead(policy.bulkhead, proxies), "retry_budget": budget, "track_remaining": True}]}


def render_failover_breakers() -> dict[str, Any]:
    """The limits of an aggregate cluster.

    Envoy counts requests on the clusters below and retries on the aggregate itself, so that a budget would be a share
    of nothing. Retries from the canary to stable are bounded where they go: by the bulkhead of stable.
    """
    return {"thresholds": [{"max_retries": MAX_FAILOVER_RETRIES, "track_remaining": True}]}


def _bulkhead(bulkhead: Bulkhead, proxies: int) -> dict[str, Any]:
    return {
        "max_connections": share(bulkhead.max_connections, proxies),
        "max_pending_requests": share(bulkhead.max_pending_requests, proxies),
        "max_requests": share(bulkhead.max_requests, proxies),
    }


def render_tenant_filter(limits: RateLimit | None, proxies: int) -> list[dict[str, Any]]:
    """The HTTP filter that charges tenants, if it is Envoy that enforces their limits."""
    if limits is None or not _enforced_by_envoy(limits):
        return []
    header = {"header_name": limits.tenant_header, "descriptor_key": TENANT_KEY}
    named = [_descriptor(tenant, tenant.name, proxies) for tenant in sorted(limits.tenants, key=lambda t: t.name)]
    return [
        extension(
            TENANT_FILTER,
            "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
            stat_prefix="tenants",
            status={"code": "TooManyRequests"},
            filter_enabled={"runtime_key": "tenants.enabled", "default_value": ALWAYS},
            filter_enforced={"runtime_key": "tenants.enforced", "default_value": ALWAYS},
            rate_limits=[{"actions": [{"request_headers": header}]}],
            descriptors=[*named, _descriptor(limits.default, None, proxies)],
            rate_limited_as_resource_exhausted=True,  # clients retry what is unavailable
            always_consume_default_token_bucket=False,
            max_dynamic_descriptors=MAX_DYNAMIC_TENANTS,
            # Every limit is at least 1 a second for the slice, so that within a second there is a token again.
            response_headers_to_add=[{"header": {"key": "retry-after", "value": "1"}}],
        )
    ]


def uncharged(limits: RateLimit | None) -> dict[str, Any]:
    """For a route that leads to no service: nobody is charged for it, and no bad name is remembered as a tenant."""
    if not _enforced_by_envoy(limits):
        return {}
    disabled = {"@type": TYPE + "envoy.config.route.v3.FilterConfig", "disabled": True}
    return {"typed_per_filter_config": {TENANT_FILTER: disabled}}


def _enforced_by_envoy(limits: RateLimit | None) -> bool:
    return limits is not None and limits.enforcement is Enforcement.LOCAL


def _descriptor(limit: Limit | Tenant, tenant: str | None, proxies: int) -> dict[str, Any]:
    entry = {"key": TENANT_KEY} if tenant is None else {"key": TENANT_KEY, "value": tenant}
    return {"entries": [entry], "token_bucket": _bucket(limit, proxies)}


def _bucket(limit: Limit | Tenant, proxies: int) -> dict[str, Any]:
    """Envoy fills buckets continuously, so that `rate` tokens in `proxies` seconds are the exact share of the rate."""
    return {
        "max_tokens": share(limit.burst, proxies),
        "tokens_per_fill": limit.requests_per_second,
        "fill_interval": seconds(1000 * proxies),
    }
