"""A rolling update never takes capacity away, and always comes to an end."""

from hypothesis import given
from hypothesis import strategies as st

from resilientslice.local.workloads.replacement import SURGE, Member, Steps, next_steps


def old(index: int, *, ready: bool = True) -> Member:
    return Member(index, current=False, ready=ready)


def new(index: int, *, ready: bool = True) -> Member:
    return Member(index, current=True, ready=ready)


def test_starts_all_at_first_and_rests_when_all_are_there() -> None:
    assert next_steps([], 3) == Steps(start=3)
    assert next_steps([new(0), new(1, ready=False)], 2) == Steps()


def test_update_surges_by_one_and_waits_until_it_is_ready() -> None:
    assert next_steps([old(0), old(1)], 2) == Steps(start=1)
    assert next_steps([old(0), old(1), new(2, ready=False)], 2) == Steps()
    assert next_steps([old(0), old(1), new(2)], 2) == Steps(retire=(1,))
    assert next_steps([old(0), new(2)], 2) == Steps(start=1)
    assert next_steps([old(0), new(2), new(1)], 2) == Steps(retire=(0,))


def test_what_crash_loops_is_replaced_at_once() -> None:
    assert next_steps([old(0, ready=False), old(1, ready=False)], 2) == Steps(start=2, retire=(0, 1))


def test_scale_down_prefers_unready_then_highest_index() -> None:
    assert next_steps([new(0), new(1), new(2)], 2) == Steps(retire=(2,))
    assert next_steps([new(0, ready=False), new(1), new(2)], 2) == Steps(retire=(0,))
    assert next_steps([new(0), old(1)], 0) == Steps(retire=(0, 1))


members = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8).map(
    lambda pairs: [Member(i, current=c, ready=r) for i, (c, r) in enumerate(pairs)]
)


@given(members, st.integers(0, 6))
def test_an_update_never_drops_below_the_wanted_ready_ones(before: list[Member], desired: int) -> None:
    steps = next_steps(before, desired)
    ready_before = sum(m.ready for m in before)
    ready_after = sum(m.ready for m in before if m.index not in steps.retire)
    assert ready_after >= min(ready_before, desired)
    if steps.start:
        assert len(before) - len(steps.retire) + steps.start <= desired + SURGE


@given(members, st.integers(0, 6))
def test_it_ends_with_exactly_what_is_wanted(before: list[Member], desired: int) -> None:
    now = before
    for _ in range(40):
        steps = next_steps(now, desired)
        now = [m for m in now if m.index not in steps.retire]
        free = [i for i in range(40) if i not in {m.index for m in now}]
        now += [Member(i, current=True, ready=False) for i in free[: steps.start]]
        now = [Member(m.index, current=m.current, ready=m.current or m.ready) for m in now]
    assert next_steps(now, desired) == Steps()
    assert len(now) == desired
    assert all(m.current for m in now)
