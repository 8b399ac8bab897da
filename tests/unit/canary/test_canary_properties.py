"""What holds for any sequence of edits and observations. `Scenario.once` checks, after every step, that it was
idempotent, that only a ready canary gained traffic, and that none was removed before it was drained."""

from hypothesis import given, settings
from hypothesis import strategies as st

from resilientslice.canary.state import Attempts, Phase

REVISIONS = ("shop-a", "shop-b", "shop-c", "shop-d")
revisions = st.sampled_from(REVISIONS)
booleans = st.booleans()

edits = st.one_of(
    st.fixed_dictionaries({"weight": st.sampled_from([None, 0, 30, 100])}),
    st.fixed_dictionaries({"paused": booleans}),
    st.fixed_dictionaries({"promote": st.sampled_from(["", *REVISIONS])}),
    st.fixed_dictionaries({"abort": st.sampled_from(["", *REVISIONS])}),
    st.fixed_dictionaries(
        {
            "steps": st.sampled_from(
                [[], [{"weight": 5}], [{"weight": 5}, {"weight": 50, "hold": "5m"}, {"weight": 100}]]
            )
        }
    ),
    st.fixed_dictionaries({"analysis": st.sampled_from([{}, {"minRequests": 0, "maxP99": "1s", "deadline": "2m"}])}),
)
counts = st.builds(
    Attempts, good=st.integers(0, 100), bad=st.integers(0, 5), p99=st.sampled_from([None, 10.0, 2_000.0])
)
sights = st.one_of(
    st.fixed_dictionaries({"ready": booleans, "healthy": booleans}),
    st.fixed_dictionaries({"stable_ready": booleans}),
    st.fixed_dictionaries({"acknowledged": booleans}),
    st.fixed_dictionaries({"hidden": st.sampled_from([(), ("payments",)])}),
    st.fixed_dictionaries({"active": st.sampled_from([None, 0, 3])}),
    st.fixed_dictionaries({"attempts": st.one_of(st.none(), counts)}),
    st.fixed_dictionaries({"budget": st.sampled_from([None, True, False])}),
    st.fixed_dictionaries({"changed": st.sampled_from([frozenset(), frozenset({"api"}), frozenset({"api", "b"})])}),
    st.fixed_dictionaries({"former": st.frozensets(revisions)}),
)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("revision"), revisions),
        st.tuples(st.just("edit"), edits),
        st.tuples(st.just("section"), booleans),
        st.tuples(st.just("see"), sights),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 1.0, 60.0, 3600.0])),
        st.tuples(st.just("look"), st.none()),
    ),
    max_size=25,
)


def act(canary, action):
    kind, value = action
    if kind == "revision":
        canary.edit(value)
    elif kind == "edit":
        canary.edit(**value)
    elif kind == "section":
        canary.canary = (canary.canary or canary.edit(paused=False).canary) if value else None
    elif kind == "see":
        for name, seen in value.items():
            setattr(canary, name, seen)
        canary.healthy = canary.healthy or canary.ready
    elif kind == "wait":
        canary.now += value
    else:
        canary.look()
    canary.once()


def good_world(canary):
    """Pods start, Envoys answer, requests succeed; nobody holds anything back."""
    canary.edit(paused=False)
    canary.ready = canary.healthy = canary.stable_ready = canary.acknowledged = True
    canary.hidden, canary.active, canary.budget = (), 0, True
    canary.attempts = Attempts(0, 0, 1.0)


def until_rest(canary):
    """Follow the deadlines, with good answers all the while, as long as there are any."""
    for _ in range(60):
        canary.look()
        canary.attempts = Attempts(canary.attempts.good + 1_000, canary.attempts.bad, 1.0)
        canary.look()
        if canary.deadline is None:
            return
        canary.now = canary.deadline
    raise AssertionError(f"never comes to rest: {canary.state} {canary.message}")


@settings(max_examples=100, deadline=None)
@given(script=actions)
def test_any_sequence_keeps_what_must_hold_and_is_idempotent(scenario, script):
    canary = scenario()
    for action in script:
        act(canary, action)
        assert canary.state.phase is Phase.IDLE or canary.message, "says nothing"
        assert bool(canary.state.canary) == bool(canary.state.services)


@settings(max_examples=100, deadline=None)
@given(script=actions)
def test_it_always_comes_to_rest_when_signals_turn_good(scenario, script):
    canary = scenario()
    for action in script:
        act(canary, action)
    good_world(canary)
    until_rest(canary)
    state, wanted = canary.state, canary.revision
    if wanted == state.stable:
        assert (state.phase, state.canary) == (Phase.IDLE, "")
    elif state.phase is Phase.ABORTED:
        assert state.abortion(wanted)
        assert state.canary == ""
    else:
        assert state.canary == wanted
        assert state.phase in {Phase.PAUSED, Phase.PROGRESSING}
        assert not state.abortion(wanted)
        assert canary.canary.promote != wanted
        assert state.pin or not canary.canary.steps, "only a person, or no steps, keeps a canary waiting"
    before = list(canary.events)
    canary.now += 1e9
    assert canary.look().state == state, "rest is rest"
    assert canary.events == before


@settings(max_examples=100, deadline=None)
@given(script=actions, revision=st.sampled_from(REVISIONS[1:]))
def test_abort_always_wins(scenario, script, revision):
    canary = scenario()
    for action in script:
        act(canary, action)
    if revision == canary.state.stable:
        return
    canary.edit(revision, abort=revision).once()
    final = canary.state.phase is Phase.PROMOTING
    assert final or canary.state.traffic.weight == 0
    assert canary.state.stable != revision
    stable = canary.state.stable
    canary.edit(promote=revision, weight=100)
    good_world(canary)
    until_rest(canary)
    assert (canary.state.phase, canary.state.canary) == (Phase.ABORTED, "")
    assert canary.state.stable == stable


@settings(max_examples=100, deadline=None)
@given(
    weight=st.integers(0, 100),
    before=st.sampled_from(["shop-a", "shop-b"]),
    looks=st.lists(st.sampled_from([1.0, 3600.0]), max_size=4),
)
def test_a_leftover_weight_never_ships(scenario, weight, before, looks):
    canary = scenario(weight=weight)
    if before == "shop-b":
        canary.want("shop-b", promote="shop-b").wait(1).wait(5)
    stable = canary.state.stable
    assert stable == before
    canary.want("shop-c")
    for seconds in looks:
        canary.wait(seconds)
    phase = Phase.PAUSED if weight else Phase.PROGRESSING
    assert (canary.state.stable, canary.state.traffic.weight, canary.state.phase) == (stable, 0, phase)


@settings(max_examples=100, deadline=None)
@given(script=actions)
def test_time_alone_changes_nothing_before_the_deadline(scenario, script):
    canary = scenario()
    for action in script:
        act(canary, action)
    canary.look()
    state = canary.state
    canary.now = canary.now + 1e6 if canary.deadline is None else (canary.now + canary.deadline) / 2
    assert not canary.once(), (state, canary.state)
