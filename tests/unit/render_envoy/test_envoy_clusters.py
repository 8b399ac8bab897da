"""Clusters: where hosts come from, limits by proxy, ejection, and the canary with stable behind it."""

import pytest

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def test_hosts_are_listed_beside_the_clusters(kit, shop):
    stable, canary = kit.track.STABLE, kit.track.CANARY
    hosts = {
        ("payments", stable): (kit.address("127.0.0.1", 1), kit.address("127.0.0.2", 2)),
        ("payments", canary): (kit.address("127.0.0.1", 3),),
    }
    rendered = kit.render(shop, discovery=kit.fixed(hosts))
    assert [e["cluster_name"] for e in rendered.config.endpoints] == [
        "api-canary",
        "api-stable",
        "payments-canary",
        "payments-stable",
    ]
    assert rendered.hosts("payments-stable") == [("127.0.0.1", 1), ("127.0.0.2", 2)]
    assert rendered.hosts("payments-canary") == [("127.0.0.1", 3)]
    assert rendered.hosts("api-stable") == []
    assert rendered.cluster("payments-stable")["type"] == "EDS"
    without = kit.render(shop)
    assert without.config.clusters == rendered.config.clusters, "hosts are nothing to a cluster"


def test_headless_names_are_resolved_every_second(kit, shop):
    rendered = kit.render(shop, discovery=kit.dns("prod", "corp.local"))
    assert rendered.config.endpoints == ()
    cluster = rendered.cluster("payments-canary")
    dns = cluster["cluster_type"]
    assert dns["name"] == "envoy.cluster.dns"
    assert dns["typed_config"]["dns_refresh_rate"] == "1s"
    assert dns["typed_config"]["dns_failure_refresh_rate"] == {"base_interval": "1s", "max_interval": "1s"}
    assert "respect_dns_ttl" not in dns["typed_config"]
    (locality,) = cluster["load_assignment"]["endpoints"]
    (host,) = locality["lb_endpoints"]
    assert host["endpoint"]["address"]["socket_address"] == {
        "address": "shop-payments-canary.prod.svc.corp.local",
        "port_value": 9000,
    }
    assert host["metadata"] == {"filter_metadata": {"resilientslice": {"track": "canary"}}}
    assert cluster["connect_timeout"] == "0.200s"


def test_the_failover_is_the_canary_then_stable(kit, shop):
    cluster = kit.render(shop).cluster("payments-failover")
    assert cluster["cluster_type"]["typed_config"]["clusters"] == ["payments-canary", "payments-stable"]
    assert cluster["lb_policy"] == "CLUSTER_PROVIDED"
    (limits,) = cluster["circuit_breakers"]["thresholds"]
    assert limits["max_retries"] == 1_000_000
    assert "retry_budget" not in limits


@pytest.mark.parametrize(("errors", "counted"), [({}, 0), ({"on": "GatewayErrors"}, 0), ({"on": "ServerErrors"}, 100)])
@pytest.mark.parametrize(("track", "always", "panic"), [("canary", True, 0), ("stable", False, 1)])
def test_ejection(kit, track, always, panic, errors, counted):
    wanted = {
        "consecutive5xxErrors": 3,
        "interval": "2s",
        "baseEjectionTime": "10m",
        "maxEjectionPercent": 40,
        **errors,
    }
    slice_ = kit.slice([kit.service("web")], resilience={"outlierDetection": wanted})
    cluster = kit.render(slice_).cluster(f"web-{track}")
    found = cluster["outlier_detection"]
    assert (found["consecutive_5xx"], found["interval"], found["base_ejection_time"]) == (3, "2s", "600s")
    assert (found["max_ejection_percent"], found["max_ejection_time"]) == (40, "600s")
    assert (found["enforcing_success_rate"], found["enforcing_failure_percentage"]) == (0, 0)
    assert (found["enforcing_consecutive_5xx"], found["enforcing_consecutive_gateway_failure"]) == (counted, 100)
    assert found["always_eject_one_host"] is always
    assert "split_external_local_origin_errors" not in found
    assert cluster["common_lb_config"] == {"healthy_panic_threshold": {"value": panic}, "update_merge_window": "0s"}


def test_connections(kit):
    own = {"connections": {"connectTimeout": "1s", "idleTimeout": "50s"}}
    cluster = kit.render(kit.slice([kit.service("web", resilience=own)])).cluster("web-stable")
    (options,) = cluster["typed_extension_protocol_options"].values()
    assert cluster["connect_timeout"] == "1s"
    assert options["common_http_protocol_options"] == {"idle_timeout": "50s"}
    assert cluster["per_connection_buffer_limit_bytes"] == 32_768


@pytest.mark.parametrize(
    ("proxies", "connections", "pending", "requests"), [(1, 100, 7, 3), (2, 50, 4, 2), (3, 34, 3, 1), (32, 4, 1, 1)]
)
def test_bulkheads_are_divided_by_the_proxies_rounded_up(kit, proxies, connections, pending, requests):
    bulkhead = {"maxConnections": 100, "maxPendingRequests": 7, "maxRequests": 3}
    slice_ = kit.slice([kit.service("web")], resilience={"bulkhead": bulkhead})
    rendered = kit.render(slice_, proxies=proxies)
    for track in ("canary", "stable"):
        (limits,) = rendered.cluster(f"web-{track}")["circuit_breakers"]["thresholds"]
        found = limits["max_connections"], limits["max_pending_requests"], limits["max_requests"]
        assert found == (connections, pending, requests)
        assert limits["track_remaining"] is True


@pytest.mark.parametrize(("percent", "least"), [(25, 5), (1, 5), (0, 0)])
def test_the_retry_budget(kit, percent, least):
    slice_ = kit.slice([kit.service("web")], resilience={"retries": {"budgetPercent": percent}})
    (limits,) = kit.render(slice_).cluster("web-stable")["circuit_breakers"]["thresholds"]
    assert limits["retry_budget"] == {"budget_percent": {"value": percent}, "min_retry_concurrency": least}


def test_each_track_has_its_own_port_and_protocol(kit):
    old = kit.slice([kit.service("web", port=80)])
    new = kit.slice([kit.service("web", port=81, protocol="GRPC")])
    rendered = kit.render(old, new, canary={"web"}, discovery=kit.dns("prod"))
    found = {}
    for track in ("stable", "canary"):
        cluster = rendered.cluster(f"web-{track}")
        (locality,) = cluster["load_assignment"]["endpoints"]
        port = locality["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["port_value"]
        options = cluster["typed_extension_protocol_options"][HTTP_OPTIONS]
        found[track] = port, list(options["explicit_http_config"])
        assert options["common_http_protocol_options"] == {"idle_timeout": "1.500s"}
    assert found == {"stable": (80, ["http_protocol_options"]), "canary": (81, ["http2_protocol_options"])}


def test_a_service_without_a_port_has_nothing(kit, shop):
    config = kit.render(shop).config
    assert not [c for c in config.clusters if "worker" in c["name"]]
    assert [r["name"] for r in config.routes] == ["api", "front", "payments"]
    assert [r["name"] for r in config.listeners] == ["api", "front", "payments"]
