"""A canary with the world around it: told what to want and what to see, it steps, and watches what must always hold."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import pytest

from resilientslice.api.policies import Canary
from resilientslice.canary.machine import step
from resilientslice.canary.state import Attempts, Decision, Event, Phase, Signals, State, Wanted

STABLE, NEXT, LATER = "shop-a", "shop-b", "shop-c"


@dataclass
class Scenario:
    """`shop-a` is stable at second 1000. All is healthy and acknowledged unless a test says otherwise."""

    state: State = field(default_factory=lambda: State(stable=STABLE, since=1000.0, entered=1000.0, settled=True))
    revision: str = STABLE
    canary: Canary | None = field(default_factory=Canary)
    changed: frozenset[str] = frozenset({"payments"})
    former: frozenset[str] = frozenset()
    moved: frozenset[str] = frozenset()
    now: float = 1000.0
    ready: bool = True
    healthy: bool = True
    stable_ready: bool = True
    acknowledged: bool = True
    hidden: tuple[str, ...] = ()
    active: int | None = 0
    attempts: Attempts | None = None
    budget: bool | None = None
    events: list[Event] = field(default_factory=list)
    decision: Decision | None = None

    def want(self, revision: str | None = None, **fields: Any) -> Self:
        """Edit the resource: another image, or fields of `spec.canary`; then look once."""
        return self.edit(revision, **fields).look()

    def edit(self, revision: str | None = None, **fields: Any) -> Self:
        """As `want`, before anything has looked."""
        self.revision = revision or self.revision
        if fields:
            self.canary = section((self.canary or Canary()).model_dump(mode="json", by_alias=True) | fields)
        return self

    def see(self, **seen: Any) -> Self:
        for name, value in seen.items():
            assert hasattr(self, name), name
            setattr(self, name, value)
        return self.look()

    def wait(self, seconds: float) -> Self:
        self.now += seconds
        return self.look()

    def look(self) -> Self:
        """Step until what was changed by a step has been seen too."""
        while self.once():
            pass
        return self

    def once(self) -> bool:
        """One step; true if it changed something."""
        before, wanted, signals = self.state, self.wanted(), self.signals()
        self.decision = decision = step(before, wanted, signals, self.now)
        again = step(decision.state, wanted, signals, self.now)
        assert again == Decision(decision.state, decision.message, (), decision.next_deadline), "not idempotent"
        self._holds(before, decision.state)
        self.state = decision.state
        self.events += decision.events
        return decision.state != before

    def _holds(self, before: State, after: State) -> None:
        risen = after.traffic.weight > before.traffic.weight
        assert not risen or (self.ready and self.acknowledged), "more traffic for a canary that is not ready, or unseen"
        assert not after.traffic.weight or self.healthy, "weighted traffic to a canary without hosts"
        assert after.live or not after.weight, "a weight without routes"
        if before.exposed and after.canary != before.canary:
            assert before.phase is Phase.DRAINING, "a canary removed before it was drained"
            assert before.traffic.weight == 0
            assert not before.live
            assert self.acknowledged
        if after.stable != before.stable and after.exposed:
            assert after.phase is Phase.PROMOTING
            assert after.traffic == before.traffic, "the canary has to serve while stable is updated"

    def wanted(self) -> Wanted:
        return Wanted(self.revision, self.changed, self.canary, self.former, self._moves())

    def _moves(self) -> frozenset[str]:
        """Nothing moves between a revision and itself."""
        return frozenset() if self.revision == self.state.stable else self.moved

    def signals(self) -> Signals:
        canary, stable = self.state.canary, self.state.stable
        return Signals(
            canary_ready=canary if self.ready and self.healthy else "",
            canary_healthy=canary if self.healthy else "",
            canary_pending=() if self.ready else ("payments 1/3",),
            canary_unfound=self.hidden,
            stable_ready=stable if self.stable_ready else "",
            stable_pending=() if self.stable_ready else ("payments 2/3",),
            settled=stable if self.stable_ready else "",
            acked=self.state.traffic if self.acknowledged else None,
            active=self.active,
            attempts=self.attempts,
            budget=self.budget,
        )

    @property
    def message(self) -> str:
        assert self.decision is not None
        return self.decision.message

    @property
    def deadline(self) -> float | None:
        assert self.decision is not None
        return self.decision.next_deadline

    @property
    def reasons(self) -> list[str]:
        """Reasons of the events so far; they start again after each look at them."""
        found = [event.reason for event in self.events]
        self.events.clear()
        return found

    def at(self) -> tuple[Phase, int]:
        return self.state.phase, self.state.traffic.weight


def section(fields: dict[str, Any]) -> Canary:
    return Canary.model_validate_json(json.dumps(fields))


@pytest.fixture(scope="session")
def scenario() -> Callable[..., Scenario]:
    """Makes scenarios: `scenario(weight=30)` gives the fields of `spec.canary` from the start."""

    def make(**fields: Any) -> Scenario:
        return Scenario(canary=section(fields)).look()

    return make
