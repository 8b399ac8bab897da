"""Whatever an agent answers, however well it is signed: it is understood as a whole, or it isn't, and nothing else."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resilientslice.agent import answers
from resilientslice.agent.answers import NotUnderstoodError, object_of, push_result_of, snapshot_of
from resilientslice.agent.words import MOST_WORDS, words
from resilientslice.envoys.merge import Member, polled, pushed, view_of, weighed
from resilientslice.envoys.reports import AgentPod
from resilientslice.envoys.wire import outcome_of

DIGEST = "a" * 64
SNAPSHOT = {
    "digest": DIGEST,
    "epoch": [1, 2],
    "acked": DIGEST,
    "rejected": None,
    "durable": True,
    "durable_reason": "",
    "envoy": {"connected": 1, "version": "1.40.0", "uptime": 3, "live": True, "error": ""},
    "counters": {
        "clusters": {"api-canary": {"hosts_rq_success": 3, "hosts_rq_active": 1, "membership_total": 1}},
        "http": {"front": {"downstream_rq_2xx": 3}},
        "ratelimit": {},
    },
    "ejected": [{"cluster": "api-stable", "host": "10.0.0.7:8080"}],
    "p99": {"api-canary": 12.5},
}
PUSHED = {"digest": DIGEST, "accepted": True, "versions": {"clusters": "1"}, "durable": True}
LONG = 1 << 53


def changed(path, value):
    """The snapshot with something else at a place."""
    made = copy.deepcopy(SNAPSHOT)
    *above, last = path.split(".")
    place = made
    for name in above:
        place = place[int(name) if isinstance(place, list) else name]
    place[last] = value
    return made


def test_a_snapshot_is_read():
    found = snapshot_of(object_of(json.dumps(SNAPSHOT).encode()))
    assert (found.digest, found.epoch, found.acked, found.rejected) == (DIGEST, (1, 2), DIGEST, None)
    assert found.clusters["api-canary"]["hosts_rq_success"] == 3
    assert [(one.cluster, one.host) for one in found.ejected] == [("api-stable", "10.0.0.7:8080")]
    assert found.p99 == {"api-canary": 12.5}


@pytest.mark.parametrize(
    "host", ["10.0.0.7:80", "fd00::7:8080", "[fd00::7]:8080", "host.example.org:80", "/run/x.sock"]
)
def test_hosts_have_an_address_and_a_port(host):
    assert snapshot_of(changed("ejected", [{"cluster": "a-stable", "host": host}])).ejected[0].host == host


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("digest", 7, "digest"),
        ("digest", "A" * 64, "digest"),
        ("digest", "a" * 63, "digest"),
        ("acked", None, "acked"),
        ("epoch", [1], "epoch"),
        ("epoch", [1, True], "epoch"),
        ("epoch", [1, -1], "epoch"),
        ("epoch", [1, LONG], "epoch"),
        ("epoch", [1.0, 1], "epoch"),
        ("rejected", "no", "rejected"),
        ("rejected", {"digest": DIGEST, "type": "routes"}, "rejected.message"),
        ("durable", 1, "durable"),
        ("envoy", [], "envoy"),
        ("envoy.connected", "1", "envoy.connected"),
        ("envoy.connected", True, "envoy.connected"),
        ("envoy.connected", 5000, "envoy.connected"),
        ("envoy.error", None, "envoy.error"),
        ("counters", None, "counters"),
        ("counters.clusters", ["api-canary"], "counters.clusters"),
        ("counters.clusters.api-canary", 3, "counters.clusters"),
        ("counters.clusters.api-canary.hosts_rq_success", "3", "counters.clusters"),
        ("counters.clusters.api-canary.hosts_rq_success", True, "counters.clusters"),
        ("counters.clusters.api-canary.hosts_rq_success", -1, "counters.clusters"),
        ("counters.clusters.api-canary.hosts_rq_success", 1.5, "counters.clusters"),
        ("counters.clusters.api-canary.hosts_rq_success", LONG, "counters.clusters"),
        ("counters.clusters.api\x1b[2J", {}, "counters.clusters"),
        ("counters.clusters", {f"c{number}": {} for number in range(1025)}, "counters.clusters"),
        ("counters.http.front", {f"c{number}": 1 for number in range(65)}, "counters.http"),
        ("ejected", {}, "ejected"),
        ("ejected", [{"cluster": "a-stable", "host": "10.0.0.7:80"}] * 4097, "ejected"),
        ("ejected", [{"cluster": "a-stable", "host": "\x1b]0;title\x07:80"}], "ejected.host"),
        ("ejected", ["10.0.0.7:80"], "ejected"),
        ("p99", [], "p99"),
        ("p99.api-canary", -1.0, "p99"),
        ("p99.api-canary", True, "p99"),
        ("p99.api-canary", "12", "p99"),
    ],
)
def test_what_does_not_fit_is_named_by_its_field(path, value, field):
    with pytest.raises(NotUnderstoodError, match=rf"^{field} "):
        snapshot_of(changed(path, value))


@pytest.mark.parametrize("name", sorted(SNAPSHOT.keys() - {"p99"} - {"rejected"}))
def test_nothing_may_be_missing(name):
    with pytest.raises(NotUnderstoodError):
        snapshot_of({key: value for key, value in SNAPSHOT.items() if key != name})


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not an object"),
        (b"null", "not an object"),
        (b'{"a": 1, "a": 2}', "names a field twice"),
        (b'{"a": {"b": [], "b": 1}}', "names a field twice"),
        (b'{"a": NaN}', "not finite"),
        (b'{"a": -Infinity}', "not finite"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"a": ' + b"[" * 17 + b"]" * 17 + b"}", "nested deeper"),
        (b"[" * 100_000, "more than 20000"),
        (b'{"a": ' + b"[" * 15_000, "nested deeper"),
        (b'{"a": [' + b"{}," * 20_000 + b"{}]}", "more than 20000"),
        (b'"' + b'\\"' * 200_000, "not JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value[:12]!r}",
)
def test_a_body_is_one_object_of_bounded_size(body, why):
    with pytest.raises(NotUnderstoodError, match=why):
        object_of(body)


def test_brackets_in_texts_are_no_depth():
    assert object_of(b'{"a": "' + b"[" * 100 + b'", "b": "\\"[[[["}')["a"] == "[" * 100


def test_a_number_beyond_floating_point_is_no_time():
    with pytest.raises(NotUnderstoodError, match=r"^p99 "):
        snapshot_of(object_of(json.dumps(SNAPSHOT).replace("12.5", "1e999").encode()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\r\nlines\tof it", "two lines of it"),
        ("\x1b[31mred\x1b[0m\x07", "[31mred [0m"),
        ("abc\u202egnp.exe", "abc gnp.exe"),
        ("\ud800half", "half"),
        ("x" * 5000, "x" * (MOST_WORDS - 1) + "…"),
        ("\x1b" * 100_000, "…"),
        ("größer ≥ 3 ✓", "größer ≥ 3 ✓"),
    ],
)
def test_words_of_others_do_nothing_but_read(text, shown):
    assert words(text) == shown
    assert words(text).encode()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from([DIGEST, "api-canary", "1" * 400, "\x1b[2J", "\ud800"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def places(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield from places(one, (*path, name))


def replaced(value, path, other):
    if not path:
        return other
    made = copy.copy(value)
    made[path[0]] = replaced(value[path[0]], path[1:], other)
    return made


@st.composite
def nearly(draw, real):
    """Something an agent says, with some of it replaced, so that it gets far."""
    made = copy.deepcopy(real)
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(list(places(made))))
        made = replaced(made, path, draw(JSON))
    return made


def read(value):
    """As it comes: as bytes."""
    return object_of(json.dumps(value).encode())


def understood(reading):
    """None when it isn't, and that is said in a short and harmless text."""
    said = ""
    try:
        return reading()
    except NotUnderstoodError as error:
        said = str(error)
    assert said.isprintable()
    assert len(said) <= answers.MOST_ERROR
    return None


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(nearly(SNAPSHOT) | JSON, st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_no_snapshot_raises_past_the_edge(value, sent):
    snapshot = understood(lambda: snapshot_of(read(value)))
    if snapshot is None:
        return
    member = Member(AgentPod("pod", "uid", "10.0.0.1:9903", ready=True))
    for _ in range(2):
        member = weighed(polled(member, snapshot, 1.0, 0), sent)
    view = view_of([member], canary=["api"])
    assert view.envoys.attempts is None or (view.envoys.attempts.good >= 0 <= view.envoys.attempts.bad)
    assert all(type(count) is int and 0 <= count < LONG for c in snapshot.clusters.values() for count in c.values())
    assert repr(view).isprintable()
    assert repr(view).encode()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    nearly(PUSHED)
    | nearly({"error": "stale", "held": [1, 2], "held_digest": DIGEST})
    | nearly({"accepted": False, "type": "routes", "message": "no", "path": "", "serving": DIGEST})
    | JSON,
    st.sampled_from([200, 201, 400, 401, 409, 413, 422, 500, 504]) | st.integers(200, 599),
)
def test_no_answer_to_a_push_raises_past_the_edge(value, status):
    outcome = understood(lambda: outcome_of(status, read(value), DIGEST))
    if outcome is None:
        return
    member = weighed(pushed(Member(AgentPod("p", "u", "a:1", ready=True)), DIGEST, (1, 1), outcome), (1, 1))
    assert repr(member).isprintable()
    assert view_of([member]).envoys.proxies.total == 1


@pytest.mark.parametrize("accepted", [None, 0, 1, "true", [], {}])
def test_a_verdict_is_true_or_false(accepted):
    with pytest.raises(NotUnderstoodError, match=r"^accepted "):
        push_result_of({**PUSHED, "accepted": accepted})
