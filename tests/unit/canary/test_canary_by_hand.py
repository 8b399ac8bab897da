"""The sentences of the design about a canary that is moved by hand, each as a test."""

import pytest

from resilientslice.canary.state import Event, Phase, Pin

STABLE, NEXT, LATER = "shop-a", "shop-b", "shop-c"


def test_changed_services_get_a_canary_in_lockstep(scenario):
    canary = scenario(weight=10).see(ready=False, healthy=False)
    canary.see(changed=frozenset({"payments", "api"})).want(NEXT, weight=20)
    assert (canary.state.canary, canary.state.services) == (NEXT, ("api", "payments"))
    assert canary.at() == (Phase.STARTING, 0)
    assert not canary.state.live


def test_added_services_start_before_weight_moves(scenario):
    canary = scenario().see(ready=False).want(NEXT, weight=50)
    assert canary.at() == (Phase.STARTING, 0)
    assert canary.see(ready=True).at() == (Phase.PROGRESSING, 50)


def test_a_ready_canary_is_live_once_every_envoy_has_found_it(scenario):
    canary = scenario().see(hidden=("payments",)).want(NEXT, weight=50)
    assert canary.at() == (Phase.STARTING, 0)
    assert not canary.state.live, "its header would reach an Envoy that knows no host"
    assert canary.message == f"{NEXT} starts; waits for every Envoy to find its pods: payments."
    canary.see(hidden=())
    assert canary.state.live
    assert canary.see(hidden=("payments",)).at() == (Phase.PROGRESSING, 50), "what serves is not taken away for it"


def test_what_is_said_first_is_that_pods_are_not_ready(scenario):
    canary = scenario().see(hidden=("payments",), ready=False, healthy=False).want(NEXT)
    assert canary.message == f"{NEXT} starts; waits for payments 1/3 to be ready."


def test_portless_services_update_at_promotion_at_once_if_nothing_else_changed(scenario):
    canary = scenario(weight=30).see(changed=frozenset())
    canary.want(NEXT)
    assert (canary.state.stable, canary.state.canary, canary.state.phase) == (NEXT, "", Phase.IDLE)
    assert canary.reasons == ["Updated"]


def test_no_canary_section_is_a_plain_rolling_update(scenario):
    canary = scenario().see(canary=None, stable_ready=False)
    canary.want(NEXT)
    assert (canary.state.stable, canary.state.canary, canary.at()) == (NEXT, "", (Phase.IDLE, 0))
    assert canary.reasons == ["Updated"]
    assert not canary.state.settled
    assert canary.see(stable_ready=True).state.settled


def test_section_removed_mid_canary_promotes_while_the_canary_serves(scenario):
    canary = scenario(weight=1).want(NEXT, weight=30)
    canary.stable_ready = False
    canary.see(canary=None)
    assert (canary.state.stable, canary.at()) == (NEXT, (Phase.PROMOTING, 30))
    canary.see(stable_ready=True).wait(5)
    assert (canary.state.canary, canary.at()) == ("", (Phase.IDLE, 0))


def test_section_removed_before_the_canary_was_ready_updates_at_once(scenario):
    canary = scenario().see(ready=False, healthy=False).want(NEXT)
    canary.see(canary=None)
    assert (canary.state.stable, canary.state.canary, canary.at()) == (NEXT, "", (Phase.IDLE, 0))
    assert canary.reasons[-1] == "Updated"


@pytest.mark.parametrize(
    ("fields", "phase", "weight"),
    [
        ({"abort": NEXT, "promote": NEXT, "paused": True, "weight": 31}, Phase.ABORTED, 0),
        ({"promote": NEXT, "paused": True, "weight": 31}, Phase.PROMOTING, 100),
        ({"paused": True, "weight": 31}, Phase.PAUSED, 30),
        ({"weight": 31}, Phase.PROGRESSING, 31),
        ({"weight": None}, Phase.PROGRESSING, 50),
    ],
    ids=["abort", "promote", "paused", "weight", "steps"],
)
def test_precedence_is_abort_promote_paused_weight_steps(scenario, fields, phase, weight):
    steps = [{"weight": 20}, {"weight": 50}]
    canary = scenario(steps=steps).want(NEXT, weight=30)
    assert canary.at() == (Phase.PROGRESSING, 30)
    canary.stable_ready = False
    canary.want(**fields).wait(5)
    assert canary.at() == (phase, weight)


