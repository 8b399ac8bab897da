"""Steps that run by themselves: their holds, their gates, and who is never gated."""

import pytest

from resilientslice.canary.state import Attempts, Phase

STABLE, NEXT = "shop-a", "shop-b"
STEPS = [{"weight": 5, "hold": "1m"}, {"weight": 25, "hold": "5m"}]
FREE = {"minRequests": 0}
GOOD = Attempts(good=1_000, bad=0)


@pytest.fixture
def stepping(scenario):
    """A canary in its first step, at second 1000, with figures of nobody's answers yet."""
    return scenario(steps=STEPS, analysis={"minRequests": 50}).see(attempts=Attempts(0, 0)).want(NEXT)


def test_steps_run_by_themselves_to_promotion(scenario):
    canary = scenario(steps=STEPS, analysis=FREE).see(attempts=GOOD, stable_ready=False).want(NEXT)
    assert (canary.at(), canary.state.step, canary.deadline) == ((Phase.PROGRESSING, 5), 1, 1060)
    assert canary.message == "Step 1 of 2, weight 5: holds for 1m."
    assert canary.wait(59).at() == (Phase.PROGRESSING, 5)
    assert (canary.wait(1).at(), canary.state.step, canary.deadline) == ((Phase.PROGRESSING, 25), 2, 1360)
    assert canary.wait(299).state.stable == STABLE
    assert (canary.wait(1).at(), canary.state.stable) == ((Phase.PROMOTING, 100), NEXT)
    assert canary.reasons == [
        "CanaryStarted",
        "CanaryReady",
        "CanaryWeight",
        "CanaryStep",
        "CanaryStep",
        "Promoting",
    ]


def test_a_hold_begins_when_every_envoy_draws_the_weight(scenario):
    canary = scenario(steps=STEPS, analysis=FREE).see(attempts=GOOD).want(NEXT)
    canary.now += 60
    canary.once()
    assert canary.state.weight == 25
    canary.see(acknowledged=False)
    assert "waits until every Envoy draws the weight" in canary.message
    canary.wait(1000)
    assert canary.see(acknowledged=True).deadline == canary.now + 300
    assert canary.wait(299).at() == (Phase.PROGRESSING, 25)


def test_the_next_step_waits_for_replicas_and_envoys(scenario):
    canary = scenario(steps=STEPS, analysis=FREE).see(attempts=GOOD).want(NEXT).see(ready=False)
    assert canary.wait(600).at() == (Phase.PROGRESSING, 5)
    assert canary.see(ready=True).at() == (Phase.PROGRESSING, 25)


def test_a_step_is_not_judged_before_it_has_answered_enough(stepping):
    stepping.see(attempts=Attempts(good=10, bad=39)).wait(600)
    assert stepping.at() == (Phase.PROGRESSING, 5)
    assert "waits for 50 answers of the canary; aborts after 30m without a verdict" in stepping.message
    assert stepping.see(attempts=Attempts(good=49, bad=1)).at() == (Phase.PROGRESSING, 25)


def test_too_many_errors_abort_before_the_hold_is_over(stepping):
    stepping.now += 1
    stepping.see(attempts=Attempts(good=48, bad=2))
    assert stepping.at() == (Phase.DRAINING, 0)
    stepping.wait(1)
    assert stepping.state.phase is Phase.ABORTED
    assert stepping.message.startswith(f"{NEXT} was aborted: at weight 5, more than 2% of its answers were errors.")


def test_errors_up_to_the_limit_pass(stepping):
    assert stepping.see(attempts=Attempts(good=98, bad=2)).wait(60).at() == (Phase.PROGRESSING, 25)


def test_only_answers_since_the_step_began_count(scenario):
    canary = scenario(steps=STEPS).see(attempts=Attempts(good=0, bad=500)).want(NEXT)
    canary.see(attempts=Attempts(good=100, bad=500)).wait(60)
    assert canary.at() == (Phase.PROGRESSING, 25)
    canary.see(attempts=Attempts(good=149, bad=500)).wait(300)
    assert canary.at() == (Phase.PROGRESSING, 25), "49 answers in this step"


