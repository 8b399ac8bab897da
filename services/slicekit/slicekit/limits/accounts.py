"""What a replica knows of each tenant: tokens on lease, a denial that still holds, its own count of admissions.

Three things keep a busy tenant cheap and still exact:

- A *lease* is a few tokens more than are needed now. Redis has charged them already, so nothing is let through that was
  not counted; what is not used within `LEASE` is given back.
- A *denial* answers for Redis until there are tokens again. It holds until a few have gathered, never so many that the
  bucket would overflow, so that one question fetches them all.
- One question at a time: who arrives while one is under way is answered with it.

Every admission is counted here too, at this replica's share of the limit. So when Redis goes away, nobody starts with a
full bucket, and what was let through during a short absence is charged afterwards.
"""

from collections import OrderedDict
from typing import NamedTuple, Protocol

from slicekit.limits.decision import Decision, Mode
from slicekit.limits.gcra import SECOND, Grant, Rate, take
from slicekit.limits.policy import ANONYMOUS, Limit, Limits, tenant_of

LEASE = 0.1 * SECOND
"""How long leased tokens may lie about. Longer would keep them from the other replicas."""
LEASE_AHEAD = 0.05 * SECOND
"""A lease is what a tenant is expected to use in this time, at the pace it was last seen at."""
LEASE_MOST = 25
"""Facts measured with leases of 5 to 25: 0.10-0.21 Redis calls a request; larger ones gained nothing."""
LEASE_LOW = 8
"""With fewer tokens left of a large lease the next one is asked for, so that nobody has to wait for the answer."""
GATHER = 0.01 * SECOND
"""How long a denial may outlast its cause, to fetch several tokens with one question."""
SATURATED = 0.2 * SECOND
"""A tenant that was denied so recently uses whatever it gets at once."""
DEBT_MEMORY = 1.0 * SECOND
"""What was let through without Redis is charged later if it is no older than this: a bucket of usual depth has
forgotten the rest."""
MOST_ACCOUNTS = 20_000
"""Tenants without a limit of their own that are remembered, some 10 MB. Who is forgotten is asked for anew: with Redis
that changes nothing, without it such a tenant starts anew too."""


class Waiter(Protocol):
    """A future of the event loop."""

    def done(self) -> bool: ...
    def set_result(self, result: Decision, /) -> None: ...


class Ask(NamedTuple):
    """A question to Redis: charge what is `owed`, then grant up to `want`."""

    account: "Account"
    owed: int
    want: int


