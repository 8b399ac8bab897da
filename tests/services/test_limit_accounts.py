"""Leases, denials, the local share and the memory of tenants: replicas without a Redis or an event loop around them."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slicekit.limits.accounts import DEBT_MEMORY, LEASE, LEASE_MOST, Account, Book
from slicekit.limits.decision import Mode
from slicekit.limits.gcra import SECOND, Grant, Rate, take
from slicekit.limits.policy import ANONYMOUS, Limit, Limits, OnRedisFailure

MS = SECOND / 1000


def limits(per_second=10, burst=20, *, replicas=1, scope="s", **tenants):
    return Limits(
        scope=scope,
        tenant_header="X-Tenant",
        default=Limit(per_second, burst),
        tenants={name: Limit(*limit) for name, limit in tenants.items()},
        on_failure=OnRedisFailure.LOCAL_FALLBACK,
        replicas=replicas,
        enabled=True,
    )


class Waiter:
    decision = None

    def done(self):
        return self.decision is not None

    def set_result(self, result):
        self.decision = result


@dataclass
class Redis:
    """One bucket, asked without delay."""

    tat: float | None = None
    asked: int = 0

    def answer(self, now, ask):
        self.asked += 1
        self.tat, grant = take(self.tat, now, ask.account.rate, owed=ask.owed, want=ask.want)
        return grant


@dataclass
class Replica:
    account: Account
    redis: Redis
    admitted: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, redis, per_second, burst, replicas=1):
        share = Rate.of(per_second, burst, shares=replicas)
        return cls(Account(b"k", Rate.of(per_second, burst), share), redis)

    def request(self, now):
        decision = self.account.draw(now)
        if decision is None:
            self.account.waiters.append(Waiter())
            ask = self.account.ask(now)
            self.account.settle(now, self.redis.answer(now, ask))
            self.account.waiters.clear()
            decision = self.account.serve(now) or self.account.denied(now)
        if decision.allowed:
            self.admitted.append(now)
        return decision

    def sweep(self, now):
        if self.account.reclaim(now):
            ask = self.account.ask(now)
            self.account.settle(now, self.redis.answer(now, ask))


def run(replicas, *, seconds, per_second, start=0.0):
    """Requests evenly, to each replica in turn; leases are swept as the event loop would."""
    pause, total, swept = SECOND / per_second, int(seconds * per_second), start
    for i in range(total):
        now = start + i * pause
        while swept + LEASE <= now:
            swept += LEASE
            for replica in replicas:
                replica.sweep(swept)
        replicas[i % len(replicas)].request(now)
    return total


@pytest.mark.parametrize("offered", [0.5, 0.9, 1.0, 1.1, 2, 10, 50])
@pytest.mark.parametrize(("per_second", "burst"), [(10, 20), (100, 100), (1000, 2000), (5000, 500)])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_replicas_together_admit_the_limit(per_second, burst, offered, count):
    redis, seconds = Redis(), 4 if per_second <= 1000 else 1
    replicas = [Replica.of(redis, per_second, burst) for _ in range(count)]
    sent = run(replicas, seconds=seconds, per_second=int(offered * per_second))
    admitted = sum(len(replica.admitted) for replica in replicas)
    allowed = burst + per_second * seconds
    assert admitted <= allowed + 1
    assert admitted >= min(sent, allowed) * 0.99 - 1 - count


@pytest.mark.parametrize(("offered", "most"), [(2000, 0.2), (800, 0.2), (20_000, 0.05)])
def test_a_busy_tenant_costs_few_questions(offered, most):
    redis = Redis()
    replicas = [Replica.of(redis, 1000, 1000) for _ in range(2)]
    sent = run(replicas, seconds=3, per_second=offered)
    assert redis.asked / sent < most


def test_a_quiet_tenant_gets_exactly_its_burst_and_nothing_is_lent_to_it():
    redis = Redis()
    replicas = [Replica.of(redis, 1, 20) for _ in range(2)]
    for i in range(60):
        replicas[i % 2].request(0.0)
    assert sum(len(replica.admitted) for replica in replicas) == 20


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 500),
    st.integers(1, 300),
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 40 * MS)), min_size=1, max_size=400),
)
def test_whatever_comes_when_to_whom_never_more_than_the_limit(per_second, burst, requests):
    redis, now = Redis(), 0.0
    replicas = [Replica.of(redis, per_second, burst) for _ in range(3)]
    for which, pause in requests:
        now += pause
        for replica in replicas:
            replica.sweep(now)
        replicas[which].request(now)
    admitted = sum(len(replica.admitted) for replica in replicas)
    assert admitted <= burst + per_second * now / SECOND + 1


def leased(tokens, *, now=0.0):
    account = Account(b"k", Rate.of(100, 100), Rate.of(100, 100, shares=2))
    account.waiters.append(Waiter())
    account.ask(now)
    account.settle(now, Grant(tokens, 50, 0))
    account.waiters.clear()
    return account


def test_a_lease_is_used_up_then_asked_for_again():
    account = leased(3)
    assert [account.draw(1.0).remaining for _ in range(3)] == [52, 51, 50]
    assert account.draw(1.0) is None


def test_a_lease_that_is_over_is_given_back_and_never_used():
    account = leased(3)
    assert not account.reclaim(LEASE - 1)
    assert account.draw(LEASE) is None
    assert account.reclaim(LEASE)
    assert account.ask(LEASE).owed == -3
    assert account.ask(LEASE).owed == 0, "given back once"


def test_a_lease_is_given_back_early_at_the_end():
    account = leased(3)
    assert account.reclaim(1.0, early=True)
    assert account.ask(1.0).owed == -3


def test_no_lease_is_larger_than_any_or_than_a_quarter_of_what_is_left():
    account = leased(1)
    for _ in range(1000):
        account.draw(10.0)
    account.waiters.append(Waiter())
    assert account.ask(1 * MS).want == 1 + 50 // 4
    account.settle(2 * MS, Grant(1, 5000, 0))
    for _ in range(1000):
        account.draw(2 * MS)
    # one for who waits, and as many as make a lease together with the one that is left
    assert account.ask(3 * MS).want == 1 + LEASE_MOST - 1


def test_the_next_lease_is_asked_for_before_the_last_one_is_used_up():
    account = leased(20)
    low = []
    for _ in range(20):
        account.draw(10 * MS)
        low.append(account.runs_low(10 * MS))
    assert low == [False] * 12 + [True] * 7 + [False]


@pytest.mark.parametrize("lease", [15, 8, 2, 1])
def test_a_small_lease_is_used_up_first(lease):
    account = leased(lease)
    for _ in range(lease):
        account.draw(10 * MS)
        assert not account.runs_low(10 * MS)


def test_what_is_asked_for_early_fills_a_lease_and_no_more():
    account = leased(20)
    account.settle(0.0, Grant(0, 50_000, 0))
    account.settle(0.0, Grant(0, 50_000, 0))
    for _ in range(15):
        account.draw(1 * MS)
    assert account.ask(1 * MS).want == LEASE_MOST - 5


def test_an_empty_bucket_is_not_asked_early():
    account = leased(20)
    account.settle(0.0, Grant(20, 0, 7000))
    for _ in range(35):
        account.draw(1 * MS)
    assert not account.runs_low(1 * MS)
    assert account.runs_low(50 * MS)


def test_a_denial_holds_until_some_tokens_have_gathered():
    account = leased(0)
    account.settle(0.0, Grant(0, 0, 7000))
    assert account.draw(6999.0) == (False, Mode.EXACT, 100, 0, 1.0)
    assert account.draw(7000.0) is None
    fast = Account(b"k", Rate.of(1000, 100), Rate.of(1000, 100))
    fast.settle(0.0, Grant(0, 0, 500))
    assert fast.draw(9499.0) is not None
    assert fast.draw(9500.0) is None


def test_a_denial_ends_with_the_limit_that_it_was_by():
    account = leased(0)
    account.settle(0.0, Grant(0, 0, 7000))
    assert account.draw(1.0) is not None
    account.adjust(Rate.of(1000, 1000), Rate.of(1000, 1000), 1)
    assert account.draw(1.0) is None


def test_without_redis_a_share_is_held_and_the_lease_used_first():
    account = leased(2)
    first = [account.fall_back(0.0) for _ in range(60)]
    assert [d.mode for d in first[:2]] == [Mode.EXACT, Mode.EXACT]
    # a half of 100, less the two that were counted here as well
    assert sum(d.allowed for d in first) == 2 + 48
    assert not first[-1].allowed
    assert first[-1].wait == pytest.approx(20 * MS, abs=2)


def test_who_was_at_its_limit_gets_no_fresh_burst_when_redis_goes_away():
    redis = Redis()
    replica = Replica.of(redis, 100, 100, replicas=1)
    run([replica], seconds=2, per_second=1000)
    allowed = sum(replica.account.fall_back(2 * SECOND).allowed for _ in range(200))
    assert allowed <= 2


def test_what_was_let_through_in_a_short_absence_is_charged_later():
    redis = Redis()
    replica = Replica.of(redis, 100, 100)
    now = 1000 * SECOND
    local = sum(replica.account.fall_back(now).allowed for _ in range(150))
    exact = sum(replica.request(now + MS).allowed for _ in range(150))
    assert (local, exact) == (100, 0)


@pytest.mark.parametrize("later", [0.0, 2 * DEBT_MEMORY, 1000 * DEBT_MEMORY])
def test_a_debt_is_charged_once_and_is_forgotten(later):
    account = Account(b"k", Rate.of(100, 100), Rate.of(100, 100))
    for i in range(30):
        account.fall_back(i * DEBT_MEMORY / 10)
    now = 3 * DEBT_MEMORY + later
    assert account.ask(now).owed in (range(1, 12) if later == 0 else (0,))
    assert account.ask(now).owed == 0


def test_an_answer_that_never_comes_leaves_nothing_behind():
    account = leased(5)
    account.reclaim(LEASE)
    account.ask(LEASE)
    account.forget()
    assert not account.asking
    assert account.leased == 0


def test_a_million_names_are_bounded_and_who_has_a_limit_of_its_own_is_never_forgotten():
    book = Book(limits(gold=(100, 200)), most=5000)
    gold = book.find("gold")
    for i in range(1_000_000):
        book.find(f"tenant-{i}")
    assert len(book) == 5001
    assert book.find("gold") is gold
    assert book.find("tenant-999999") is book.find("tenant-999999")


def test_the_latest_are_remembered():
    book = Book(limits(), most=3)
    first = book.find("a")
    for name in ("b", "c", "a", "d"):
        book.find(name)
    assert book.find("a") is first


def test_names_that_cannot_be_are_one_account():
    book = Book(limits())
    anonymous = book.find(ANONYMOUS)
    for header in (None, "", "x" * 64, "a b", "-a", "a-", "ä", "a\n", "a/b", "a\x00"):
        assert book.find(header) is anonymous
    assert book.find("a.b_c-1") is not anonymous


def test_other_limits_reach_accounts_that_are_there():
    book = Book(limits(gold=(100, 200)))
    gold, bob = book.find("gold"), book.find("bob")
    book.replace(limits(7, 8, replicas=4, gold=(50, 60)))
    assert (book.find("gold"), book.find("bob")) == (gold, bob)
    assert (gold.rate.per_second, bob.rate.per_second) == (50, 7)
    assert bob.share == Rate.of(7, 8, shares=4)
    book.replace(limits(bob=(1, 1)))
    assert book.find("bob").rate.per_second == 1
    assert book.find("gold").rate.per_second == 10
    book.replace(limits(scope="t"))
    assert book.find("bob").key == b"rslice:limit:t:bob"