@pytest.mark.parametrize("field", ["promote", "abort"])
def test_promote_and_abort_name_a_revision_so_a_stale_one_never_acts(scenario, field):
    canary = scenario(**{field: LATER}).want(NEXT, weight=30)
    assert canary.at() == (Phase.PROGRESSING, 30)


def test_on_the_first_apply_a_weight_is_reported_not_armed(scenario):
    canary = scenario(weight=100)
    assert canary.state.pin == Pin(100, STABLE, armed=False)
    assert canary.at() == (Phase.IDLE, 0)
    assert "Weight 100 is noted" in canary.message


@pytest.mark.parametrize("left", [1, 30, 100])
def test_a_weight_left_behind_never_ships_the_next_image(scenario, left):
    canary = scenario(weight=left).want(NEXT).wait(10_000_000)
    assert canary.at() == (Phase.PAUSED, 0)
    assert canary.state.reason == "StaleWeight"
    assert canary.state.live, "its header reaches it"
    assert canary.state.stable == STABLE
    assert canary.message.startswith(f"StaleWeight: spec.canary.weight {left} was set before {NEXT}")
    assert "Change the value" in canary.message
    assert f"spec.canary.promote: {NEXT}" in canary.message
    assert canary.events[-1] == Event("StaleWeight", f"{NEXT} waits at 0: the pinned weight was set before it")


def test_a_weight_of_0_ships_nothing_and_is_never_stale(scenario):
    canary = scenario(weight=0)
    assert canary.message == "No canary: weight 0 has no effect. The next revision starts at 0 as well."
    canary.want(NEXT).wait(10_000_000)
    assert canary.at() == (Phase.PROGRESSING, 0)
    assert (canary.state.reason, canary.state.live, canary.state.stable) == ("Pinned", True, STABLE)
    assert canary.message.startswith("Pinned at 0 by spec.canary.weight; change it")
    assert canary.reasons == ["CanaryStarted", "CanaryReady"]
    assert canary.want(weight=20).at() == (Phase.PROGRESSING, 20)


def test_0_waits_for_whatever_comes_next_too(scenario):
    canary = scenario().want(NEXT, weight=0).want(LATER).wait(5)
    assert (canary.state.canary, canary.at(), canary.state.reason) == (LATER, (Phase.PROGRESSING, 0), "Pinned")


def test_a_weight_that_was_changed_while_there_was_nothing_to_shift_is_left_behind_too(scenario):
    canary = scenario(weight=10).want(weight=100).want(NEXT)
    assert canary.at() == (Phase.PAUSED, 0)


def test_a_stale_weight_is_armed_by_changing_it(scenario):
    canary = scenario(weight=30).want(NEXT).want(weight=31)
    assert canary.state.pin == Pin(31, NEXT, armed=True)
    assert canary.at() == (Phase.PROGRESSING, 31)


def test_a_stale_weight_is_armed_by_removing_and_setting_it_again(scenario):
    canary = scenario(weight=30).want(NEXT).want(weight=None)
    assert canary.state.pin is None
    assert canary.want(weight=30).at() == (Phase.PROGRESSING, 30)


def test_a_stale_weight_is_passed_over_by_promote(scenario):
    canary = scenario(weight=30).want(NEXT).want(promote=NEXT)
    assert canary.state.stable == NEXT


def test_first_seen_together_they_belong_together(scenario):
    canary = scenario().want(NEXT, weight=30)
    assert canary.at() == (Phase.PROGRESSING, 30)


