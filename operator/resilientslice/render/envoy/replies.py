"""What Envoy answers by itself: a problem (RFC 9457) that names the slice, what it met, and the field that decides.

Who gets a 503 must be able to tell a full bulkhead from a service that is down, and either from an answer of the
service itself: those have no `x-rslice-reason`. docs/troubleshooting.md has a line for each reason; a test compares.
"""

from dataclasses import dataclass
from typing import Any

from resilientslice.api.slice import ResilientSlice

REASON_HEADER = "x-rslice-reason"


@dataclass(frozen=True, slots=True)
class Reply:
    """`flags` are Envoy's response flags that it is chosen by; without any, `status` is. `detail` names the field that
    decides; empty: as whoever made the answer has it."""

    reason: str
    detail: str
    flags: tuple[str, ...] = ()
    status: int = 0


REPLIES = (
    Reply(
        "RateLimited",
        "The rate limit of this tenant (spec.rateLimit) is exceeded. Try again after the seconds in Retry-After.",
        status=429,
    ),
    Reply(
        "IdleTimeout",
        "Nothing was sent for longer than idleTimeout (spec.services[].routes[]).",
        flags=("SI",),
    ),
    Reply(
        "Timeout",
        "No answer within the timeout, retries included (spec.resilience, or the service's or route's own).",
        status=504,
    ),
    Reply("Overflow", "The bulkhead of the service is full (spec.resilience.bulkhead, or its own).", flags=("UO",)),
    Reply("NoHealthyHost", "No host of the service is ready.", flags=("UH",)),
    Reply("ConnectionFailed", "No connection to the service was made, or it ended too early.", flags=("UF", "UC")),
    Reply("RequestTimeout", "The request was not sent in time.", status=408),
    Reply("NoRoute", "", status=404),
)
"""The first that fits is taken."""


def render_replies(slice_: ResilientSlice) -> dict[str, Any]:
    """The local_reply_config of a connection manager. Each service has one, so it is short."""
    fields = {
        "type": "about:blank",
        "status": "%RESPONSE_CODE%",
        "reason": f"%RESP({REASON_HEADER})%",
        "detail": "%LOCAL_REPLY_BODY%",
        "slice": f"{slice_.namespace}/{slice_.name}",
    }
    body = {"json_format": fields, "content_type": "application/problem+json", "omit_empty_values": True}
    return {"mappers": [_mapper(reply) for reply in REPLIES], "body_format": body}


def _mapper(reply: Reply) -> dict[str, Any]:
    header = {"header": {"key": REASON_HEADER, "value": reply.reason}}
    body = {"body": {"inline_string": reply.detail}} if reply.detail else {}
    return {"filter": _filter(reply), "headers_to_add": [header], **body}


def _filter(reply: Reply) -> dict[str, Any]:
    if reply.flags:
        return {"response_flag_filter": {"flags": list(reply.flags)}}
    value = {"default_value": reply.status, "runtime_key": f"reply.{reply.reason}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}
