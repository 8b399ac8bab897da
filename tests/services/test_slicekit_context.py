"""What travels: read from hostile headers, handed on unharmed."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slicekit import Environment, Settings
from slicekit.context import (
    ANONYMOUS,
    InvalidTenantError,
    RequestContext,
    outgoing_headers,
    read_context,
    read_tenant,
    read_time_left,
    read_trace,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
SETTINGS = Settings.read(Environment({}), name="api", needs_port=False)


def context_of(headers: dict[str, str]) -> RequestContext:
    tenant = read_tenant(headers, SETTINGS.tenant_header)
    return read_context(headers, SETTINGS, tenant=tenant, clock=lambda: 100.0)


@pytest.mark.parametrize("parent", [PARENT, f"00-{TRACE}-{SPAN}-00", f"cc-{TRACE}-{SPAN}-01-what-comes-next"])
def test_a_good_traceparent_goes_on_with_a_new_span(parent: str) -> None:
    trace = read_trace({"traceparent": parent, "tracestate": "a=1"})
    assert (trace.trace_id, trace.flags, trace.state) == (TRACE, parent.split("-")[3], "a=1")
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-{trace.flags}", trace.traceparent)
    assert trace.span_id != SPAN


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "rubbish",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
    ],
)
def test_a_bad_traceparent_begins_a_new_trace_without_its_state(parent: str) -> None:
    trace = read_trace({"traceparent": parent, "tracestate": "a=1"})
    assert trace.trace_id != TRACE
    assert (len(trace.trace_id), trace.state) == (32, None)


@given(st.text())
def test_whatever_arrives_a_traceparent_leaves(parent: str) -> None:
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", read_trace({"traceparent": parent}).traceparent)


@pytest.mark.parametrize(
    ("text", "seconds"), [("250", 0.25), ("60000", 10.0), ("0", 10), ("-5", 10), ("x", 10), ("", 10)]
)
def test_the_time_left_is_what_the_caller_gives_up_to_a_bound(text: str, seconds: float) -> None:
    assert read_time_left({"x-envoy-expected-rq-timeout-ms": text}, most=10.0) == seconds


@pytest.mark.parametrize(
    ("value", "tenant"), [("gold", "gold"), (" gold ", "gold"), ("", ANONYMOUS), ("Ümlaut AG", "Ümlaut AG")]
)
def test_a_tenant_is_a_printable_name(value: str, tenant: str) -> None:
    assert read_tenant({"X-Tenant": value}, "X-Tenant") == tenant


@pytest.mark.parametrize("value", ["a\nb", "a\x00b", "a\x1b[31m", "a\u2028b", "\udcff", "t" * 129])
def test_a_tenant_that_is_no_name_is_refused(value: str) -> None:
    with pytest.raises(InvalidTenantError, match="X-Tenant must be 1 to 128 printable characters"):
        read_tenant({"X-Tenant": value}, "X-Tenant")


def test_everything_is_passed_on_but_the_callers_span() -> None:
    incoming = {
        "traceparent": PARENT,
        "tracestate": "a=1",
        "X-Tenant": "gold",
        "X-Canary": "1",
        "x-rslice-track": "canary",
        "x-request-id": "r1",
    }
    context = context_of(incoming)
    outgoing = outgoing_headers(context, SETTINGS)
    assert outgoing == incoming | {"traceparent": context.trace.traceparent}


def test_what_is_absent_or_unknown_is_not_passed_on() -> None:
    headers = {"x-rslice-track": "blue", "x-request-id": "r\x7f", "X-Canary": "c" * 513}
    assert set(outgoing_headers(context_of(headers), SETTINGS)) == {"traceparent"}


def test_the_header_names_come_from_the_environment() -> None:
    env = Environment({"TENANT_HEADER": "X-Org", "CANARY_HEADER": "X-Beta"})
    settings = Settings.read(env, name="api", needs_port=False)
    headers = {"X-Org": "gold", "X-Beta": "yes", "X-Tenant": "ignored"}
    context = read_context(headers, settings, tenant=read_tenant(headers, settings.tenant_header), clock=lambda: 0.0)
    assert outgoing_headers(context, settings).items() >= {"X-Org": "gold", "X-Beta": "yes"}.items()


def test_hops_are_listed_once_and_bounded() -> None:
    context = context_of({})
    context.add_hops("catalog@stable, payments@canary")
    context.add_hops("catalog@stable,, bad\x00hop")
    assert context.hops == ["catalog@stable", "payments@canary"]
    context.add_hops(", ".join(f"s{number}@stable" for number in range(100)))
    assert len(context.hops) == 32
