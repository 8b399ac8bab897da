"""Abort and revert: what ends a canary, what is remembered, and what tries again."""

import pytest

from resilientslice.canary.state import Event, Phase

STABLE, NEXT, LATER = "shop-a", "shop-b", "shop-c"


def test_abort_takes_the_traffic_away_at_once_then_drains_then_rests(scenario):
    canary = scenario().want(NEXT, weight=50).see(acknowledged=False, ready=False, active=2)
    canary.events.clear()
    canary.want(abort=NEXT)
    assert (canary.at(), canary.state.live, canary.state.canary) == ((Phase.DRAINING, 0), False, NEXT)
    assert "it was aborted" in canary.message
    assert canary.events == [
        Event(
            "CanaryAborted",
            f"{NEXT} aborted: asked for by spec.canary.abort; {STABLE} serves",
        )
    ]
    canary.see(acknowledged=True, active=0).wait(1)
    assert (canary.at(), canary.state.canary, canary.state.stable) == ((Phase.ABORTED, 0), "", STABLE)


@pytest.mark.parametrize("weight", [0, 1, 99, 100])
@pytest.mark.parametrize("ready", [True, False])
def test_abort_acts_in_the_same_step_at_any_weight_also_while_it_is_about_to_be_promoted(scenario, weight, ready):
    canary = scenario().want(NEXT, weight=50)
    canary.edit(weight=weight).once()
    assert (canary.state.weight, canary.state.stable) == (weight, STABLE)
    canary.ready = ready
    canary.edit(abort=NEXT).once()
    assert (canary.at(), canary.state.live, canary.state.stable) == ((Phase.DRAINING, 0), False, STABLE)
    assert canary.reasons[-1] == "CanaryAborted"


def test_aborted_is_a_resting_state(scenario):
    canary = scenario().want(NEXT, weight=50).want(abort=NEXT).wait(1)
    canary.events.clear()
    before = canary.state
    assert canary.wait(10_000_000).state == before
    assert canary.reasons == []
    assert canary.message == (
        f"{NEXT} was aborted: asked for by spec.canary.abort. {STABLE} serves. "
        "Change a service, or spec.restartedAt, to try again."
    )


@pytest.mark.parametrize(
    "fields", [{"abort": ""}, {"promote": NEXT, "abort": ""}, {"weight": 77, "abort": ""}], ids=str
)
def test_abort_is_remembered_per_revision(scenario, fields):
    canary = scenario().want(NEXT, weight=50).want(abort=NEXT).wait(1).want(**fields)
    assert (canary.at(), canary.state.stable) == ((Phase.ABORTED, 0), STABLE)


def test_abort_is_remembered_without_the_section_and_through_a_detour(scenario):
    canary = scenario().want(NEXT, weight=50).want(abort=NEXT).wait(1).want(STABLE)
    assert canary.state.phase is Phase.IDLE
    canary.events.clear()
    canary.canary = None
    assert canary.want(NEXT).at() == (Phase.ABORTED, 0)
    assert canary.reasons == ["CanaryAborted"]


def test_a_new_revision_tries_again(scenario):
    canary = scenario().want(NEXT, weight=50).want(abort=NEXT).wait(1).want(LATER, weight=10)
    assert (canary.state.canary, canary.at()) == (LATER, (Phase.PROGRESSING, 10))


def test_a_new_revision_in_the_edit_that_aborts_starts_after_the_old_one_is_gone(scenario):
    canary = scenario().want(NEXT, weight=50).want(LATER, abort=NEXT, weight=10)
    assert (canary.state.canary, canary.at()) == (NEXT, (Phase.DRAINING, 0))
    assert canary.state.abortion(NEXT)
    canary.wait(1)
    assert (canary.state.canary, canary.at()) == (LATER, (Phase.PROGRESSING, 10))


def test_abort_of_a_revision_that_is_not_there_yet_keeps_it_from_starting(scenario):
    canary = scenario(abort=NEXT).want(NEXT, weight=10)
    assert (canary.at(), canary.state.canary) == ((Phase.ABORTED, 0), "")
    assert canary.events == [
        Event(
            "CanaryAborted",
            f"{NEXT} is not tried: asked for by spec.canary.abort; {STABLE} serves",
        )
    ]


def test_abort_of_a_plain_change_of_portless_services_keeps_it_back(scenario):
    canary = scenario(abort=NEXT).see(changed=frozenset()).want(NEXT)
    assert (canary.state.stable, canary.state.phase) == (STABLE, Phase.ABORTED)


def test_abort_of_a_canary_that_nobody_could_reach_needs_no_draining(scenario):
    canary = scenario().see(ready=False, healthy=False, acknowledged=False).want(NEXT).want(abort=NEXT)
    assert (canary.at(), canary.state.canary) == ((Phase.ABORTED, 0), "")


def test_abort_of_the_stable_revision_does_nothing(scenario):
    canary = scenario().want(abort=STABLE)
    assert canary.at() == (Phase.IDLE, 0)
    assert canary.state.aborted == ()


def test_an_aborted_revision_after_another_rests_without_a_word(scenario):
    canary = scenario().want(NEXT, weight=50).want(abort=NEXT).wait(1)
    canary.want(LATER, abort=LATER)
    canary.events.clear()
    canary.want(NEXT)
    assert canary.reasons == []
    assert canary.message.startswith(f"{NEXT} was aborted")


def test_the_last_ten_abortions_are_remembered(scenario):
    canary = scenario()
    for number in range(12):
        canary.want(f"shop-{number}", abort=f"shop-{number}")
    assert [abortion.revision for abortion in canary.state.aborted] == [f"shop-{n}" for n in range(2, 12)]


def test_aborting_the_same_revision_again_is_remembered_once(scenario):
    canary = scenario().want(NEXT, abort=NEXT).want(LATER, abort=LATER).want(NEXT, abort=NEXT)
    assert [abortion.revision for abortion in canary.state.aborted] == [NEXT, LATER]


def test_image_reverted_to_stable_ends_the_canary(scenario):
    canary = scenario().want(NEXT, weight=50)
    canary.events.clear()
    canary.want(STABLE)
    assert (canary.at(), canary.state.canary) == ((Phase.DRAINING, 0), NEXT)
    assert f"{STABLE} is wanted again" in canary.message
    assert canary.events[-1].message == f"{NEXT} ends: the resource asks for the stable revision again"
    canary.wait(1)
    assert (canary.at(), canary.state.canary) == ((Phase.IDLE, 0), "")
    assert canary.reasons == ["CanaryEnded", "CanaryRemoved"]
    assert canary.state.aborted == (), "a revert is no verdict on the revision"


def test_a_revert_back_and_forth_waits_for_the_old_canary_to_be_gone(scenario):
    canary = scenario().want(NEXT, weight=50).see(active=1).want(STABLE).want(NEXT)
    assert (canary.at(), canary.state.canary) == ((Phase.DRAINING, 0), NEXT)
    canary.see(active=0).wait(1)
    assert (canary.at(), canary.state.canary) == ((Phase.PROGRESSING, 50), NEXT)
