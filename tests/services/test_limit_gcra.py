"""The arithmetic of the limit, and that Redis does the same."""

from math import floor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from slicekit.limits.gcra import SECOND, SLACK, Rate, take
from slicekit.limits.wire import SCRIPT

rates = st.builds(Rate.of, st.integers(1, 1_000_000), st.integers(1, 1_000_000), shares=st.integers(1, 50))
small_rates = st.builds(Rate.of, st.integers(1, 1000), st.integers(1, 100))
moments = st.floats(0, 3 * SECOND)
NOW = 3e13
"""About what microseconds since 2026 come to."""


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"the script no longer has {old!r} once"
    return text.replace(old, new)


def told_the_time() -> str:
    """The script with its clock and its expiry taken out: both run by the server's clock, which can't be set."""
    text = replaced(SCRIPT, "local time = redis.call('TIME')\n", "")
    text = replaced(text, "local now = (tonumber(time[1]) - EPOCH) * 1000000 + tonumber(time[2])", "local now = NOW")
    return replaced(text, ", 'PX', math.ceil((after - now) / 1000))", ")")


@pytest.fixture(scope="module")
def server(valkey_port):
    client = Redis(host="127.0.0.1", port=valkey_port, protocol=2)
    yield client
    client.close()


steps = st.tuples(st.floats(0, 2 * SECOND), st.integers(-30, 30), st.integers(0, 40), rates)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(steps, min_size=1, max_size=20))
def test_redis_and_python_agree_to_the_last_bit(server, sequence):
    server.delete("k")
    tat, now = None, NOW
    for pause, owed, want, rate in sequence:
        now += pause
        script = told_the_time().replace("local now = NOW", f"local now = {now!r}")
        answer = server.eval(script, 1, "k", f"{rate.words} {owed} {want}")
        tat, grant = take(tat, now, rate, owed=owed, want=want)
        assert [int(word) for word in answer.split()] == list(grant)
        stored = server.get("k")
        assert (float(stored) if stored else None) == (tat if tat > now else None)


@given(rate=small_rates, calls=st.lists(st.tuples(st.floats(0, 0.2 * SECOND), st.integers(1, 30)), max_size=60))
def test_never_more_than_the_burst_and_what_came_since(rate, calls):
    tat, now, granted = None, NOW, 0
    for pause, want in calls:
        now += pause
        tat, grant = take(tat, now, rate, want=want)
        granted += grant.granted
        assert grant.granted == want or grant.remaining == 0
        assert granted <= rate.burst + (now - NOW + SLACK) / rate.interval + 1e-3


@pytest.mark.parametrize("per_second", [1, 3, 7, 10, 999, 70_001, 1_000_000])
@pytest.mark.parametrize("burst", [1, 2, 7, 100])
def test_a_full_bucket_holds_exactly_its_burst(per_second, burst):
    rate, tat, granted = Rate.of(per_second, burst), None, 0
    for _ in range(burst + 5):
        tat, grant = take(tat, NOW + 0.3, rate)
        granted += grant.granted
    # the slack is worth one token where a token is worth a microsecond
    assert granted in ((burst, burst + 1) if per_second == 1_000_000 else (burst,))


@given(rate=small_rates, used=st.integers(1, 200), later=moments)
def test_there_is_a_token_after_the_wait_and_not_before(rate, used, later):
    tat, _ = take(None, NOW, rate, want=used)
    now = NOW + floor(later)
    tat, grant = take(tat, now, rate, want=1000)
    assert grant.remaining == 0
    # a microsecond for what rounding takes
    assert take(tat, now + grant.wait + 1, rate)[1].granted == 1
    assert take(tat, now + grant.wait - 1.1, rate)[1].granted == 0


@given(rate=small_rates, used=st.integers(0, 50), lent=st.integers(1, 50))
def test_what_is_given_back_is_as_if_never_taken(rate, used, lent):
    before, left = take(None, NOW, rate, want=used)
    after, grant = take(before, NOW, rate, want=lent)
    restored, again = take(after, NOW, rate, owed=-grant.granted, want=0)
    assert restored == pytest.approx(before, abs=1.0)
    assert again.remaining == pytest.approx(left.remaining, abs=1)


@given(rate=small_rates, owed=st.integers(0, 100_000))
def test_a_debt_empties_the_bucket_and_no_more(rate, owed):
    tat, _ = take(None, NOW, rate, owed=owed, want=0)
    assert tat <= NOW + rate.depth
    assert take(tat, NOW + rate.depth, rate, want=rate.burst)[1].granted == rate.burst


@pytest.mark.parametrize("tat", [NOW + 1e12, NOW + 20 * SECOND])
def test_a_moment_from_a_clock_set_back_is_an_empty_bucket(tat):
    rate = Rate.of(10, 20)
    _, grant = take(tat, NOW, rate)
    assert grant.granted == 0
    assert grant.wait <= SECOND / 10


@given(st.integers(1, 1_000_000), st.integers(1, 1_000_000), st.integers(1, 50))
def test_the_shares_of_a_limit_are_not_more_than_the_limit(per_second, burst, shares):
    share = Rate.of(per_second, burst, shares=shares)
    assert shares * (SECOND / share.interval) == pytest.approx(per_second)
    _, grant = take(None, NOW, share, want=burst + 1)
    assert 1 <= grant.granted <= max(1, burst / shares + 1)
