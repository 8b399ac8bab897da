"""What was read before is not read again, and that changes nothing but the time it takes."""

import json
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resilientslice.agent import parse, pieces, route_reading
from resilientslice.agent.messages import UnreadableError
from resilientslice.agent.parse import ConfigParser, MalformedError, parse_body
from resilientslice.agent.resources import Epoch, ResourceType, canonical_json

TYPE = "type.googleapis.com/envoy.config."
PREDICATE = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
ACTION = {
    "cluster": "a",
    "timeout": "0.800s",
    "retry_policy": {
        "num_retries": 2,
        "retry_host_predicate": [{"name": "previous", "typed_config": {"@type": PREDICATE}}],
    },
}


def cluster(name="a", seconds=1):
    return {"@type": f"{TYPE}cluster.v3.Cluster", "name": name, "connect_timeout": f"{seconds}s"}


def drawn(weight, **fields):
    share = {"default_value": {"numerator": weight, "denominator": "HUNDRED"}}
    return {"name": "drawn", "match": {"prefix": "/", "runtime_fraction": share}, "route": ACTION} | fields


def routes(*values, name="front", **fields):
    hosts = [{"name": "all", "domains": ["*"], "routes": list(values)}]
    return {"@type": f"{TYPE}route.v3.RouteConfiguration", "name": name, "virtual_hosts": hosts} | fields


def config(clusters=(), routes=()):
    return {"clusters": list(clusters), "endpoints": [], "listeners": [], "routes": list(routes)}


def body(text, epoch=1):
    """As the operator writes a push."""
    return f'{{"epoch":[1,{epoch}],"config":{text},"timeout_ms":2700}}'.encode()


def whole(data):
    """A push as it is read by an agent that knows nothing, and takes nothing apart."""
    asked = parse_body(data)
    with mock.patch.object(parse, "read_routes", return_value=None):
        return ConfigParser().parse(asked.epoch, asked.config)


ODD = [
    3,
    "",
    {},
    {"match": {"prefix": "/"}, "route": {"cluster": "a"}, "redirect": {"path_redirect": "/"}},
    {"directResponse": {"status": 204}, "match": {"prefix": "/"}},
    {"match": {"prefix": "/", "path": "/a"}, "route": {"cluster": "a"}},
    {"match": None, "route": None, "name": "none"},
    {"match": {"prefix": True}, "name": "no"},
    {"match": {"prefix": "/"}, "requestHeadersToAdd": [], "request_headers_to_add": []},
    {
        "match": {"prefix": "/"},
        "typed_per_filter_config": {"x": {"@type": PREDICATE}},
        "direct_response": {"status": 1},
    },
    {"match": {"prefix": "/"}, "typed_per_filter_config": {"x": {"@type": "type.googleapis.com/envoy.no.v3.No"}}},
]
values = st.one_of(
    st.integers(0, 4).map(drawn),
    st.integers(0, 2).map(lambda weight: drawn(weight, request_headers_to_remove=["x"])),
    st.sampled_from(ODD),
)
route_lists = st.lists(values, max_size=3).map(lambda found: routes(*found))
hosts = st.sampled_from([[], 3, [3], [{"name": "a", "routes": 3}], [{"name": "a"}], [{"name": "a", "nope": 1}]])
odd_hosts = st.tuples(hosts, st.sampled_from(["virtual_hosts", "virtualHosts"])).map(lambda h: routes(**{h[1]: h[0]}))
configs = st.builds(
    config,
    clusters=st.lists(st.builds(cluster, st.sampled_from("ab"), st.integers(1, 2)), max_size=2),
    routes=st.lists(st.one_of(route_lists, odd_hosts), max_size=2),
)
writings = st.sampled_from([canonical_json, canonical_json, canonical_json, json.dumps])


def read(attempt):
    """A configuration, or the words for why there is none."""
    try:
        return attempt()
    except (UnreadableError, MalformedError) as error:
        return str(error)


TWO_NAMES = config([], [routes(virtualHosts=[{"name": "a"}])])


@given(st.lists(st.tuples(configs, writings), max_size=6))
@example([(TWO_NAMES, canonical_json), (TWO_NAMES, json.dumps)])
@example([(TWO_NAMES, json.dumps), (TWO_NAMES, canonical_json)])
@settings(deadline=None)
def test_whatever_was_read_before_a_push_is_read_as_by_an_agent_that_knows_nothing(pushes):
    parser = ConfigParser()
    for epoch, (wanted, write) in enumerate(pushes, 1):
        data = body(write(wanted), epoch)
        found = read(lambda data=data: parser.parse_push(data)[1])
        expected = read(lambda data=data: whole(data))
        assert found == expected
        if not isinstance(found, str):
            assert (found.text, found.epoch) == (canonical_json(wanted), Epoch(1, epoch))


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_an_odd_route_is_read_as_a_whole_one(odd):
    parser = ConfigParser()
    for number, values in enumerate([(drawn(1),), (drawn(1), odd), (odd,), (drawn(2), odd)]):
        data = body(canonical_json(config([cluster()], [routes(*values)])), number)
        assert read(lambda data=data: parser.parse_push(data)[1]) == read(lambda data=data: whole(data))