@pytest.mark.parametrize("again", [Attempts(good=30, bad=500), Attempts(good=500, bad=499)], ids=str)
def test_counters_that_start_again_are_counted_from_there(scenario, again):
    canary = scenario(steps=STEPS).see(attempts=Attempts(good=500, bad=500)).want(NEXT).see(attempts=again).wait(60)
    canary.see(attempts=Attempts(good=again.good + 49, bad=again.bad))
    assert canary.at() == (Phase.PROGRESSING, 5)
    assert canary.see(attempts=Attempts(good=again.good + 50, bad=again.bad)).at() == (Phase.PROGRESSING, 25)


def test_figures_that_come_late_are_counted_from_when_they_come(scenario):
    canary = scenario(steps=STEPS).want(NEXT)
    assert "waits for figures of the canary's answers" in canary.message
    canary.see(attempts=Attempts(good=0, bad=900)).see(attempts=None)
    assert "waits for figures" in canary.message
    canary.see(attempts=Attempts(good=50, bad=900))
    assert canary.wait(60).at() == (Phase.PROGRESSING, 25)


@pytest.mark.parametrize(
    ("p99", "phase"), [(900.0, Phase.PROGRESSING), (900.1, Phase.DRAINING), (None, Phase.PROGRESSING)], ids=str
)
def test_latency_is_judged_if_it_is_bounded(scenario, p99, phase):
    canary = scenario(steps=STEPS, analysis={"maxP99": "900ms"}).see(attempts=Attempts(0, 0)).want(NEXT)
    canary.see(attempts=Attempts(good=50, bad=0, p99=p99))
    assert canary.state.phase is phase


def test_unknown_latency_is_no_verdict(scenario):
    canary = scenario(steps=STEPS, analysis={"maxP99": "900ms"}).see(attempts=Attempts(0, 0)).want(NEXT)
    canary.see(attempts=Attempts(good=50, bad=0)).wait(600)
    assert canary.at() == (Phase.PROGRESSING, 5)
    assert "99th percentile" in canary.message


def test_no_requests_have_no_latency(scenario):
    canary = scenario(steps=STEPS, analysis={**FREE, "maxP99": "900ms"}).see(attempts=Attempts(0, 0)).want(NEXT)
    assert canary.wait(60).at() == (Phase.PROGRESSING, 25)


def test_without_a_verdict_within_the_deadline_it_is_aborted(stepping):
    assert stepping.deadline == 1000 + 1800
    assert stepping.wait(1799).at() == (Phase.PROGRESSING, 5)
    stepping.wait(1).wait(1)
    assert stepping.state.phase is Phase.ABORTED
    cause = "no verdict within 30m (waits for 50 answers of the canary)"
    assert stepping.state.aborted[0].cause == cause


def test_automatic_steps_abort_a_canary_that_never_gets_ready(scenario):
    canary = scenario(steps=STEPS).see(ready=False).want(NEXT)
    assert canary.message == (
        f"{NEXT} starts; waits for payments 1/3 to be ready. Aborts if it is not ready within 30m."
    )
    assert canary.deadline == 2800
    assert canary.wait(1799).at() == (Phase.STARTING, 0)
    assert canary.wait(1).at() == (Phase.ABORTED, 0)


@pytest.mark.parametrize("fields", [{"weight": 30}, {"promote": NEXT}, {"paused": True}], ids=str)
def test_by_hand_a_canary_may_take_for_ever_to_get_ready(scenario, fields):
    canary = scenario(steps=STEPS).see(ready=False).want(NEXT, **fields)
    assert canary.wait(10_000_000).at() == (Phase.STARTING, 0)
    assert canary.deadline is None


def test_patience_starts_anew_when_steps_take_over(scenario):
    canary = scenario(steps=STEPS).see(ready=False).want(NEXT, weight=30).wait(5000).want(weight=None)
    assert canary.state.phase is Phase.STARTING
    assert canary.deadline == canary.now + 1800


def test_the_error_budget_holds_automatic_steps_without_aborting(scenario):
    canary = scenario(steps=STEPS).see(attempts=Attempts(0, 0), budget=False).want(NEXT)
    canary.see(attempts=GOOD).wait(10_000_000)
    assert canary.at() == (Phase.PROGRESSING, 5)
    assert "waits because the error budget is spent" in canary.message
    assert canary.see(budget=True).at() == (Phase.PROGRESSING, 25)


