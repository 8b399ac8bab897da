"""Who is next and when, in any order of events: nothing is lost, nothing runs twice at once, nothing runs hot."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from resilientslice.workqueue.schedule import (
    EVENT_SECONDS,
    FIRST_SECONDS,
    LONGEST_SECONDS,
    URGENT_IN_A_ROW,
    Schedule,
)

KEYS = st.sampled_from(["a", "b", "c"])
SOON = st.floats(0, 5)


class Rules(RuleBasedStateMachine):
    """A model beside the schedule: `owed` is the latest time by which each key must have been handed out."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule: Schedule[str] = Schedule()
        self.now = 0.0
        self.owed: dict[str, float] = {}
        self.processing: dict[str, float | None] = {}
        """Handed out, and for when it was asked for meanwhile."""
        self.failed_at: dict[str, float] = {}

    def owe(self, key: str, at: float) -> None:
        self.owed[key] = min(self.owed.get(key, at), at)

    @rule(key=KEYS, after=st.one_of(st.just(0.0), SOON), urgent=st.booleans())
    def add(self, key: str, after: float, urgent: bool) -> None:
        self.schedule.add(key, self.now, after=after, urgent=urgent)
        at = self.now + after
        self.owe(key, max(at, self.failed_at[key] + EVENT_SECONDS) if key in self.failed_at else at)
        if key in self.processing:
            before = self.processing[key]
            self.processing[key] = at if before is None else min(before, at)

    @rule(step=SOON)
    def wait(self, step: float) -> None:
        self.now += step

    @rule()
    def take(self) -> None:
        key = self.schedule.take(self.now)
        if key is None:
            due = [known for known, at in self.owed.items() if at <= self.now and known not in self.processing]
            assert not due, f"{due} wait, and none is handed out"
            return
        assert key not in self.processing, "the same key twice at once"
        assert self.owed.pop(key) <= self.now, "handed out before it is due"
        self.processing[key] = None

    @precondition(lambda self: self.processing)
    @rule(data=st.data(), next_in=st.one_of(st.none(), SOON))
    def done(self, data: st.DataObject, next_in: float | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.processing)))
        again = self.processing.pop(key)
        if key in self.failed_at:
            del self.failed_at[key]
        if again is not None:
            self.owe(key, again)  # it has not failed: nothing holds it back
        self.schedule.done(key, self.now, next_at=None if next_in is None else self.now + next_in)
        if next_in is not None:
            self.owe(key, self.now + next_in)

    @precondition(lambda self: self.processing)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.processing)))
        again = self.processing.pop(key)
        wait = self.schedule.failed(key, self.now)
        assert FIRST_SECONDS <= wait <= LONGEST_SECONDS
        self.failed_at[key] = self.now
        if again is not None:
            self.owed[key] = max(self.owed[key], self.now + EVENT_SECONDS)
        self.owe(key, self.now + wait)

    @invariant()
    def a_sleeper_wakes_in_time(self) -> None:
        """Whoever sleeps until `next_at` misses nothing."""
        self.schedule.wake(self.now)
        idle = {key: at for key, at in self.owed.items() if key not in self.processing}
        ready = sum(at <= self.now for at in idle.values())
        assert self.schedule.depth == ready
        later = [at for at in idle.values() if at > self.now]
        assert self.schedule.next_at() == (min(later) if later else None)


TestRules = Rules.TestCase
TestRules.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_waits_double_up_to_a_limit() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 0.0)
    waits, now = [], 0.0
    for _ in range(14):
        assert schedule.take(now) == "a"
        waits.append(schedule.failed("a", now))
        now += waits[-1]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == LONGEST_SECONDS
    schedule.take(now)
    schedule.done("a", now)
    schedule.add("a", now)
    schedule.take(now)
    assert schedule.failed("a", now) == FIRST_SECONDS, "a success begins anew"


def test_a_failure_that_knows_better_waits_at_least_that_long() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 0.0)
    schedule.take(0.0)
    assert schedule.failed("a", 0.0, at_least=60.0) == 60.0
    assert schedule.next_at() == 60.0
    schedule.add("a", 10.0)
    assert schedule.take(10.0) == "a", "an edit may mend what the wait was for"


def test_urgent_keys_go_first_and_starve_nobody() -> None:
    schedule: Schedule[int] = Schedule()
    for key in range(20):
        schedule.add(key, 0.0, urgent=key >= 10)
    order = [schedule.take(1.0) for _ in range(20)]
    assert order[: URGENT_IN_A_ROW + 1] == [10, 11, 12, 13, 0]
    assert sorted(order) == list(range(20))


def test_a_key_in_line_that_becomes_urgent_moves_up() -> None:
    schedule: Schedule[str] = Schedule()
    for key in ("a", "b"):
        schedule.add(key, 0.0)
    schedule.add("b", 0.0, urgent=True)
    assert [schedule.take(0.0), schedule.take(0.0), schedule.take(0.0)] == ["b", "a", None]


def test_the_age_is_that_of_the_key_which_is_due_longest() -> None:
    schedule: Schedule[str] = Schedule()
    assert schedule.oldest(5.0) == 0.0
    schedule.add("later", 0.0, after=4.0)
    assert schedule.oldest(3.0) == 0.0
    assert schedule.oldest(10.0) == 6.0
    schedule.add("urgent", 9.0, urgent=True)
    assert schedule.oldest(10.0) == 6.0


def test_what_is_finished_is_forgotten() -> None:
    schedule: Schedule[int] = Schedule()
    for key in range(100):
        schedule.add(key, 0.0)
        schedule.take(0.0)
        schedule.done(key, 0.0)
    assert not schedule._known
