"""What the limits are said to be, what callers are told, and when Redis is tried again."""

import json

import pytest

from slicekit.limits.breaker import LONGEST_PAUSE, SHORTEST_PAUSE, STEADY, Breaker
from slicekit.limits.decision import Decision, Mode
from slicekit.limits.gcra import SECOND, Grant
from slicekit.limits.headers import render_headers, render_refusal
from slicekit.limits.policy import Limit, LimitsError, OnRedisFailure, parse_limits
from slicekit.limits.source import LARGEST_FILE, LimitsFile
from slicekit.limits.wire import WireError, parse_answer

DEFAULT = {"requestsPerSecond": 10, "burst": 20}


def test_a_whole_file():
    text = {
        "enabled": False,
        "scope": "team/shop",
        "tenantHeader": "X-Org",
        "default": DEFAULT,
        "tenants": [{"name": "gold", "requestsPerSecond": 100, "burst": 200}],
        "onRedisFailure": "Deny",
        "replicas": 3,
        "fromTheFuture": {"x": 1},
    }
    limits = parse_limits(json.dumps(text))
    assert (limits.enabled, limits.scope, limits.tenant_header) == (False, "team/shop", "X-Org")
    assert (limits.of("gold"), limits.of("bob")) == (Limit(100, 200), Limit(10, 20))
    assert (limits.on_failure, limits.replicas) == (OnRedisFailure.DENY, 3)


def test_what_may_be_left_out():
    limits = parse_limits(json.dumps({"default": DEFAULT}))
    assert (limits.enabled, limits.tenant_header, limits.tenants) == (True, "X-Tenant", {})
    assert (limits.on_failure, limits.replicas) == (OnRedisFailure.LOCAL_FALLBACK, 1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Invalid JSON"),
        ('{"default": {', "Invalid JSON"),
        ("[]", "object"),
        ({}, "default: Field required"),
        ({"default": {"burst": 1}}, "default.requestsPerSecond: Field required"),
        ({"default": DEFAULT | {"requestsPerSecond": 0}}, "default.requestsPerSecond: .* greater than or equal to 1"),
        ({"default": DEFAULT | {"burst": 1_000_001}}, "default.burst: .* less than or equal to 1000000"),
        ({"default": DEFAULT | {"burst": "9"}}, "default.burst: .* valid integer"),
        ({"default": DEFAULT | {"burst": 1.5}}, "default.burst: .* valid integer"),
        ({"default": DEFAULT, "tenants": [DEFAULT | {"name": "a b"}]}, "tenants.0.name"),
        ({"default": DEFAULT, "tenants": [DEFAULT | {"name": "x" * 64}]}, "tenants.0.name"),
        ({"default": DEFAULT, "tenants": [DEFAULT | {"name": "gold"}] * 2}, "tenant 'gold' is listed twice"),
        ({"default": DEFAULT, "onRedisFailure": "Panic"}, "onRedisFailure"),
        ({"default": DEFAULT, "replicas": 0}, "replicas"),
        ({"default": DEFAULT, "tenantHeader": "X Tenant"}, "tenantHeader"),
    ],
)
def test_what_cannot_be_used_says_where_and_why(text, problem):
    with pytest.raises(LimitsError, match=problem):
        parse_limits(text if isinstance(text, str) else json.dumps(text))


def test_a_file_that_changes_by_a_swap_of_links(tmp_path):
    """As the kubelet does it."""
    for name, burst in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "api.json").write_text(json.dumps({"default": DEFAULT | {"burst": burst}}))
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "api.json").symlink_to("..data/api.json")
    file = LimitsFile(tmp_path / "api.json")
    assert file.load().default.burst == 1
    assert not file.changed()
    (tmp_path / "..new").symlink_to("two")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert file.changed()
    assert file.load().default.burst == 2
    assert not file.changed()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{}", b" " * (LARGEST_FILE + 1)])