@pytest.mark.parametrize("fields", [{"weight": 100}, {"promote": NEXT}], ids=str)
def test_nothing_gates_a_pinned_100_or_promote(scenario, fields):
    canary = scenario(steps=STEPS).see(attempts=Attempts(0, 0), budget=False).want(NEXT)
    canary.edit(**fields)
    assert canary.see(attempts=Attempts(0, 1_000), stable_ready=False).state.stable == NEXT


def test_a_pinned_weight_is_not_judged(scenario):
    canary = scenario(steps=STEPS).want(NEXT, weight=30).see(attempts=Attempts(0, 1_000))
    assert canary.wait(10_000_000).at() == (Phase.PROGRESSING, 30)


def test_paused_holds_the_step_where_it_is_and_then_from_the_start(scenario):
    canary = scenario(steps=STEPS, analysis=FREE).see(attempts=GOOD).want(NEXT).wait(50).want(paused=True)
    assert canary.wait(600).at() == (Phase.PAUSED, 5)
    canary.want(paused=False)
    assert (canary.at(), canary.state.step, canary.deadline) == ((Phase.PROGRESSING, 5), 1, canary.now + 60)


def test_steps_may_be_edited_under_way(scenario):
    canary = (
        scenario(steps=STEPS, analysis=FREE)
        .see(attempts=GOOD)
        .want(NEXT)
        .want(steps=[{"weight": 10, "hold": "1m"}, {"weight": 25}])
    )
    assert (canary.at(), canary.state.step) == ((Phase.PROGRESSING, 10), 1)


def test_fewer_steps_than_were_held_stay_in_the_last_one(scenario):
    canary = scenario(steps=STEPS, analysis=FREE).see(attempts=GOOD).want(NEXT).wait(60)
    canary.want(steps=[{"weight": 5, "hold": "1h"}])
    assert (canary.at(), canary.state.step, canary.state.stable) == ((Phase.PROGRESSING, 25), 1, STABLE)
    assert canary.wait(3599).state.stable == STABLE
    assert canary.wait(1).state.stable == NEXT


def test_a_step_added_after_the_last_was_held_is_still_run(scenario):
    canary = scenario(steps=STEPS[:1], analysis=FREE).see(attempts=GOOD).want(NEXT)
    canary.now += 60
    canary.once()
    assert canary.state.weight == 100
    canary.acknowledged = False
    canary.want(steps=STEPS)
    assert (canary.state.stable, canary.at(), canary.state.step) == (STABLE, (Phase.PROGRESSING, 5), 1)


def test_after_the_last_hold_it_waits_for_every_envoy_then_promotes(scenario):
    canary = scenario(steps=STEPS[:1], analysis=FREE).see(attempts=GOOD, stable_ready=False).want(NEXT)
    canary.now += 60
    canary.once()
    canary.see(acknowledged=False)
    assert (canary.at(), canary.state.stable) == ((Phase.PROGRESSING, 100), STABLE)
    assert canary.deadline is None
    assert canary.see(acknowledged=True).state.stable == NEXT


def test_a_canary_that_lost_its_hosts_goes_through_the_steps_again(scenario):
    canary = scenario(steps=STEPS, analysis=FREE).see(attempts=GOOD).want(NEXT).wait(60)
    assert canary.at() == (Phase.PROGRESSING, 25)
    canary.see(healthy=False, acknowledged=False).see(healthy=True, acknowledged=True)
    assert (canary.at(), canary.state.step) == ((Phase.PROGRESSING, 5), 1)


def test_a_canary_that_lost_its_hosts_begins_its_steps_again(scenario):
    canary = scenario(steps=STEPS, analysis=FREE).see(attempts=GOOD).want(NEXT).wait(60)
    assert (canary.at(), canary.state.observed) == ((Phase.PROGRESSING, 25), 25)
    canary.healthy = canary.ready = canary.acknowledged = False
    canary.look()
    assert (canary.state.observed, canary.state.step) == (0, 0), "nobody is told that anything is drawn"
    canary.see(acknowledged=True).see(healthy=True, ready=True)
    assert (canary.at(), canary.state.step) == ((Phase.PROGRESSING, 5), 1)
