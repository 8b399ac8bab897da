"""Promotion, from a pinned 100 to the removal of the canary; and what may still turn it round."""

import pytest

from resilientslice.canary.state import Attempts, Phase

STABLE, NEXT, LATER = "shop-a", "shop-b", "shop-c"


@pytest.mark.parametrize("fields", [{"weight": 100}, {"promote": NEXT}], ids=["pinned 100", "promote"])
def test_100_promotes(scenario, fields):
    canary = scenario().see(stable_ready=False).want(NEXT, **fields)
    assert (canary.state.stable, canary.state.canary, canary.at()) == (NEXT, NEXT, (Phase.PROMOTING, 100))
    assert canary.reasons == ["CanaryStarted", "CanaryReady", "CanaryWeight", "Promoting"]


def test_100_is_revocable_until_the_stable_deployments_are_patched(scenario):
    canary = scenario().want(NEXT, weight=30)
    canary.edit(weight=100).once()
    assert (canary.state.stable, canary.state.weight) == (STABLE, 100)
    canary.see(acknowledged=False)
    assert "until then that can be revoked" in canary.message
    assert canary.want(weight=30).at() == (Phase.PROGRESSING, 30)
    assert canary.see(acknowledged=True).state.stable == STABLE


def test_promote_is_revocable_too_and_goes_back_to_its_step(scenario):
    canary = scenario(steps=[{"weight": 5}, {"weight": 25}]).want(NEXT)
    canary.edit(promote=NEXT).once()
    canary.see(acknowledged=False)
    assert canary.state.weight == 100
    assert (canary.want(promote="").at(), canary.state.step) == ((Phase.PROGRESSING, 5), 1)


@pytest.mark.parametrize("edit", [{"weight": 30}, {"abort": NEXT}, {"paused": True}], ids=str)
def test_then_it_is_final(scenario, edit):
    canary = scenario().see(stable_ready=False).want(NEXT, weight=100).want(**edit)
    assert (canary.state.stable, canary.at()) == (NEXT, (Phase.PROMOTING, 100))
    canary.see(stable_ready=True).wait(1)
    assert (canary.state.stable, canary.at()) == (NEXT, (Phase.IDLE, 0))


def test_promotion_waits_for_every_envoy_to_draw_100(scenario):
    canary = scenario().want(NEXT, weight=30).see(acknowledged=False).want(promote=NEXT)
    assert (canary.state.stable, canary.at()) == (STABLE, (Phase.PROGRESSING, 30))
    canary.acknowledged = True
    canary.once()
    canary.see(acknowledged=False)
    assert (canary.state.stable, canary.at()) == (STABLE, (Phase.PROGRESSING, 100))
    assert canary.see(acknowledged=True).state.stable == NEXT


def test_promotion_waits_for_all_replicas_of_the_canary(scenario):
    canary = scenario().want(NEXT, weight=30)
    canary.edit(weight=100).once()
    canary.see(ready=False)
    assert (canary.state.stable, canary.at()) == (STABLE, (Phase.PROGRESSING, 100))
    assert canary.see(ready=True).state.stable == NEXT


def test_promotion_updates_stable_while_the_canary_goes_on_serving_then_moves_back_then_drains(scenario):
    canary = scenario().see(stable_ready=False).want(NEXT, weight=100)
    canary.events.clear()
    assert "waits for payments 2/3 to be ready" in canary.message
    assert canary.wait(3600).at() == (Phase.PROMOTING, 100)
    canary.active = 7
    canary.see(stable_ready=True)
    assert (canary.at(), canary.state.live, canary.state.canary) == ((Phase.DRAINING, 0), False, NEXT)
    assert "waits for its last requests to end" in canary.message
    canary.see(active=0)
    assert canary.state.canary == NEXT, "requests routed just before must be counted first"
    canary.wait(1)
    assert (canary.at(), canary.state.canary, canary.state.services) == ((Phase.IDLE, 0), "", ())
    assert canary.reasons == ["Promoted", "CanaryRemoved"]


