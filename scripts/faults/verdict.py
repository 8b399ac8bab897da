"""Whether clients, ledger, settlements and queues agree in the end. PURE: facts in, problems out."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found once everything was healed and drained. Orders are named by their ids, money is in cents."""

    acknowledged: dict[str, int]
    """Orders that a client was told are taken (201), and what they cost."""
    ids_by_key: dict[str, set[str]]
    """Every order id that was ever answered for an idempotency key."""
    charges: list[tuple[str, int]]
    bookings: list[tuple[str, int, int]]
    """Of each order in the ledger: how many rows, and their sum, which is zero in a double-entry ledger."""
    settlements: list[tuple[str, int]]
    shown: dict[str, str]
    """The status that Redis holds for each charged order."""
    poisoned: int
    dead: list[str]
    """The order ids of the dead letters."""
    queued: int
    pending: int
    outbox: int
    forgot: bool = False
    """Redis has lost writes that it had acknowledged, so that poison may be lost too."""


@dataclass(frozen=True, slots=True)
class Verdict:
    duplicates: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.duplicates or self.lost or self.wrong)


def judge(facts: Facts) -> Verdict:
    charged, settled = dict(facts.charges), dict(facts.settlements)
    duplicates = [
        f"{order} {what} {count} times"
        for what, rows in (("charged", facts.charges), ("settled", facts.settlements))
        for order, count in Counter(order for order, _ in rows).items()
        if count > 1
    ]
    several = {key: sorted(ids) for key, ids in facts.ids_by_key.items() if len(ids) > 1}
    duplicates += [f"key {key}: orders {', '.join(ids)}" for key, ids in several.items()]
    lost = [f"{order} answered 201, not charged" for order in sorted(facts.acknowledged.keys() - charged.keys())]
    lost += [f"{order} charged, not settled" for order in sorted(charged.keys() - settled.keys())]
    hidden = [order for order in sorted(settled) if facts.shown.get(order) != "settled"]
    lost += [f"{order} settled, shown as {facts.shown.get(order)}" for order in hidden]
    return Verdict(duplicates, lost, _wrong(facts, charged, settled))


def _wrong(facts: Facts, charged: dict[str, int], settled: dict[str, int]) -> list[str]:
    wrong = [f"{order} settled, not charged" for order in sorted(settled.keys() - charged.keys())]
    booked = {order for order, _, _ in facts.bookings}
    wrong += [f"{order} charged, not in the ledger" for order in sorted(charged.keys() - booked)]
    wrong += [
        f"{o}: {rows} ledger rows adding up to {cents}" for o, rows, cents in facts.bookings if (rows, cents) != (2, 0)
    ]
    for name, amounts in (("answered", facts.acknowledged), ("settled", settled)):
        wrong += [
            f"{o} charged {charged[o]}, {name} {cents}"
            for o, cents in amounts.items()
            if charged.get(o, cents) != cents
        ]
    wrong += [f"dead letter {order!r} is no poison" for order in facts.dead if order != POISON]
    few = len(facts.dead) < facts.poisoned and not facts.forgot
    if few or len(facts.dead) > facts.poisoned:
        wrong.append(f"{facts.poisoned} poison messages, {len(facts.dead)} dead letters")
    left = {"in the stream": facts.queued, "pending": facts.pending, "in the outbox": facts.outbox}
    wrong += [f"{count} left {where}" for where, count in left.items() if count]
    return wrong


POISON = "poison"
