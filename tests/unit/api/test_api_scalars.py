"""Scalars: what their patterns take, and what the strings stand for."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from resilientslice.api import scalars
from resilientslice.api.cron import CRON_PATTERN, backward_ranges
from resilientslice.api.schema import document_schema

PATTERNS = {
    scalars.Duration: (
        ["0s", "250ms", "1h30m", "99999h", "1s1s1s1s"],
        ["", "1", "1d", "-1s", "1.5s", "100000s", "1s" * 5, "1S", "1s\n"],
    ),
    scalars.PositiveDuration: (
        ["1ms", "0h1s", "01s", "1s0ms", "10m", "0h0m0s1ms"],
        ["0s", "0h0m", "00000ms", "", "1", "0s0s0s0s"],
    ),
    scalars.Window: (
        ["1h", "720h", "30d", "1d", "9d", "699h", "709h", "99h"],
        ["0h", "0d", "31d", "721h", "800h", "1m", "1d1h"],
    ),
    scalars.Quantity: (["0", "1", "0.5", "100m", "256Mi", "1E"], ["", "-1", "1KB", "1e3", ".5", "1."]),
    scalars.Size: (["1Mi", "0.5Gi", "10G", "001Ti", "1.25Gi"], ["0Mi", "0.0Gi", "1", "1m", "1Ki", "1E"]),
    scalars.Objective: (["1", "99", "99.5", "99.9999", "50.0"], ["0", "0.5", "100", "99.99999", "-1", "99."]),
    scalars.ServiceName: (["a", "a-b", "a1", "a" * 24], ["", "A", "1a", "-a", "a-", "a" * 25, "a.b"]),
    scalars.ObjectName: (["a", "a.b", "1-a.b"], ["", "a.", ".a", "A", "a..b", "-a"]),
    scalars.Host: (["*.a.b", "a.b", "localhost"], ["*", "*a.b", "a.b.", "A.b", "http://a"]),
    scalars.PathPrefix: (
        ["/", "/a", "/a/b.c", "/.well-known/x", "/...a", "/a=b;c"],
        ["", "a", "/a/", "//", "/a//b", "/.", "/..", "/a/../b", "/a/./b", "/a b", "/a?b"],
    ),
    scalars.RelativePath: (["a", "a/b", ".a"], ["", "/a", "a/", "..", "a/../b", "a//b"]),
    scalars.Path: (["/", "/a/", "/a//b"], ["", "a", "/a b"]),
    scalars.HeaderName: (["X-Tenant", "a"], ["", "X_Tenant", "-a", "a-", "a b", "a:"]),
    scalars.Cidr: (
        ["0.0.0.0/0", "255.255.255.255/32", "::/0", "2001:db8::/128", "::ffff:1.2.3.4/96"],
        ["1.2.3.4", "256.0.0.0/8", "1.2.3/8", "1.2.3.4/33", "::/129", "a/8", "01.2.3.4/8"],
    ),
    scalars.Image: (["a", "a/b:1", "a@sha256:1"], ["", ":1", "a b", "-a"]),
    scalars.Timestamp: (
        ["", "2026-01-31T23:59:59Z", "2026-01-01T00:00:00.123456789+14:00"],
        [
            "2026-01-01",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-32T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00Z",
        ],
    ),
    scalars.ResourceName: (["cpu", "memory", "hugepages-2Mi", "a.b/c"], ["mem", "CPU", "hugepages-2", "/c", "a/"]),
    scalars.LabelKey: (["a", "a.b/c", "A_b"], ["", "/a", "a/", "a/b/c", "-a"]),
    scalars.LabelValue: (["", "a", "A.b-c"], ["-a", "a-", "a b", "a" * 64]),
    scalars.Port: ([], []),
}


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, (good, _) in PATTERNS.items() for value in good], ids=str
)
def test_taken(kind, value) -> None:
    assert TypeAdapter(kind).validate_python(value) == value


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, (_, bad) in PATTERNS.items() for value in bad], ids=str
)
def test_refused(kind, value) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(value)


CRON_GOOD = [
    "* * * * *",
    "0 3 * * *",
    "*/5 0-23 1,15 jan-DEC mon-FRI",
    "59 23 31 12 6",
    "? 01 ? 02 sun",
    "@daily",
    "0-30/10 * * * *",
]
CRON_BAD = [
    "60 * * * *",
    "* 24 * * *",
    "* * 0 * *",
    "* * 32 * *",
    "* * * 13 *",
    "* * * 0 *",
    "* * * * 7",
    "* * * * Mon",
    "* * * *",
    "* * * * * *",
    "@reboot",
    "@every 1h",
    "*/0 * * * *",
    "1- * * * *",
    "a * * * *",
    "*  * * * *",
    "",
]


@pytest.mark.parametrize("schedule", CRON_GOOD)
def test_schedules(schedule: str) -> None:
    assert re.search(CRON_PATTERN, schedule)
    assert list(backward_ranges(schedule)) == []


@pytest.mark.parametrize("schedule", CRON_BAD)
def test_no_schedules(schedule: str) -> None:
    assert not re.search(CRON_PATTERN, schedule)


@pytest.mark.parametrize(
    ("schedule", "backward"),
    [
        ("5-3 * * * *", ["5-3"]),
        ("1-1 * * * *", []),
        ("* * * dec-jan sat-sun", ["dec-jan", "sat-sun"]),
        ("* * * 2-feb *", []),
        ("9-10 10-9 * * *", ["10-9"]),
    ],
)
def test_ranges_that_run_backwards(schedule: str, backward: list[str]) -> None:
    assert list(backward_ranges(schedule)) == backward


UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@given(st.lists(st.tuples(st.integers(0, 99_999), st.sampled_from(list(UNITS))), min_size=1, max_size=4))
def test_a_duration_is_the_sum_of_its_parts(parts) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    total = sum(number * UNITS[unit] for number, unit in parts)
    assert scalars.duration_milliseconds(text) == total
    assert scalars.duration_seconds(text) == total / 1000
    if all(unit != "d" for _, unit in parts):
        assert re.search(scalars.DURATION_PATTERN, text)
        assert bool(re.search(scalars.POSITIVE_DURATION_PATTERN, text)) is (total > 0)


BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
DECIMAL = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


@given(st.decimals(0, 999_999, places=3), st.sampled_from([*BINARY, *DECIMAL, "m"]))
def test_a_quantity_is_its_number_times_its_unit(number: Decimal, unit: str) -> None:
    factor = Decimal(1024) ** BINARY[unit] if unit in BINARY else Decimal(1000) ** DECIMAL.get(unit, -1)
    assert scalars.quantity_value(f"{number}{unit}") == number * factor
    assert re.search(scalars.QUANTITY_PATTERN, f"{number}{unit}")


@given(st.integers(1, 720))
def test_every_window_up_to_a_month(hours: int) -> None:
    assert re.search(scalars.WINDOW_PATTERN, f"{hours}h")
    assert not re.search(scalars.WINDOW_PATTERN, f"{hours + 720}h")


def test_each_pattern_has_words() -> None:
    def patterns(node):
        if isinstance(node, dict):
            yield from (value for key, value in node.items() if key == "pattern" and isinstance(value, str))
            yield from (key for key in node.get("patternProperties", ()))
            for value in node.values():
                yield from patterns(value)
        elif isinstance(node, list):
            for value in node:
                yield from patterns(value)

    assert set(patterns(document_schema()["properties"]["spec"])) <= set(scalars.FORMATS)
