"""Bootstraps, and that protocol buffers' own JSON reader takes every resource of every sample."""

import importlib
import json
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from google.protobuf import any_pb2, json_format

from resilientslice.render.envoy.bootstrap import render_bootstrap, render_static_bootstrap

SAMPLES = sorted(Path(__file__).parents[3].joinpath("samples").glob("*.yaml"))
MODULES = (
    "envoy.config.cluster.v3.cluster_pb2",
    "envoy.config.endpoint.v3.endpoint_pb2",
    "envoy.config.listener.v3.listener_pb2",
    "envoy.config.route.v3.route_pb2",
    "envoy.config.bootstrap.v3.bootstrap_pb2",
    "envoy.extensions.access_loggers.file.v3.file_pb2",
    "envoy.extensions.access_loggers.stream.v3.stream_pb2",
    "envoy.extensions.clusters.aggregate.v3.cluster_pb2",
    "envoy.extensions.clusters.dns.v3.dns_cluster_pb2",
    "envoy.extensions.filters.http.local_ratelimit.v3.local_rate_limit_pb2",
    "envoy.extensions.filters.http.router.v3.router_pb2",
    "envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2",
    "envoy.extensions.http.early_header_mutation.header_mutation.v3.header_mutation_pb2",
    "envoy.extensions.network.dns_resolver.cares.v3.cares_dns_resolver_pb2",
    "envoy.extensions.resource_monitors.downstream_connections.v3.downstream_connections_pb2",
    "envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2",
    "envoy.extensions.retry.priority.previous_priorities.v3.previous_priorities_config_pb2",
    "envoy.extensions.upstreams.http.v3.http_protocol_options_pb2",
)


@pytest.fixture(scope="module", autouse=True)
def known_types():
    for module in MODULES:
        importlib.import_module(module)


def sample(kit, path, **changes):
    body = yaml.safe_load(path.read_text())
    return kit.slice(body["spec"]["services"], **{k: v for k, v in body["spec"].items() if k != "services"} | changes)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("canary", [False, True])
@pytest.mark.parametrize("dns", [False, True])
def test_every_resource_of_every_sample_is_readable(kit, path, canary, dns):
    slice_ = sample(kit, path, front={"trustedProxies": ["10.0.0.0/8"]})
    names = {service.name for service in slice_.spec.services} if canary else None
    rendered = kit.render(slice_, canary=names, weight=5, discovery=kit.dns("prod") if dns else None)
    resources = [resource for kind in rendered.config.to_json().values() for resource in kind]
    assert resources
    for resource in resources:
        # ParseDict takes `@type` out of what it reads and puts it back at the end
        assert json_format.ParseDict(deepcopy(resource), any_pb2.Any()).type_url == resource["@type"]
    bootstrap = importlib.import_module("envoy.config.bootstrap.v3.bootstrap_pb2").Bootstrap
    for body in (render_bootstrap(rendered.topology), render_static_bootstrap(rendered.config, rendered.topology)):
        json_format.ParseDict(deepcopy(body), bootstrap())


def test_everything_comes_from_the_agents_socket(kit, shop):
    topology = kit.topology(shop, ads_path="/x/ads.sock", admin_path="/x/admin.sock", node={"id": "n", "cluster": "c"})
    bootstrap = render_bootstrap(topology)
    clusters = {cluster["name"]: cluster for cluster in bootstrap["static_resources"]["clusters"]}
    (hosts,) = clusters["ads"]["load_assignment"]["endpoints"]
    assert hosts["lb_endpoints"] == [{"endpoint": {"address": {"pipe": {"path": "/x/ads.sock"}}}}]
    assert bootstrap["dynamic_resources"]["cds_config"] == {"ads": {}, "resource_api_version": "V3"}
    assert bootstrap["dynamic_resources"]["lds_config"] == {"ads": {}, "resource_api_version": "V3"}
    (service,) = bootstrap["dynamic_resources"]["ads_config"]["grpc_services"]
    assert service == {"envoy_grpc": {"cluster_name": "ads"}}
    assert bootstrap["node"] == {"id": "n", "cluster": "c"}
    assert bootstrap["admin"] == {"address": {"pipe": {"path": "/x/admin.sock", "mode": 0o600}}}


def test_the_admin_interface_stays_on_this_machine(kit, shop):
    bootstrap = render_bootstrap(kit.topology(shop))
    local = {"socket_address": {"address": "127.0.0.1", "port_value": 9901}}
    assert bootstrap["admin"] == {"address": local}
    (stats,) = bootstrap["static_resources"]["listeners"]
    (chain,) = stats["filter_chains"]
    (host,) = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    (route,) = host["routes"]
    assert route["match"] == {
        "path": "/stats/prometheus",
        "headers": [{"name": ":method", "string_match": {"exact": "GET"}}],
    }


def test_the_static_bootstrap_holds_all(kit, shop):
    hosts = {("payments", kit.track.STABLE): (kit.address("127.0.0.1", 5),)}
    rendered = kit.render(shop, discovery=kit.fixed(hosts))
    bootstrap = render_static_bootstrap(rendered.config, rendered.topology)
    assert "dynamic_resources" not in bootstrap
    clusters = {cluster["name"]: cluster for cluster in bootstrap["static_resources"]["clusters"]}
    assert set(clusters) == {c["name"] for c in rendered.config.clusters} | {"admin"}
    assert clusters["payments-stable"]["type"] == "STATIC"
    assert clusters["payments-stable"]["load_assignment"]["cluster_name"] == "payments-stable"
    assert len(clusters["payments-stable"]["load_assignment"]["endpoints"]) == 1
    assert clusters["payments-canary"]["load_assignment"]["endpoints"] == []
    text = json.dumps(bootstrap["static_resources"])
    assert '"ads"' not in text
    assert '"rds"' not in text
    assert '"@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"' not in text


def test_trusted_chains_are_inlined_too(kit):
    slice_ = kit.slice([kit.service("web")], front={"trustedProxies": ["10.0.0.0/8"]})
    rendered = kit.render(slice_)
    bootstrap = render_static_bootstrap(rendered.config, rendered.topology)
    front = next(x for x in bootstrap["static_resources"]["listeners"] if x["name"] == "front")
    for chain in (*front["filter_chains"], front["default_filter_chain"]):
        assert chain["filters"][0]["typed_config"]["route_config"]["name"] == "front"
    assert front["filter_chains"][0]["filter_chain_match"]


def test_latency_buckets_are_fine_around_usual_objectives(kit, shop):
    (settings,) = render_bootstrap(kit.topology(shop))["stats_config"]["histogram_bucket_settings"]
    assert settings["match"] == {"suffix": "_time"}
    assert {300, 400, 500} <= set(settings["buckets"])
    assert settings["buckets"] == sorted(set(settings["buckets"]))