def test_a_broken_file_is_named_and_looked_at_once(tmp_path, content):
    path = tmp_path / "api.json"
    path.write_bytes(content)
    file = LimitsFile(path)
    with pytest.raises(LimitsError, match=str(path)):
        file.load()
    assert str(path) in file.problem
    assert not file.changed()
    path.write_text(json.dumps({"default": DEFAULT}))
    assert file.changed()
    file.load()
    assert file.problem == ""


def test_a_file_that_goes_and_comes_back(tmp_path):
    path = tmp_path / "api.json"
    path.write_text(json.dumps({"default": DEFAULT}))
    file = LimitsFile(path)
    file.load()
    kept = path.rename(tmp_path / "kept")
    assert [file.changed(), file.changed()] == [True, False]
    with pytest.raises(LimitsError, match="No such file"):
        file.load()
    kept.rename(path)
    assert file.changed()


@pytest.mark.parametrize(
    ("decision", "headers"),
    [
        (Decision(True, Mode.EXACT, 100, 42, 0.0), '"tenant";r=42;t=1'),
        (Decision(False, Mode.EXACT, 100, 0, 1.0), '"tenant";r=0;t=1'),
        (Decision(False, Mode.LOCAL, 100, 0, 1 * SECOND), '"tenant";r=0;t=1'),
        (Decision(False, Mode.LOCAL, 100, 0, 1 * SECOND + 1), '"tenant";r=0;t=2'),
        (Decision(True, Mode.OPEN, 100, None, SECOND), None),
    ],
)
def test_headers(decision, headers):
    found = render_headers(decision)
    assert found["RateLimit-Policy"] == '"tenant";q=100;w=1'
    assert found.get("RateLimit") == headers


@pytest.mark.parametrize(("wait", "seconds"), [(1.0, "1"), (SECOND, "1"), (SECOND + 1, "2"), (9.5 * SECOND, "10")])
def test_retry_after_is_rounded_up(wait, seconds):
    problem = render_refusal(Decision(False, Mode.EXACT, 10, 0, wait))
    assert (problem.status, problem.headers["Retry-After"]) == (429, seconds)


def test_a_denial_for_want_of_redis_says_so():
    problem = render_refusal(Decision(False, Mode.CLOSED, 10, None, SECOND))
    assert (problem.status, problem.headers["Retry-After"]) == (429, "1")
    assert "can't be counted" in problem.detail


def test_answers_of_redis():
    asks = [None, None]
    assert parse_answer(b"1 2 3 4 5 6", asks) == [Grant(1, 2, 3), Grant(4, 5, 6)]
    for wrong in (b"1 2 3", b"", b"1 2 3 4 5 x", 7, None, [1, 2, 3, 4, 5, 6]):
        with pytest.raises(WireError):
            parse_answer(wrong, asks)


def test_redis_is_used_after_its_first_reply_only():
    breaker = Breaker()
    assert not breaker.closed
    breaker.open(0.0, "refused")
    assert (breaker.closed, breaker.reason) == (False, "refused")
    breaker.close(1.0)
    assert breaker.closed


def test_pauses_grow_to_a_bound_and_are_spread():
    breaker = Breaker()
    pauses = []
    for _ in range(10):
        breaker.open(0.0, "refused")
        pauses.append(breaker.pause(1.0))
    assert pauses[:3] == [SHORTEST_PAUSE, 2 * SHORTEST_PAUSE, 4 * SHORTEST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert breaker.pause(0.0) == LONGEST_PAUSE / 2


@pytest.mark.parametrize(("served", "pause"), [(STEADY, SHORTEST_PAUSE), (STEADY - 1, LONGEST_PAUSE)])
def test_only_a_recovery_that_lasted_begins_anew(served, pause):
    breaker = Breaker()
    for _ in range(10):
        breaker.open(0.0, "stalled")
        breaker.pause(1.0)
    breaker.close(100.0)
    breaker.open(100.0 + served, "stalled")
    assert breaker.pause(1.0) == pause