@pytest.mark.parametrize(("active", "seconds"), [(0, 1.0), (None, 5.0), (4, 30.0)], ids=["none", "unknown", "endless"])
def test_a_canary_is_removed_when_its_last_request_has_left(scenario, active, seconds):
    canary = scenario().see(stable_ready=False).want(NEXT, weight=100).see(active=active, stable_ready=True)
    assert canary.deadline == canary.now + seconds
    assert canary.wait(seconds - 0.1).state.phase is Phase.DRAINING
    assert canary.wait(0.1).state.phase is Phase.IDLE
    assert canary.deadline is None


def test_it_drains_only_once_every_envoy_sends_nothing_to_it(scenario):
    canary = scenario().see(stable_ready=False).want(NEXT, weight=100).see(acknowledged=False, stable_ready=True)
    canary.wait(3600)
    assert (canary.at(), canary.deadline) == ((Phase.DRAINING, 0), None)
    assert "waits until every Envoy has taken its traffic away" in canary.message
    assert canary.see(acknowledged=True).wait(1).state.phase is Phase.IDLE


@pytest.mark.parametrize(("active", "seconds"), [(0, 1.0), (None, 5.0), (4, 30.0)], ids=["none", "unknown", "endless"])
def test_an_envoy_that_comes_while_it_drains_is_waited_for_and_drained_in_full(scenario, active, seconds):
    canary = scenario().see(stable_ready=False).want(NEXT, weight=100).see(active=active, stable_ready=True)
    canary.wait(seconds - 0.1).see(acknowledged=False)
    assert (canary.wait(3600).state.phase, canary.deadline) == (Phase.DRAINING, None)
    canary.see(acknowledged=True)
    assert canary.deadline == canary.now + seconds, "what the newcomer routed counts from its acknowledgement"
    assert canary.wait(seconds - 0.1).state.phase is Phase.DRAINING
    assert canary.wait(0.1).state.phase is Phase.IDLE


def test_a_canary_that_dies_during_promotion_serves_again_once_it_is_back(scenario):
    canary = scenario().see(stable_ready=False).want(NEXT, weight=100).see(healthy=False)
    assert (canary.at(), canary.state.stable, canary.state.live) == ((Phase.PROMOTING, 0), NEXT, False)
    assert canary.see(healthy=True, acknowledged=False).at() == (Phase.PROMOTING, 0), "some Envoy may still route there"
    canary.see(hidden=("payments",), acknowledged=True)
    assert canary.at() == (Phase.PROMOTING, 0), "not every Envoy knows a host of it"
    canary.see(hidden=())
    assert (canary.at(), canary.state.live, canary.reasons[-1]) == ((Phase.PROMOTING, 100), True, "CanaryReady")
    assert canary.see(stable_ready=True).wait(1).at() == (Phase.IDLE, 0)


def test_a_canary_that_stays_dead_during_promotion_hands_over_early(scenario):
    canary = scenario().see(stable_ready=False).want(NEXT, weight=100).see(healthy=False)
    assert canary.see(stable_ready=True).wait(1).at() == (Phase.IDLE, 0)


def test_a_new_revision_waits_for_the_end_of_a_promotion(scenario):
    canary = scenario().see(stable_ready=False).want(NEXT, weight=100).want(LATER)
    assert (canary.state.stable, canary.at()) == (NEXT, (Phase.PROMOTING, 100))
    assert canary.message.endswith(f"{LATER} starts after that.")
    canary.see(stable_ready=True).wait(1)
    assert (canary.state.canary, canary.at()) == (LATER, (Phase.PAUSED, 0))