class Account:
    """One tenant. All times are microseconds on one clock of this process."""

    __slots__ = (
        "_asked_at",
        "_debt_since",
        "_denied_until",
        "_lease",
        "_lease_ends",
        "_local_tat",
        "_owed",
        "_remaining",
        "_seen",
        "_tokens",
        "_wait",
        "asking",
        "generation",
        "key",
        "queued",
        "rate",
        "share",
        "waiters",
    )

    def __init__(self, key: bytes, rate: Rate, share: Rate, generation: int = 0) -> None:
        self.key, self.rate, self.share, self.generation = key, rate, share, generation
        # a list: an empty deque takes 600 bytes more, and there are thousands of accounts
        self.waiters: list[Waiter] = []
        self.queued = self.asking = False
        self._tokens, self._lease, self._lease_ends = 0, 0, 0.0
        self._remaining, self._wait = 0, 0.0
        self._denied_until = self._asked_at = self._local_tat = self._debt_since = -SECOND
        self._owed = self._seen = 0

    def adjust(self, rate: Rate, share: Rate, generation: int) -> None:
        """Other limits from now on. A denial by the former ones no longer holds."""
        self.rate, self.share, self.generation = rate, share, generation
        self._denied_until = -SECOND

    def draw(self, now: float) -> Decision | None:
        """The answer, if it is known here; None if Redis has to be asked."""
        self._seen += 1
        if self._tokens and now < self._lease_ends and not self.waiters:
            return self._admit(now)
        return self.denied(now)

    def runs_low(self, now: float) -> bool:
        """Whether to ask now for what will soon be needed. Not where the bucket is known to be empty."""
        return 0 < self._tokens < LEASE_LOW <= self._lease // 2 and now >= self._denied_until

    def denied(self, now: float) -> Decision | None:
        """The answer, if Redis has given it for some time ahead."""
        if now < self._denied_until:
            return Decision(False, Mode.EXACT, self.rate.per_second, 0, self._denied_until - now)
        return None

    def serve(self, now: float) -> Decision | None:
        """One token for a request that has waited for the answer."""
        return self._admit(now) if self._tokens else None

    def ask(self, now: float) -> Ask:
        """The question to put now. What it settles must come back to `settle` or `forget`."""
        self.reclaim(now)
        if self._owed > 0 and now - self._debt_since > 2 * DEBT_MEMORY:
            self._owed = 0
        need = len(self.waiters)
        ask = Ask(self, self._owed, min(need + self._ahead(now, need), max(need, self.rate.burst)))
        self.asking, self.queued = True, False
        self._owed, self._seen, self._asked_at = 0, 0, now
        return ask

    def settle(self, now: float, grant: Grant) -> None:
        self.asking = False
        self._tokens += grant.granted
        self._lease = grant.granted
        self._lease_ends = now + LEASE
        self._remaining, self._wait = grant.remaining, float(grant.wait)
        # an empty bucket denies also who got all it asked for: otherwise, one replica could live from token to token,
        # with a question for each, and starve the others
        if grant.remaining == 0:
            gathered = min(LEASE_MOST, self.rate.burst // 4, int(GATHER / self.rate.interval))
            self._denied_until = now + grant.wait + max(0, gathered - 1) * self.rate.interval

    def forget(self) -> None:
        """The answer will never come. What was to be given back is lost; what was owed is forgiven."""
        self.asking = False

    def fall_back(self, now: float) -> Decision:
        """The answer without Redis: what is on lease, then this replica's share."""
        if self._tokens and now < self._lease_ends:
            return self._admit(now)
        self._local_tat, grant = take(self._local_tat, now, self.share)
        if grant.granted:
            if now - self._debt_since > DEBT_MEMORY:
                self._debt_since, self._owed = now, 0
            self._owed += 1
        return Decision(grant.granted > 0, Mode.LOCAL, self.rate.per_second, grant.remaining, grant.wait)

    def reclaim(self, now: float, *, early: bool = False) -> bool:
        """Ends a lease that is over, or any. True if there are tokens to give back."""
        if self._tokens and (early or now >= self._lease_ends):
            self._owed -= self._tokens
            self._tokens = 0
        return self._owed < 0

    def standing(self) -> Decision:
        """What was last known, for a request that is not charged."""
        return Decision(True, Mode.EXACT, self.rate.per_second, self._remaining + self._tokens, self._wait)

    @property
    def leased(self) -> int:
        return self._tokens

    def _admit(self, now: float) -> Decision:
        self._tokens -= 1
        share = self.share
        self._local_tat = min(max(self._local_tat, now) + share.interval, now + share.depth)
        left = self._remaining + self._tokens
        return Decision(True, Mode.EXACT, self.rate.per_second, left, 0.0 if left else self._wait)

    def _ahead(self, now: float, need: int) -> int:
        """How many tokens more than needed. Never more than a quarter of what is left, lest one replica sit on the last
        tokens while another turns its callers away; a tenant at its limit uses them at once, so there it may."""
        if not need and not self._tokens:
            return 0
        elapsed = max(now - self._asked_at, 1.0)
        expected = min(int(self._seen * LEASE_AHEAD / elapsed), LEASE_MOST - self._tokens)
        return expected if now - self._denied_until < SATURATED else min(expected, self._remaining // 4)


class Book:
    """The accounts of a replica. Bounded: tenants with a limit of their own are kept, of the others the latest."""

    def __init__(self, limits: Limits, *, most: int = MOST_ACCOUNTS) -> None:
        self._most, self._generation = most, 0
        self._kept: dict[str, Account] = {}
        self._others: OrderedDict[str, Account] = OrderedDict()
        self.limits = limits
        self._default = self._rates_of(limits.default)

    def __len__(self) -> int:
        return len(self._kept) + len(self._others)

    def replace(self, limits: Limits) -> None:
        """Other limits from now on. Who moves into or out of the list starts anew here; Redis remembers."""
        if limits.scope != self.limits.scope:
            self._kept.clear()
            self._others.clear()
        for name in [name for name in self._kept if not self._is_kept(limits, name)]:
            del self._kept[name]
        for name in limits.tenants:
            self._others.pop(name, None)
        self.limits = limits
        self._default = self._rates_of(limits.default)
        self._generation += 1

    def find(self, header: str | None) -> Account:
        """The account that a request with this tenant header is charged to."""
        name = tenant_of(header)
        account = self._kept.get(name)
        if account is None:
            account = self._others.get(name)
            if account is None:
                return self._open(name)
            self._others.move_to_end(name)
        if account.generation != self._generation:
            account.adjust(*self._rates(name), self._generation)
        return account

    def _open(self, name: str) -> Account:
        rate, share = self._rates(name)
        account = Account(f"rslice:limit:{self.limits.scope}:{name}".encode(), rate, share, self._generation)
        if self._is_kept(self.limits, name):
            self._kept[name] = account
            return account
        self._others[name] = account
        if len(self._others) > self._most:
            self._others.popitem(last=False)
        return account

    def _rates(self, name: str) -> tuple[Rate, Rate]:
        limit = self.limits.tenants.get(name)
        return self._rates_of(limit) if limit else self._default

    def _rates_of(self, limit: Limit) -> tuple[Rate, Rate]:
        return (
            Rate.of(limit.per_second, limit.burst),
            Rate.of(limit.per_second, limit.burst, shares=self.limits.replicas),
        )

    @staticmethod
    def _is_kept(limits: Limits, name: str) -> bool:
        return name == ANONYMOUS or name in limits.tenants
