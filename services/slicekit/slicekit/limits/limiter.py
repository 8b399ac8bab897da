"""Charges the tenant of each request, by Redis' count or, while Redis is away, by what `onRedisFailure` says."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from prometheus_client import CollectorRegistry

from slicekit.limits.accounts import LEASE, Account, Ask, Book
from slicekit.limits.decision import Decision, Mode
from slicekit.limits.gcra import SECOND, Grant
from slicekit.limits.link import Link
from slicekit.limits.metrics import LimitMetrics
from slicekit.limits.policy import LimitsError, OnRedisFailure
from slicekit.limits.source import LimitsFile
from slicekit.limits.wire import LARGEST_CALL
from slicekit.settings import Environment, SettingError, Settings

FILE_VARIABLE = "RATE_LIMITS_FILE"
ATTEMPT = "x-envoy-attempt-count"
"""How often Envoy has sent this request; the front takes it off what comes from outside."""
_LOOK_SECONDS = 1.0


class LimitsAsideError(Exception):
    """The limits are not counted as they should be. The text is for `/readyz`."""


class Limiter:
    """A store of the service: opened at its start, closed at its end. Never fails a request by failing itself."""

    name = "limits"

    def __init__(
        self,
        file: LimitsFile,
        redis_url: str,
        *,
        app: str,
        registry: CollectorRegistry,
        log: Any,
        patience: float = 0.03,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """LimitsError if the file can't be used. `patience` is how long Redis may take to answer, in seconds."""
        self._file, self._log, self._clock = file, log, clock
        self._book = Book(file.load())
        self._metrics = LimitMetrics(registry, app)
        self._link = Link(redis_url, self, patience=patience, client_name=f"{app}-limits", log=log)
        self._queue: list[Account] = []
        self._lent: set[Account] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._closing = False

    @classmethod
    def from_env(cls, settings: Settings, env: Environment, *, registry: CollectorRegistry, log: Any) -> Self:
        """Environment: RATE_LIMITS_FILE, REDIS_URL, RATE_LIMITS_PATIENCE (30ms). SettingError."""
        path = env.text(FILE_VARIABLE, "")
        url = env.url("REDIS_URL", "redis", "rediss", example="redis://host:6379/0")
        patience = env.seconds("RATE_LIMITS_PATIENCE", 0.03, low=0.001, high=10)
        try:
            return cls(LimitsFile(Path(path)), url, app=settings.app, registry=registry, log=log, patience=patience)
        except LimitsError as exc:
            raise SettingError(FILE_VARIABLE, str(exc)) from exc

    @property
    def exact(self) -> bool:
        """Whether Redis is counting."""
        return self._link.usable

    @property
    def calls(self) -> int:
        """Script calls to Redis so far."""
        return self._link.calls

    async def open(self) -> None:
        """Returns once Redis has been tried. A Redis that is away doesn't keep a service from starting."""
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch_file(), name="limits-file")
        await self._link.start()

    async def close(self) -> None:
        """Gives back what is on lease."""
        self._closing = True
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
            self._watcher = None
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._return_leases(early=True)
        await self._link.stop()

    async def check(self) -> None:
        """LimitsAsideError with what is wrong."""
        wrong = []
        if self._book.limits.enabled and not self._link.usable:
            wrong.append(f"{_MEANWHILE[self._book.limits.on_failure]} ({self._link.breaker.reason})")
        if self._file.problem:
            wrong.append(f"the former limits are in force ({self._file.problem})")
        if wrong:
            raise LimitsAsideError("; ".join(wrong))

    async def charge(self, headers: Mapping[str, str]) -> Decision | None:
        """None if nobody is charged here. A request that Envoy repeats was charged when it came first."""
        limits = self._book.limits
        if not limits.enabled:
            return None
        account = self._book.find(headers.get(limits.tenant_header))
        if headers.get(ATTEMPT, "1") != "1":
            return account.standing()
        decision = self._decide(account) or await self._ask(account)
        self._metrics.observe(decision)
        return decision

    def collect(self) -> list[Ask]:
        now = self._now()
        asks = [account.ask(now) for account in self._queue[:LARGEST_CALL]]
        del self._queue[:LARGEST_CALL]
        if asks:
            self._metrics.calls.inc()
            self._metrics.batch.observe(len(asks))
            self._metrics.tenants.set(len(self._book))
        return asks

    def settle(self, asks: Sequence[Ask], grants: Sequence[Grant]) -> None:
        now = self._now()
        for ask, grant in zip(asks, grants, strict=True):
            account = ask.account
            account.settle(now, grant)
            self._serve(account, now)
            if account.leased:
                self._metrics.leased.inc(account.leased)
                self._lent.add(account)
            if ask.owed < 0:
                self._metrics.returned.inc(-ask.owed)
        if self._lent and self._sweeper is None:
            self._sweep_later()

    def lose(self, asks: Sequence[Ask]) -> None:
        if not self._closing:
            self._metrics.degraded.set(1)
            self._metrics.trips.inc()
            self._log.warning("rate limits degraded", reason=self._link.breaker.reason)
        waiting = [ask.account for ask in asks] + self._queue
        self._queue.clear()
        for account in waiting:
            account.queued = False
            account.forget()
            for waiter in account.waiters:
                if not waiter.done():
                    waiter.set_result(self._decide_alone(account))
            account.waiters.clear()

    def recovered(self) -> None:
        self._metrics.degraded.set(0)
        self._log.info("rate limits exact")

    def _decide(self, account: Account) -> Decision | None:
        if not self._link.usable:
            return self._decide_alone(account)
        now = self._now()
        decision = account.draw(now)
        if account.runs_low(now):
            self._enqueue(account)
        return decision

    def _decide_alone(self, account: Account) -> Decision:
        limits, now = self._book.limits, self._now()
        if limits.on_failure is OnRedisFailure.LOCAL_FALLBACK:
            return account.fall_back(now)
        allow = limits.on_failure is OnRedisFailure.ALLOW
        return Decision(allow, Mode.OPEN if allow else Mode.CLOSED, account.rate.per_second, None, SECOND)

    async def _ask(self, account: Account) -> Decision:
        waiter: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        account.waiters.append(waiter)
        self._enqueue(account)
        return await waiter

    def _enqueue(self, account: Account) -> None:
        """Once for all who wait, and not while an answer for them is under way."""
        if not account.queued and not account.asking:
            account.queued = True
            self._queue.append(account)
            self._link.wake()

    def _serve(self, account: Account, now: float) -> None:
        """In the order of arrival. Who came after the question was put may have to be asked for again."""
        served = 0
        for waiter in account.waiters:
            # a caller that has gone takes no token
            if not waiter.done():
                decision = account.serve(now) or account.denied(now)
                if decision is None:
                    break
                waiter.set_result(decision)
            served += 1
        del account.waiters[:served]
        if account.waiters:
            self._enqueue(account)

    def _sweep_later(self) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(LEASE / SECOND, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        self._return_leases()
        if self._lent:
            self._sweep_later()

    def _return_leases(self, *, early: bool = False) -> None:
        now = self._now()
        for account in list(self._lent):
            if account.reclaim(now, early=early) and self._link.usable:
                self._enqueue(account)
            if not account.leased:
                self._lent.discard(account)
        self._metrics.leases.set(len(self._lent))

    async def _watch_file(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._file.changed():
                self.reload()

    def reload(self) -> None:
        """Takes the file's limits if they can be used, keeps the former ones if not."""
        try:
            self._book.replace(self._file.load())
        except LimitsError as exc:
            self._log.warning("rate limits not reloaded", reason=str(exc))
            self._metrics.stale.set(1)
        else:
            self._log.info("rate limits reloaded", tenants=len(self._book.limits.tenants))
            self._metrics.stale.set(0)

    def _now(self) -> float:
        return self._clock() * SECOND


_MEANWHILE = {
    OnRedisFailure.LOCAL_FALLBACK: "each replica counts its share by itself",
    OnRedisFailure.ALLOW: "all requests are let through",
    OnRedisFailure.DENY: "all requests are turned away",
}