def test_a_new_image_and_a_changed_weight_in_one_edit_belong_together(scenario):
    canary = scenario(weight=10).want(NEXT, weight=20)
    assert canary.at() == (Phase.PROGRESSING, 20)
    canary.want(LATER, weight=5).wait(5)
    assert (canary.state.canary, canary.at()) == (LATER, (Phase.PROGRESSING, 5))


def test_the_weight_of_the_last_canary_does_not_act_on_the_one_that_replaces_it(scenario):
    canary = scenario().want(NEXT, weight=30).want(LATER).wait(5)
    assert (canary.state.canary, canary.at()) == (LATER, (Phase.PAUSED, 0))


def test_a_weight_acts_again_on_its_own_revision_after_a_detour(scenario):
    canary = scenario().want(NEXT, weight=30).want(STABLE).wait(5)
    assert canary.at() == (Phase.IDLE, 0)
    assert canary.want(NEXT).at() == (Phase.PROGRESSING, 30)


def test_0_keeps_the_canary_reachable_by_header_only(scenario):
    canary = scenario().want(NEXT, weight=30).want(weight=0)
    assert canary.at() == (Phase.PROGRESSING, 0)
    assert canary.state.traffic.live
    assert canary.message.startswith("Pinned at 0 by spec.canary.weight")


def test_removing_a_pin_resumes_at_the_first_step_above_the_observed_weight(scenario):
    steps = [{"weight": 5}, {"weight": 25}, {"weight": 50}]
    canary = scenario(steps=steps).want(NEXT, weight=25).want(weight=None)
    assert (canary.at(), canary.state.step) == ((Phase.PROGRESSING, 50), 3)


def test_removing_a_pin_counts_what_envoys_have_acknowledged_not_what_was_asked(scenario):
    steps = [{"weight": 5}, {"weight": 25}, {"weight": 50}]
    canary = scenario(steps=steps).want(NEXT, weight=20)
    canary.edit(weight=60).once()
    assert canary.state.weight == 60
    canary.acknowledged = False
    canary.want(weight=None)
    assert (canary.at(), canary.state.step) == ((Phase.PROGRESSING, 25), 2)


def test_removing_a_pin_above_every_step_stays_there_as_in_the_last_one(scenario):
    canary = scenario(steps=[{"weight": 5}, {"weight": 25}]).want(NEXT, weight=60).want(weight=None)
    assert (canary.at(), canary.state.step) == ((Phase.PROGRESSING, 60), 2)


def test_without_weight_and_steps_it_stays_where_it_is_and_says_so(scenario):
    canary = scenario().want(NEXT)
    assert canary.at() == (Phase.PAUSED, 0)
    assert "neither weight nor steps" in canary.message
    assert canary.reasons == ["CanaryStarted", "CanaryReady", "CanaryPaused"]
    canary.want(weight=30).want(weight=None)
    assert canary.at() == (Phase.PAUSED, 30)


def test_a_weight_nobody_asks_for_any_more_is_taken_back_if_it_never_arrived(scenario):
    canary = scenario().want(NEXT, weight=30)
    canary.edit(weight=60).once()
    canary.acknowledged = False
    assert canary.want(weight=None).at() == (Phase.PAUSED, 30)


def test_paused_holds_everything_until_it_is_set_to_false(scenario):
    canary = scenario().want(NEXT, weight=30, paused=True)
    assert canary.at() == (Phase.PAUSED, 0)
    assert "Paused at 0 by spec.canary.paused" in canary.message
    assert canary.want(weight=10).at() == (Phase.PAUSED, 0)
    assert canary.reasons[-1] == "CanaryPaused"
    assert canary.want(paused=False).at() == (Phase.PROGRESSING, 10)
    assert canary.reasons == ["CanaryWeight"]


def test_going_on_where_it_was_is_said_once(scenario):
    canary = scenario().want(NEXT, weight=30).want(paused=True)
    canary.events.clear()
    assert canary.want(paused=False).at() == (Phase.PROGRESSING, 30)
    assert canary.reasons == ["CanaryResumed"]


