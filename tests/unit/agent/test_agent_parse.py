"""What a push may hold, and the words for what it may not."""

import json

import pytest

from resilientslice.agent.messages import UnreadableError
from resilientslice.agent.parse import ConfigParser, MalformedError, parse_body
from resilientslice.agent.resources import Epoch, json_digest

TYPE = "type.googleapis.com/"
HCM = f"{TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def cluster(**fields):
    return {"name": "a", "type": "STATIC"} | fields


def listener(**manager):
    chain = {"filters": [{"name": "http", "typed_config": {"@type": HCM, "stat_prefix": "x"} | manager}]}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 80}}
    return {"name": "front", "address": address, "filter_chains": [chain]}


def route(name="front", **action):
    routes = [{"match": {"prefix": "/"}, "route": action}]
    return {"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}


def parse(**types):
    return ConfigParser().parse(Epoch(1, 1), types)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"config": {}}', '"epoch" must be [term, sequence]'),
        (b'{"epoch": [1], "config": {}}', '"epoch" must be'),
        (b'{"epoch": [1, -1], "config": {}}', '"epoch" must be'),
        (b'{"epoch": [1, true], "config": {}}', '"epoch" must be'),
        (b'{"epoch": [1, 1.0], "config": {}}', '"epoch" must be'),
        (b'{"epoch": [1, 9223372036854775808], "config": {}}', '"epoch" must be'),
        (b'{"epoch": [1, 1]}', '"config" must be an object'),
        (b'{"epoch": [1, 1], "config": {}, "timeout": 3}', "unknown field 'timeout'"),
        (b'{"epoch": [1, 1], "config": {}, "timeout_ms": 0}', '"timeout_ms" must be'),
        (b'{"epoch": [1, 1], "config": {}, "timeout_ms": 60001}', '"timeout_ms" must be'),
        (b'{"epoch": [1, 1], "config": {}, "retry": 1}', '"retry" must be'),
    ],
)
def test_a_malformed_body_is_told_what_is_wrong(body, words):
    with pytest.raises(MalformedError) as error:
        parse_body(body)
    assert words in str(error.value)


def test_a_body():
    body = parse_body(json.dumps({"epoch": [2, 3], "config": {"a": 1}, "timeout_ms": 60000, "retry": True}).encode())
    assert (body.epoch, body.config, body.timeout_ms, body.retry) == (Epoch(2, 3), {"a": 1}, 60000, True)
    assert parse_body(b'{"epoch": [0, 0], "config": {}}').timeout_ms is None


@pytest.mark.parametrize(
    ("types", "path", "words"),
    [
        ({"cluster": []}, "config.cluster", "unknown type; known are clusters, endpoints, listeners, routes"),
        ({"clusters": {}}, "config.clusters", "must be a list"),
        ({"clusters": [cluster(), 3]}, "config.clusters[1]", "must be an object"),
        ({"clusters": [{}]}, "config.clusters[0]", "has no name"),
        ({"clusters": [cluster(), cluster()]}, "config.clusters[1]", "a second resource with the name 'a'"),
        ({"clusters": [cluster(type="STATC")]}, "config.clusters[0]", "STATC"),
        ({"clusters": [cluster(connect_timeout=1)]}, "config.clusters[0]", "connect_timeout"),
        ({"clusters": [cluster(metadata=3)]}, "config.clusters[0]", "metadata"),
        ({"clusters": [cluster(name="\ud800")]}, "config.clusters[0]", "surrogate"),
        ({"clusters": [{"@type": HCM, "name": "a"}]}, "config.clusters[0].@type", "must be type.googleapis.com/envoy"),
        (
            {"clusters": [cluster(typed_extension_protocol_options={"x": {"@type": f"{TYPE}envoy.nope.v3.Nope"}})]},
            "config.clusters[0].typed_extension_protocol_options.x.@type",
            "unknown type 'envoy.nope.v3.Nope'",
        ),
        (
            {"clusters": [cluster(typed_extension_protocol_options={"x": {"@type": f"{TYPE}os.path.Nope"}})]},
            "config.clusters[0].typed_extension_protocol_options.x.@type",
            "unknown type 'os.path.Nope'",
        ),
        ({"clusters": [cluster(typed_extension_protocol_options={"x": {"@type": 3}})]}, "config.clusters[0]", ""),
        ({"clusters": [cluster(type="EDS")]}, "config.clusters[0]", "'a' asks for endpoints 'a'"),
        (
            {"listeners": [listener(rds={"route_config_name": "main"})]},
            "config.listeners[0]",
            "'front' asks for routes 'main', which config.routes lacks",
        ),
        (
            {"listeners": [listener(http_filtres=[])]},
            "config.listeners[0]",
            "http_filtres",
        ),
    ],
)
def test_an_unreadable_resource_is_named_by_its_place(types, path, words):
    with pytest.raises(UnreadableError) as error:
        parse(**types)
    assert error.value.path == path
    assert words in error.value.message
    assert "\n" not in error.value.message