@pytest.mark.parametrize("depth", range(30, 52))
def test_a_route_may_be_as_deep_as_in_a_whole_one(depth):
    deep = {}
    for _ in range(depth):
        deep = {"a": deep}
    data = body(canonical_json(config([], [routes(drawn(1, metadata={"filter_metadata": {"x": deep}}))])))
    assert read(lambda: ConfigParser().parse_push(data)[1]) == read(lambda: whole(data))


def test_a_change_of_weight_reads_that_route_and_of_it_the_match(monkeypatch):
    parser, other = ConfigParser(), drawn(1, name="other")
    read, decoded = [], []
    fill, read_at = route_reading.fill, pieces._read_at
    monkeypatch.setattr(route_reading, "fill", lambda m, found, *a, **k: (read.append(found), fill(m, found, *a, **k)))
    monkeypatch.setattr(pieces, "_read_at", lambda text, at: (decoded.append(at), read_at(text, at))[1])
    bare = {"name": "front", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": []}]}
    expected = [
        [bare, drawn(0), other, bare | {"name": "b"}, other],
        [bare, *({name: part} for name, part in sorted(drawn(1).items()))],
        [bare, {"match": drawn(2)["match"]}],
    ]
    for weight, wanted in enumerate(expected):
        read.clear(), decoded.clear()
        shape = config([cluster()], [routes(drawn(weight), other), routes(other, name="b")])
        parser.parse_push(body(canonical_json(shape), weight))
        assert read == wanted
        assert len(decoded) == (3 if weight == 0 else 1), "the cluster and the other routes are known by their text"


CANONICAL = canonical_json(config([cluster()], [routes(drawn(1))]))


@pytest.mark.parametrize(
    "text",
    [
        CANONICAL.replace(":", ": ", 1),
        CANONICAL.replace('"clusters":[', '"clusters":[,'),
        CANONICAL.replace('}],"endpoints"', '},],"endpoints"'),
        CANONICAL.replace('"1s"', '"\\u0031s"'),
        CANONICAL.replace('"name":"a"', '"name":"b","name":"a"'),
        CANONICAL.replace('"numerator":1', '"numerator":1.00'),
        CANONICAL.replace('"name":"drawn","route"', '"route"').replace('"0.800s"}}]', '"0.800s"},"name":"drawn"}]'),
        CANONICAL.replace('"endpoints":[],', ""),
        CANONICAL.replace('"endpoints":[]', '"endpoints":[}'),
        CANONICAL.replace('"endpoints":[]', '"endpoints":{}'),
        CANONICAL.replace('"endpoints":[]', '"endpoints":[],"clusters":[]'),
        CANONICAL + "}",
        CANONICAL[:-1],
        CANONICAL[:-9],
        "{}",
        "",
    ],
)
def test_what_is_not_written_as_the_operator_writes_is_not_taken_apart(text):
    known = {kind: [canonical_json(value) for value in values] for kind, values in config([cluster()]).items()}
    assert pieces.pieces_of(text, {ResourceType(kind): texts for kind, texts in known.items()}) is None


def test_a_known_text_is_found_wherever_the_value_is_the_same():
    known = {ResourceType.CLUSTERS: [canonical_json(cluster())]}
    found = pieces.pieces_of(canonical_json(config([cluster(), cluster("b")])), known)
    assert [piece.value for piece in found[ResourceType.CLUSTERS]] == [None, cluster("b")]


@pytest.mark.parametrize(
    "data",
    [
        b'{"epoch":[1,1],"config":{},"timeout_ms":1,"retry":true}',
        b'{"epoch": [1,1],"config":{},"timeout_ms":1}',
        b'{"epoch":[1,1],"config":{"a":"\xc3\xa4"},"timeout_ms":1}',
        b'{"epoch":[1,1],"config":[],"timeout_ms":1}',
    ],
)
def test_a_body_in_another_form_is_no_frame(data):
    assert pieces.framed(data) is None


def test_a_frame_keeps_what_has_to_be_checked():
    data = b'{"epoch":[01,1],"config":{"a":"},\\"timeout_ms\\":3}"},"timeout_ms":99999}'
    assert pieces.framed(data) == (b'{"epoch":[01,1],"config":{},"timeout_ms":99999}', '{"a":"},\\"timeout_ms\\":3}"}')
    for wrong in (b'{"epoch":[01,1],"config":%b,"timeout_ms":1}', b'{"epoch":[1,1],"config":%b,"timeout_ms":60001}'):
        with pytest.raises(MalformedError):
            ConfigParser().parse_push(wrong % CANONICAL.encode())
