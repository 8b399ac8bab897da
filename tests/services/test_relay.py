"""The relay and a charge that it can't read: told once, kept for a person, and in nobody's way."""

import json
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from shop_api import relay as module
from shop_api.relay import Relay
from slicekit import Reply

GOOD = json.dumps({"fingerprint": "f", "lines": [], "traceparent": ""})


def charged(number, memo=GOOD):
    names = {"payment_id": f"p{number}", "order_id": f"o{number}", "tenant": "gold"}
    return names | {"amount_cents": 100, "currency": "EUR", "memo": memo}


class Payments:
    def __init__(self, *rows):
        self.rows, self.done = list(rows), []

    async def post(self, path, document, *, idempotency_key):
        assert idempotency_key
        if path == "/outbox/done":
            self.done += document["payment_ids"]
            return Reply("payments", 200, {}, b"{}")
        return Reply("payments", 200, {}, json.dumps({"payments": self.rows}).encode())


class Orders:
    """Every order was queued long ago."""

    async def answer(self):
        return None

    async def queue(self, order, *, payment_id, traceparent):
        return SimpleNamespace(fresh=False, seconds=60)


@pytest.fixture
def told():
    return []


@pytest.fixture
def kit(told):
    log = SimpleNamespace(error=lambda event, **fields: told.append(fields))
    metrics = SimpleNamespace(registry=CollectorRegistry())
    return SimpleNamespace(log=log, clock=lambda: 0.0, metrics=metrics, settings=SimpleNamespace(app="api"))


async def test_it_is_told_once_with_its_reason_and_stays_in_the_outbox(kit, told):
    payments = Payments(charged(1, "not ours"), charged(2))
    relay = Relay(kit, Orders(), payments, pause=1)
    for _ in range(3):
        assert await relay.sweep() == 2
    assert payments.done == ["p2"] * 3, "the one that can be read is done each time it is handed out"
    assert [(fields["payment_id"], fields["order_id"]) for fields in told] == [("p1", "o1")]
    assert "Invalid JSON" in told[0]["reason"]
    registry = kit.metrics.registry
    assert registry.get_sample_value("orders_relayed_total", {"app": "api", "outcome": "unreadable"}) == 3


async def test_what_is_remembered_as_told_is_bounded(kit, told, monkeypatch):
    monkeypatch.setattr(module, "_TOLD", 2)
    payments = Payments(*(charged(number, "") for number in range(5)))
    relay = Relay(kit, Orders(), payments, pause=1)
    await relay.sweep()
    assert len(relay._told) <= 2
    assert len(told) == 5
