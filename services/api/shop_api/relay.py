"""Queues what was charged and not queued: the charge's process may have died, its client may never come back, and
Redis may have lost what it had acknowledged.

Payments hands out each charge until the order is reported as queued. Saying so takes two looks: what was queued
less than `_KEPT_SECONDS` ago may still be lost by a Redis that writes its file once a second, so it is left for later.
"""

from typing import Any
from uuid import uuid4

from prometheus_client import Counter
from pydantic import BaseModel, ValidationError

from shop_api.memo import Charged, read_order
from shop_api.orders import Orders
from slicekit import Kit, Reply, Upstream, UpstreamError
from slicekit.jobs import rest

# `appendfsync everysec` loses up to two seconds of writes when the machine dies; times are whole seconds here.
_KEPT_SECONDS = 3
_AT_ONCE = 100
# With nothing to do, and while payments is away, rounds grow rarer up to this many pauses.
_RAREST = 15
_SILENT_SECONDS = 60.0
# Charges that can't be read, which are logged once.
_TOLD = 1000


class _Claimed(BaseModel):
    payments: list[Charged]


class Relay:
    """A job of api. Any number of replicas may run it at once. `pause` is in seconds."""

    def __init__(self, kit: Kit, orders: Orders, payments: Upstream, *, pause: float) -> None:
        self._kit, self._orders, self._payments = kit, orders, payments
        self._pause = pause
        self._last_round = kit.clock()
        self._told: set[str] = set()
        self._relayed = Counter(
            "orders_relayed_total",
            "Charged orders the relay looked after: seen queued, queued by it, or not readable.",
            ["app", "outcome"],
            registry=kit.metrics.registry,
        )

    async def run(self) -> None:
        """StoreUnavailableError while Redis is away: nothing is claimed that can't be queued."""
        pause = self._pause
        while not self._kit.stopping.is_set():
            try:
                claimed = await self.sweep()
                self._last_round = self._kit.clock()
            except UpstreamError as exc:
                self._kit.log.warning("the relay waits for payments", reason=exc.detail)
                claimed = 0
            pause = self._pause if claimed else min(pause * 2, self._pause * _RAREST)
            if claimed < _AT_ONCE:
                await rest(self._kit, pause)

    async def check(self) -> None:
        """Fails if no round has ended well for long."""
        silent = self._kit.clock() - self._last_round
        if silent > max(_SILENT_SECONDS, 2 * _RAREST * self._pause):
            raise RuntimeError(f"charges have not been looked after for {silent:.0f} s")

    async def sweep(self) -> int:
        """One round: how many charges were handed out. UpstreamError, StoreUnavailableError."""
        await self._orders.answer()
        reply = await self._ask("/outbox/claim", {"limit": _AT_ONCE})
        try:
            claimed = _Claimed.model_validate_json(reply.body)
        except ValidationError as exc:
            raise UpstreamError(502, reply.target, "answered something this version does not understand") from exc
        done = [charged.payment_id for charged in claimed.payments if await self._is_kept(charged)]
        if done:
            await self._ask("/outbox/done", {"payment_ids": done})
        return len(claimed.payments)

    async def _ask(self, path: str, document: dict[str, Any]) -> Reply:
        # Either may be repeated: what was claimed for nobody comes back after a pause, what is done stays done.
        reply = await self._payments.post(path, document, idempotency_key=uuid4().hex)
        if reply.status != 200:
            raise reply.failure()
        return reply

    async def _is_kept(self, charged: Charged) -> bool:
        """Queues the order if it is not; True once it has been queued for so long that Redis can't lose it."""
        try:
            order, traceparent = read_order(charged)
        except ValueError as exc:
            self._count("unreadable")
            self._tell(charged, str(exc))
            return False
        queued = await self._orders.queue(order, payment_id=charged.payment_id, traceparent=traceparent)
        if queued.fresh:
            self._count("queued")
            self._kit.log.warning("a charged order was not queued; it is now", order_id=order.order_id)
            return False
        if queued.seconds < _KEPT_SECONDS:
            return False
        self._count("seen")
        return True

    def _tell(self, charged: Charged, reason: str) -> None:
        """Once a charge, though it comes back at each round: it stays in the outbox, where it is counted."""
        if charged.payment_id in self._told:
            return
        if len(self._told) >= _TOLD:
            self._told.clear()
        self._told.add(charged.payment_id)
        self._kit.log.error(
            "a charge can't be read; its order is not queued",
            order_id=charged.order_id,
            payment_id=charged.payment_id,
            reason=reason,
        )

    def _count(self, outcome: str) -> None:
        self._relayed.labels(app=self._kit.settings.app, outcome=outcome).inc()
