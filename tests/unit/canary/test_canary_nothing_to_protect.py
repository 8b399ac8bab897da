"""A slice that was never ready as a whole: its corrections replace what is there at once."""

import pytest

from resilientslice.canary.state import Phase, State

STABLE, NEXT, LATER = "shop-a", "shop-b", "shop-c"


@pytest.fixture
def down(scenario):
    """The first revision has never been ready."""
    made = scenario(weight=100, steps=[{"weight": 5}])
    made.state = State(stable=STABLE, since=1000.0, entered=1000.0)
    made.stable_ready = False
    return made.look()


def test_a_correction_replaces_it_at_once_and_the_next_one_too(down):
    for revision in (NEXT, LATER):
        down.want(revision)
        assert (down.state.stable, down.state.canary, down.at()) == (revision, "", (Phase.IDLE, 0))
    assert down.reasons == ["Updated", "Updated"]
    assert not down.state.pin.armed, "a weight from the first apply ships nothing"


def test_once_it_was_ready_there_is_a_canary_again(down):
    down.want(NEXT).see(stable_ready=True)
    down.want(LATER)
    assert (down.state.stable, down.state.canary, down.at()) == (NEXT, LATER, (Phase.PAUSED, 0))


def test_what_was_ready_before_a_bad_update_is_still_protected(down):
    down.former = frozenset({"shop-0"})
    assert down.want(NEXT).state.canary == NEXT


def test_a_revision_that_is_not_to_be_tried_is_not(down):
    down.want(NEXT, abort=NEXT)
    assert (down.state.stable, down.state.phase) == (STABLE, Phase.ABORTED)


def test_a_moved_port_is_moved_at_once(down):
    down.moved, down.canary = frozenset({"payments"}), None
    assert down.want(NEXT).state.stable == NEXT


def under_way(down, **fields):
    """As an operator left it that made a canary of a correction."""
    down.state = State(
        stable=STABLE, canary=NEXT, services=("payments",), phase=Phase.STARTING, since=1000.0, entered=1000.0, **fields
    )
    down.ready = down.healthy = False
    return down


def test_a_canary_that_was_never_live_is_rolled_out(down):
    under_way(down).want(NEXT)
    assert (down.state.stable, down.state.canary, down.at()) == (NEXT, "", (Phase.IDLE, 0))


def test_a_canary_that_was_live_stays_in_its_owners_hands(down):
    under_way(down, exposed=True).want(NEXT, weight=30)
    assert (down.state.stable, down.at()) == (STABLE, (Phase.STARTING, 0))
    assert down.see(ready=True, healthy=True).at() == (Phase.PROGRESSING, 30)
    assert down.want(abort=NEXT).wait(1).at() == (Phase.ABORTED, 0)