def test_weight_moves_only_after_every_envoy_has_acknowledged(scenario):
    canary = scenario().want(NEXT, weight=10).see(acknowledged=False)
    assert canary.want(weight=20).at() == (Phase.PROGRESSING, 10)
    assert "Stays at 10: waits for every Envoy to acknowledge" in canary.message
    assert canary.see(acknowledged=True).at() == (Phase.PROGRESSING, 20)
    assert "Stays at" not in canary.message


def test_weight_moves_only_while_the_target_has_all_its_hosts(scenario):
    canary = scenario().want(NEXT, weight=10).see(ready=False)
    assert canary.want(weight=20).at() == (Phase.PROGRESSING, 10)
    assert "Stays at 10: waits for payments 1/3 to be ready." in canary.message
    assert canary.see(ready=True).at() == (Phase.PROGRESSING, 20)


def test_less_weight_waits_for_nobody(scenario):
    canary = scenario().want(NEXT, weight=50).see(acknowledged=False, ready=False)
    assert canary.want(weight=10).at() == (Phase.PROGRESSING, 10)


def test_acknowledged_is_what_was_asked_last_not_what_was_asked_before(scenario):
    canary = scenario().want(NEXT, weight=10)
    canary.edit(weight=20).once()
    canary.acknowledged = False
    canary.edit(weight=30).once()
    assert canary.state.weight == 20
    assert canary.see(acknowledged=True).state.weight == 30


def test_a_canary_that_loses_its_hosts_loses_its_traffic_and_gets_it_back_when_ready(scenario):
    canary = scenario().want(NEXT, weight=50).see(healthy=False, ready=False)
    assert canary.at() == (Phase.STARTING, 0)
    assert not canary.state.live
    assert canary.events[-1] == Event(
        "CanaryUnhealthy",
        f"{NEXT} has no ready host (payments 1/3): all traffic goes to stable",
    )
    assert canary.see(healthy=True).at() == (Phase.STARTING, 0)
    assert canary.see(ready=True).at() == (Phase.PROGRESSING, 50)


def test_one_replica_fewer_takes_no_traffic_away(scenario):
    canary = scenario().want(NEXT, weight=50).see(ready=False)
    assert canary.at() == (Phase.PROGRESSING, 50)
    assert canary.state.live
    assert canary.message == (
        "Pinned at 50 by spec.canary.weight; change it, remove it to run the steps, or set "
        f"spec.canary.promote: {NEXT}."
    )


def test_a_new_revision_mid_canary_starts_from_0_after_the_old_one_is_drained(scenario):
    canary = scenario().want(NEXT, weight=30).see(active=3)
    canary.want(LATER)
    assert (canary.state.canary, canary.at()) == (NEXT, (Phase.DRAINING, 0))
    assert not canary.state.live
    assert f"{LATER} is wanted instead" in canary.message
    assert canary.events[-1] == Event("CanaryEnded", f"{NEXT} ends: {LATER} replaces it")
    canary.see(ready=False, active=0).wait(1)
    assert (canary.state.canary, canary.at()) == (LATER, (Phase.STARTING, 0))
    assert not canary.state.exposed


def test_a_new_revision_replaces_one_that_was_never_reachable_at_once(scenario):
    canary = scenario().see(ready=False, healthy=False).want(NEXT).want(LATER)
    assert (canary.state.canary, canary.state.phase) == (LATER, Phase.STARTING)


def test_every_transition_makes_one_event(scenario):
    canary = scenario().see(ready=False).want(NEXT, weight=30)
    assert canary.reasons == ["CanaryStarted"]
    assert canary.see(ready=True).reasons == ["CanaryReady", "CanaryWeight"]
    assert canary.want(weight=50).events == [Event("CanaryWeight", f"{NEXT}: weight 30 → 50 (Pinned)")]
    canary.events.clear()
    assert canary.wait(100).reasons == []


def test_since_is_when_the_phase_began(scenario):
    canary = scenario().see(ready=False).want(NEXT, weight=30)
    assert canary.state.since == 1000
    canary.now = 1005
    assert canary.see(ready=True).state.since == 1005
    canary.now = 1010
    assert canary.want(weight=40).state.since == 1005
