"""What Envoy answers by itself: a problem (RFC 9457) that names the slice, what it met, and the field that decides.

Who gets a 503 must be able to tell a full bulkhead from a service that is down, and either from an answer of the
service itself: those have no `x-rslice-reason`. docs/troubleshooting.md has a line for each reason; a test compares.
"""

from dataclasses import dataclass
from typing import Any

from resilientslice.api.slice import ResilientSlice

REASON_HEADER = "x-rslice-reason"
PROBLEM = "application/problem+json"


_SAID = "%LOCAL_REPLY_BODY%"
"""What whoever made the answer has written into it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`flags` are Envoy's response flags that it is chosen by; without any, `status` is. `field`: what to change in the
    slice, empty where it is no field that decides."""

    reason: str
    detail: str
    field: str
    flags: tuple[str, ...] = ()
    status: int = 0


REPLIES = (
    Reply(
        "RateLimited",
        "The rate limit of this tenant is exceeded. Try again after the seconds in Retry-After.",
        "spec.rateLimit",
        status=429,
    ),
    Reply(
        "IdleTimeout",
        "Nothing was sent in either direction for too long.",
        "spec.services[].routes[].idleTimeout",
        flags=("SI",),
    ),
    Reply(
        "Timeout",
        "The service did not answer within its timeout, retries included.",
        "spec.resilience.timeout, or that of the service or route",
        status=504,
    ),
    Reply(
        "Overflow",
        "As many requests or connections as the service may have are under way.",
        "spec.resilience.bulkhead, or that of the service",
        flags=("UO",),
    ),
    Reply("NoHealthyHost", "No host of the service is ready.", "", flags=("UH",)),
    Reply(
        "ConnectionFailed",
        "No connection to a host of the service could be made, or it ended before the answer.",
        "",
        flags=("UF", "UC"),
    ),
    Reply("RequestTimeout", "The request was not sent in time.", "", status=408),
    Reply("NoRoute", _SAID, "spec.services[].expose, spec.front.hosts", status=404),
)
"""The first that fits is taken."""


def render_replies(slice_: ResilientSlice) -> dict[str, Any]:
    """The local_reply_config of a connection manager."""
    name = f"{slice_.namespace}/{slice_.name}"
    general = {"json_format": _fields(name), "content_type": PROBLEM}
    return {"mappers": [_mapper(name, reply) for reply in REPLIES], "body_format": general}


def _mapper(name: str, reply: Reply) -> dict[str, Any]:
    said = {"reason": reply.reason, "detail": reply.detail} | ({"field": reply.field} if reply.field else {})
    return {
        "filter": _filter(reply),
        "headers_to_add": [
            {
                "header": {"key": REASON_HEADER, "value": reply.reason},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
        "body_format_override": {"json_format": _fields(name) | said, "content_type": PROBLEM},
    }


def _filter(reply: Reply) -> dict[str, Any]:
    if reply.flags:
        return {"response_flag_filter": {"flags": list(reply.flags)}}
    value = {"default_value": reply.status, "runtime_key": f"reply.{reply.reason}.status"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _fields(name: str) -> dict[str, str]:
    return {"type": "about:blank", "status": "%RESPONSE_CODE%", "detail": _SAID, "slice": name}