def test_a_formerly_stable_revision_turns_a_promotion_round(scenario):
    canary = scenario().see(stable_ready=False).want(NEXT, weight=100)
    canary.former = frozenset({STABLE})
    canary.want(STABLE)
    assert (canary.state.stable, canary.state.canary, canary.at()) == (STABLE, NEXT, (Phase.PROMOTING, 100))
    canary.see(stable_ready=True).wait(1)
    assert (canary.state.stable, canary.at()) == (STABLE, (Phase.IDLE, 0))


def test_a_plain_update_turns_a_promotion_round(scenario):
    canary = scenario().see(stable_ready=False).want(NEXT, weight=100).see(canary=None)
    canary.want(LATER)
    assert (canary.state.stable, canary.state.canary, canary.at()) == (LATER, NEXT, (Phase.PROMOTING, 100))


def test_an_aborted_revision_does_not_turn_a_promotion_round(scenario):
    canary = scenario().see(stable_ready=False).want(NEXT, weight=100)
    canary.former = frozenset({STABLE})
    canary.want(STABLE, abort=STABLE)
    assert canary.state.stable == NEXT


def test_returning_to_a_revision_that_was_stable_before_skips_holds_and_gates(scenario):
    canary = scenario(steps=[{"weight": 5, "hold": "1h"}]).see(stable_ready=False, budget=False)
    canary.former = frozenset({NEXT})
    canary.want(NEXT)
    assert (canary.state.stable, canary.at()) == (NEXT, (Phase.PROMOTING, 100))


def test_returning_still_waits_for_pods_and_envoys(scenario):
    canary = scenario().see(ready=False, acknowledged=False)
    canary.former = frozenset({NEXT})
    assert canary.want(NEXT).wait(10_000_000).at() == (Phase.STARTING, 0)
    assert canary.see(ready=True).at() == (Phase.PROGRESSING, 0)
    assert "is promoted once every Envoy draws 100" in canary.message
    assert canary.see(acknowledged=True).state.stable == NEXT


def test_a_weight_left_behind_does_not_hold_up_a_return(scenario):
    canary = scenario(weight=0)
    canary.want(NEXT, promote=NEXT).wait(1)
    canary.former = frozenset({STABLE})
    canary.want(STABLE).wait(1)
    assert (canary.state.stable, canary.at()) == (STABLE, (Phase.IDLE, 0))


def test_a_weight_that_once_promoted_a_revision_does_not_hold_up_its_return(scenario):
    canary = scenario().want(NEXT, weight=10).want(promote=NEXT).wait(1).want(LATER, promote=LATER).wait(1)
    assert canary.state.stable == LATER
    canary.former = frozenset({STABLE, NEXT})
    assert canary.want(NEXT).wait(1).state.stable == NEXT


@pytest.mark.parametrize(
    ("fields", "phase"), [({"weight": 10}, Phase.PROGRESSING), ({"paused": True}, Phase.PAUSED)], ids=str
)
def test_a_person_may_hold_a_return(scenario, fields, phase):
    canary = scenario()
    canary.former = frozenset({NEXT})
    assert canary.want(NEXT, **fields).state.phase is phase
    assert canary.state.stable == STABLE


def test_a_step_of_100_is_held_like_any_other(scenario):
    steps = [{"weight": 50, "hold": "1m"}, {"weight": 100, "hold": "1h"}]
    canary = scenario(steps=steps, analysis={"minRequests": 0}).see(attempts=Attempts(0, 0)).want(NEXT).wait(60)
    assert (canary.at(), canary.state.stable) == ((Phase.PROGRESSING, 100), STABLE)
    assert canary.wait(3599).state.stable == STABLE
    assert canary.wait(1).state.stable == NEXT


def test_paused_at_100_is_not_promoted(scenario):
    canary = scenario().want(NEXT, weight=30)
    canary.edit(weight=100).once()
    canary.edit(paused=True)
    assert canary.look().wait(3600).at() == (Phase.PAUSED, 100)
    assert canary.state.stable == STABLE
    assert canary.want(paused=False).state.stable == NEXT
