"""Which headers are believed, and from whom.

Everything that steers the data plane is taken off before a route is looked up: a header that Envoy obeys must never
come from outside, and the track is the front's to draw.
"""

from typing import Any

from resilientslice.api.policies import CanaryHeader
from resilientslice.api.slice import ResilientSlice
from resilientslice.render.envoy.scalars import extension

TRACK_HEADER = "x-rslice-track"
DEFAULT_TENANT_HEADER = "X-Tenant"
ANONYMOUS = "anonymous"
TENANT_REGEX = "[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?"
TENANT_TOO_LONG_REGEX = "[ -~]{64,}"
"""Together `TENANT_PATTERN` of the resource and its 63 characters: Envoy matches the whole value, and refuses an
expression as large as the two in one."""

_STEERING_PREFIXES = ("x-envoy-", "x-rslice-")
_INTERNAL_STEERING_PREFIXES = (
    "x-envoy-decorator-",
    "x-envoy-force-trace",
    "x-envoy-hedge-",
    "x-envoy-ip-tags",
    "x-envoy-max-retries",
    "x-envoy-original-",
    "x-envoy-retriable-",
    "x-envoy-retry-",
    "x-envoy-upstream-",
)
"""Everything a caller inside could change a route's policy with, but the time it has left."""


def tenant_header(slice_: ResilientSlice) -> str:
    return slice_.spec.rate_limit.tenant_header if slice_.spec.rate_limit else DEFAULT_TENANT_HEADER


def canary_header(slice_: ResilientSlice) -> CanaryHeader:
    return slice_.spec.canary.header if slice_.spec.canary else CanaryHeader()


def front_mutations(slice_: ResilientSlice, *, trusted: bool) -> list[dict[str, Any]]:
    """What the front does to the headers of a request before it routes it."""
    tenant = tenant_header(slice_)
    strip = [_remove_prefix(prefix) for prefix in _STEERING_PREFIXES]
    if not trusted:
        strip += [{"remove": canary_header(slice_).name}, {"remove": tenant}]
    # Sent twice, a header would be checked and charged by its first value, and a service might read the second.
    only_first = {"append": set_header(tenant, f"%REQ({tenant})%")}
    return [_early([*strip, {"append": set_header(tenant, ANONYMOUS, "ADD_IF_ABSENT")}, only_first])]


def internal_mutations() -> list[dict[str, Any]]:
    return [_early([_remove_prefix(prefix) for prefix in _INTERNAL_STEERING_PREFIXES])]


def set_header(name: str, value: str, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": action}


def match_exact(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "string_match": {"exact": value}}


def match_regex(name: str, regex: str, *, invert: bool = False) -> dict[str, Any]:
    matcher: dict[str, Any] = {"name": name, "string_match": {"safe_regex": {"regex": regex}}}
    return matcher | ({"invert_match": True} if invert else {})


def _remove_prefix(prefix: str) -> dict[str, Any]:
    return {"remove_on_match": {"key_matcher": {"prefix": prefix}}}


def _early(mutations: list[dict[str, Any]]) -> dict[str, Any]:
    return extension(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=mutations,
    )