def test_nesting_without_end_is_refused():
    deep = value = {}
    for _ in range(5000):
        value["a"] = value = {}
    with pytest.raises(UnreadableError, match="nested too deeply"):
        parse(clusters=[cluster(metadata={"filter_metadata": {"x": deep}})])


def test_what_resources_ask_for_use_and_bind():
    config = parse(
        clusters=[
            cluster(name="plain"),
            cluster(name="named", type="EDS"),
            cluster(name="other", type="EDS", eds_cluster_config={"service_name": "hosts"}),
        ],
        endpoints=[{"cluster_name": "named"}, {"cluster_name": "hosts"}],
        listeners=[
            listener(rds={"route_config_name": "main"})
            | {"additional_addresses": [{"address": {"pipe": {"path": "p"}}}]}
        ],
        routes=[
            route("main", cluster="plain", request_mirror_policies=[{"cluster": "named"}]),
            route("split", weighted_clusters={"clusters": [{"name": "other", "weight": 1}]}),
        ],
    )
    assert {name: sorted(made.asks) for name, made in config.clusters.items()} == {
        "plain": [],
        "named": ["named"],
        "other": ["hosts"],
    }
    assert config.listeners["front"].asks == {"main"}
    assert config.listeners["front"].addresses == {"0 80", "pipe p"}
    assert config.routes["main"].clusters == {"plain", "named"}
    assert config.routes["split"].clusters == {"other"}


def test_versions_follow_their_type_and_the_digest_everything():
    one = parse(clusters=[cluster()], routes=[route(cluster="a")])
    same = parse(routes=[dict(reversed(route(cluster="a").items()))], clusters=[cluster()])
    other = parse(clusters=[cluster()], routes=[route(cluster="b")])
    assert (one.digest, one.versions) == (same.digest, same.versions)
    assert one.digest != other.digest
    assert {kind for kind in one.versions if one.versions[kind] != other.versions[kind]} == {"routes"}


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"clusters": []},
        {
            "routes": [route(cluster="ä")],
            "clusters": [cluster(), cluster(name="other")],
            "endpoints": [],
            "listeners": [],
        },
    ],
    ids=["nothing", "an empty list", "some"],
)
def test_the_digest_is_that_of_the_whole_json(config):
    assert parse(**config).digest == json_digest(config)


def test_what_is_unchanged_is_not_read_again():
    parser = ConfigParser()
    first = parser.parse(Epoch(1, 1), {"clusters": [cluster(), cluster(name="b")]})
    second = parser.parse(Epoch(1, 2), {"clusters": [cluster(), cluster(name="b", type="STRICT_DNS")]})
    assert second.clusters["a"] is first.clusters["a"]
    assert second.clusters["b"] is not first.clusters["b"]
    assert second.clusters["b"].encoded != first.clusters["b"].encoded
