"""A step ends and is idempotent whatever it is given: also states that no step makes, and signals that contradict."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from resilientslice.api.policies import Canary
from resilientslice.canary.machine import step
from resilientslice.canary.state import (
    Abortion,
    Attempts,
    CanaryReason,
    Decision,
    Phase,
    Pin,
    Signals,
    State,
    Traffic,
    Wanted,
)

NAMES = ("", "shop-a", "shop-b", "shop-c")
names = st.sampled_from(NAMES)
named = st.sampled_from(NAMES[1:])
weights = st.sampled_from([0, 5, 30, 100])
services = st.sampled_from([(), ("payments",), ("api", "payments")])
moments = st.sampled_from([0.0, 900.0, 1000.0])
attempts = st.one_of(
    st.none(), st.builds(Attempts, st.integers(0, 99), st.integers(0, 99), st.sampled_from([None, 5.0]))
)
pins = st.one_of(st.none(), st.builds(Pin, weights, names, st.booleans()))
sections = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {
            "weight": st.sampled_from([None, 0, 5, 30, 100]),
            "paused": st.booleans(),
            "promote": names,
            "abort": names,
            "steps": st.sampled_from(
                [
                    [],
                    [{"weight": 5, "hold": "0s"}],
                    [{"weight": 5, "hold": "0s"}, {"weight": 5, "hold": "0s"}, {"weight": 100, "hold": "1m"}],
                ]
            ),
            "analysis": st.sampled_from([{}, {"minRequests": 0, "deadline": "1m"}]),
        }
    ).map(lambda fields: Canary.model_validate_json(json.dumps(fields))),
)
states = st.builds(
    State,
    stable=named,
    canary=names,
    services=services,
    phase=st.sampled_from(Phase),
    reason=st.sampled_from(CanaryReason),
    weight=weights,
    live=st.booleans(),
    exposed=st.booleans(),
    step=st.integers(0, 5),
    observed=weights,
    since=moments,
    entered=moments,
    acked_at=st.one_of(st.none(), moments),
    baseline=attempts,
    pin=pins,
    aborted=st.lists(st.builds(Abortion, names, st.just("why")), max_size=2).map(tuple),
    settled=st.booleans(),
)
wishes = st.builds(
    Wanted,
    revision=named,
    changed=services.map(frozenset),
    canary=sections,
    former=st.frozensets(named),
    moved=services.map(frozenset),
)
sights = st.builds(
    Signals,
    canary_ready=names,
    canary_healthy=names,
    canary_pending=services,
    canary_unfound=services,
    stable_ready=names,
    stable_pending=services,
    settled=names,
    acked=st.one_of(st.none(), st.builds(Traffic, names, weights, live=st.booleans())),
    active=st.sampled_from([None, 0, 3]),
    attempts=attempts,
    budget=st.sampled_from([None, True, False]),
)


@settings(max_examples=1500, deadline=None)
@given(state=states, wanted=wishes, signals=sights)
def test_a_step_ends_and_a_second_one_changes_nothing(state, wanted, signals):
    made = step(state, wanted, signals, 1000.0)
    again = step(made.state, wanted, signals, 1000.0)
    assert again == Decision(made.state, made.message, (), made.next_deadline)


def test_a_canary_that_is_said_to_be_ready_and_to_have_no_ready_replica_is_not_live(scenario):
    canary = scenario().want("shop-b", weight=30)
    contradiction = Signals(canary_ready="shop-b", canary_healthy="", acked=canary.state.traffic)
    made = step(canary.state, canary.wanted(), contradiction, canary.now)
    assert (made.state.phase, made.state.live) == (Phase.STARTING, False)
    assert [event.reason for event in made.events] == ["CanaryUnhealthy"]
