"""What travels with a request from hop to hop: tenant, trace, track, canary header and the time that is left."""

import re
import secrets
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from slicekit.settings import TRACKS, Settings

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
REQUEST_ID = "x-request-id"
TRACK = "x-rslice-track"
CHARGED = "x-rslice-charged"
TIME_LEFT = "x-envoy-expected-rq-timeout-ms"
IDEMPOTENCY_KEY = "Idempotency-Key"
ANONYMOUS = "anonymous"

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_LONGEST_TENANT = 128
_LONGEST_PASSED_ON = 512
_MOST_HOPS = 32


class InvalidTenantError(ValueError):
    """The tenant header can't be trusted as a name: too long, or not printable."""


@dataclass(frozen=True, slots=True)
class Trace:
    """W3C trace context: the trace of the caller and a span of our own."""

    trace_id: str
    span_id: str
    flags: str
    state: str | None

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


@dataclass(frozen=True, slots=True)
class RequestContext:
    tenant: str
    trace: Trace
    deadline: float
    """On the service's monotonic clock, in seconds."""
    track: str | None = None
    """The track the front has drawn for this request, if one was."""
    canary: str | None = None
    request_id: str | None = None
    charged: bool = False
    """Whether a service that it came through has charged the tenant for it. The front takes the header off."""
    hops: list[str] = field(default_factory=list)
    """Who else served this request, `catalog@stable`, in order of the calls. Grows as calls return."""

    def add_hops(self, served_by: str) -> None:
        """Notes the hops of an answer's X-Served-By header, each once."""
        for hop in (part.strip() for part in served_by.split(",")):
            if hop and hop.isprintable() and hop not in self.hops and len(self.hops) < _MOST_HOPS:
                self.hops.append(hop[:64])


_current: ContextVar[RequestContext | None] = ContextVar("slicekit_request", default=None)
enter = _current.set
leave = _current.reset


def current() -> RequestContext | None:
    """The context of the request being served, None outside of one."""
    return _current.get()


def new_trace() -> Trace:
    return Trace(trace_id=secrets.token_hex(16), span_id=secrets.token_hex(8), flags="01", state=None)


def read_trace(headers: Mapping[str, str]) -> Trace:
    """The caller's trace with a new span, or a new trace if the header is absent or malformed (W3C section 3.2)."""
    match = _TRACEPARENT.fullmatch(headers.get(TRACEPARENT, "").strip())
    if match is None:
        return new_trace()
    version, trace_id, parent_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest) or not int(trace_id, 16) or not int(parent_id, 16):
        return new_trace()
    state = headers.get(TRACESTATE, "")
    return Trace(
        trace_id=trace_id,
        span_id=secrets.token_hex(8),
        flags=flags,
        state=state if 0 < len(state) <= _LONGEST_PASSED_ON and state.isprintable() else None,
    )


def read_tenant(headers: Mapping[str, str], name: str) -> str:
    """The tenant, `anonymous` when none is named."""
    every = getattr(headers, "getall", None)
    if every is not None and len(every(name, [])) > 1:
        raise InvalidTenantError(f"{name} is given more than once")
    tenant = headers.get(name, "").strip()
    if not tenant:
        return ANONYMOUS
    if len(tenant) > _LONGEST_TENANT or not tenant.isprintable():
        raise InvalidTenantError(f"{name} must be 1 to {_LONGEST_TENANT} printable characters")
    return tenant


def read_time_left(headers: Mapping[str, str], *, most: float) -> float:
    """Seconds the caller gives us, at most `most`; what can't be understood counts as not given."""
    text = headers.get(TIME_LEFT, "").strip()
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or int(text) == 0:
        return most
    return min(int(text) / 1000, most)


def read_context(
    headers: Mapping[str, str], settings: Settings, *, tenant: str, clock: Callable[[], float]
) -> RequestContext:
    track = headers.get(TRACK)
    return RequestContext(
        tenant=tenant,
        trace=read_trace(headers),
        deadline=clock() + read_time_left(headers, most=settings.request_timeout),
        track=track if track in TRACKS else None,
        canary=_passable(headers.get(settings.canary_header)),
        request_id=_passable(headers.get(REQUEST_ID)),
        charged=headers.get(CHARGED) == "1",
    )


def outgoing_headers(context: RequestContext, settings: Settings) -> dict[str, str]:
    """What every call to another service carries, apart from the time left."""
    optional = {
        TRACESTATE: context.trace.state,
        settings.canary_header: context.canary,
        TRACK: context.track,
        REQUEST_ID: context.request_id,
        CHARGED: "1" if context.charged or settings.charges else None,
        settings.tenant_header: None if context.tenant == ANONYMOUS else context.tenant,
    }
    return {TRACEPARENT: context.trace.traceparent} | {name: value for name, value in optional.items() if value}


def _passable(value: str | None) -> str | None:
    return value if value and len(value) <= _LONGEST_PASSED_ON and value.isprintable() else None
