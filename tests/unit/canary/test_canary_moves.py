"""Plain updates that move a port: carried out by a canary that nobody asked for, so that both sides exist meanwhile."""

import pytest

from resilientslice.canary.state import Event, Phase

STABLE, NEXT, LATER = "shop-a", "shop-b", "shop-c"
PAYMENTS = frozenset({"payments"})


@pytest.fixture
def plain(scenario):
    """No canary section; the next edits move the port of payments."""
    made = scenario()
    made.canary, made.moved = None, PAYMENTS
    return made


def test_it_starts_beside_stable_goes_straight_to_100_and_is_promoted(plain):
    plain.ready = plain.healthy = False
    plain.want(NEXT)
    assert (plain.state.stable, plain.state.canary, plain.at()) == (STABLE, NEXT, (Phase.STARTING, 0))
    assert plain.message == (
        "shop-b starts; waits for payments 1/3 to be ready. "
        "Both revisions run for a while because the port or protocol of payments changes."
    )
    assert plain.events == [
        Event(
            "CanaryStarted",
            "shop-b starts beside shop-a: payments, because payments listens elsewhere than before",
        )
    ]
    plain.stable_ready = False
    plain.see(ready=True, healthy=True)
    assert (plain.state.stable, plain.at()) == (NEXT, (Phase.PROMOTING, 100))
    plain.moved = frozenset()
    assert plain.see(stable_ready=True).wait(1).at() == (Phase.IDLE, 0)
    assert plain.reasons == [
        "CanaryStarted",
        "CanaryReady",
        "CanaryWeight",
        "Promoting",
        "Promoted",
        "CanaryRemoved",
    ]


def test_it_waits_for_every_envoy_before_it_is_promoted(plain):
    plain.acknowledged = False
    plain.want(NEXT)
    assert plain.at() == (Phase.PROGRESSING, 0)
    assert "takes over from shop-a once every Envoy draws 100" in plain.message
    plain.acknowledged = True
    plain.once()
    plain.see(acknowledged=False)
    assert (plain.state.stable, plain.at()) == (STABLE, (Phase.PROGRESSING, 100))
    assert plain.see(acknowledged=True).state.stable == NEXT


@pytest.mark.parametrize("ready", [True, False])
def test_the_port_moved_back_in_the_middle_ends_it(plain, ready):
    plain.ready = plain.healthy = ready
    plain.acknowledged = False
    plain.want(NEXT)
    plain.moved = frozenset()
    plain.acknowledged = True
    plain.want(STABLE).wait(1)
    assert (plain.state.stable, plain.state.canary, plain.at()) == (STABLE, "", (Phase.IDLE, 0))


def test_another_plain_edit_in_the_middle_replaces_it(plain):
    plain.acknowledged = False
    plain.want(NEXT)
    plain.acknowledged, plain.stable_ready, plain.active = True, False, 1
    plain.want(LATER)
    assert (plain.state.canary, plain.at()) == (NEXT, (Phase.DRAINING, 0))
    plain.see(active=0, acknowledged=False).see(acknowledged=True)
    plain.once()
    plain.wait(1)
    assert (plain.state.stable, plain.state.canary) == (LATER, LATER)
    assert plain.state.phase is Phase.PROMOTING


def test_another_edit_without_a_move_after_it_is_plain_again(plain):
    plain.ready = plain.healthy = False
    plain.want(NEXT)
    plain.moved = frozenset()
    plain.want(LATER)
    assert (plain.state.stable, plain.state.canary, plain.at()) == (LATER, "", (Phase.IDLE, 0))


def test_a_section_that_comes_in_the_middle_takes_over(plain):
    plain.ready = plain.healthy = False
    plain.want(NEXT).want(weight=20)
    assert plain.at() == (Phase.STARTING, 0)
    plain.see(ready=True, healthy=True)
    assert (plain.state.stable, plain.at()) == (STABLE, (Phase.PROGRESSING, 20))


def test_abort_in_a_section_that_comes_in_the_middle_acts_at_once(plain):
    plain.acknowledged = False
    plain.want(NEXT)
    plain.see(acknowledged=True)
    plain.canary = None
    plain.edit(abort=NEXT).once()
    assert plain.state.phase in {Phase.DRAINING, Phase.PROMOTING}
    assert plain.state.weight == (0 if plain.state.phase is Phase.DRAINING else 100)


@pytest.mark.parametrize("ready", [True, False])
def test_a_section_that_goes_while_a_port_moves_goes_on_as_a_canary(scenario, ready):
    canary = scenario()
    canary.ready = canary.healthy = ready
    canary.want(NEXT, weight=30)
    canary.moved, canary.acknowledged, canary.stable_ready = PAYMENTS, False, False
    canary.see(canary=None)
    assert canary.state.stable == STABLE, "stable would be updated under 70 of 100 requests"
    canary.see(ready=True, healthy=True)
    canary.see(acknowledged=True)
    assert (canary.state.stable, canary.at()) == (NEXT, (Phase.PROMOTING, 100))


def test_nothing_that_a_canary_could_show_is_updated_as_it_is(plain):
    plain.changed = frozenset()
    plain.want(NEXT)
    assert (plain.state.stable, plain.state.canary) == (NEXT, "")


def promoting(plain, **fields):
    plain.stable_ready = False
    plain.want(NEXT)
    assert plain.state.phase is Phase.PROMOTING
    for name, value in fields.items():
        setattr(plain, name, value)
    return plain.want(LATER)


def test_a_promotion_that_carries_everything_may_be_turned_round_though_a_port_moves(plain):
    assert promoting(plain, moved=PAYMENTS).state.stable == LATER


def test_a_move_of_what_the_canary_does_not_carry_waits_for_the_end_of_the_promotion(plain):
    promoting(plain, moved=frozenset({"api"}), changed=frozenset({"api"}))
    assert (plain.state.stable, plain.at()) == (NEXT, (Phase.PROMOTING, 100))
    assert plain.message.endswith(f"{LATER} starts after that.")
    plain.acknowledged = True
    plain.see(stable_ready=True)
    plain.stable_ready = False
    plain.wait(1)
    assert plain.state.canary == LATER


def test_a_promotion_whose_canary_died_may_always_be_turned_round(plain):
    plain.stable_ready = False
    plain.want(NEXT).see(healthy=False, ready=False)
    assert (plain.state.phase, plain.state.live) == (Phase.PROMOTING, False)
    plain.moved = frozenset({"api"})
    assert plain.want(LATER).state.stable == LATER
