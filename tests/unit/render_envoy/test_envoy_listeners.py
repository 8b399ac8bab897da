"""Listeners: what the front believes and from whom, tenants' limits, and what the log says."""

import pytest


def mutations(manager):
    (extension,) = manager["early_header_mutation_extensions"]
    return extension["typed_config"]["mutations"]


def removed(manager):
    return [
        m["remove_on_match"]["key_matcher"]["prefix"] if "remove_on_match" in m else m["remove"]
        for m in mutations(manager)
        if "append" not in m
    ]


def appended(manager):
    return [
        (m["append"]["header"]["key"], m["append"]["header"]["value"], m["append"]["append_action"])
        for m in mutations(manager)
        if "append" in m
    ]


def test_the_front_takes_off_what_steers(kit, shop):
    manager = kit.render(shop).manager("front")
    assert removed(manager) == ["x-envoy-", "x-rslice-"]
    assert appended(manager) == [
        ("X-Tenant", "anonymous", "ADD_IF_ABSENT"),
        ("X-Tenant", "%REQ(X-Tenant)%", "OVERWRITE_IF_EXISTS_OR_ADD"),
    ]
    assert manager["use_remote_address"] is True
    assert manager["xff_num_trusted_hops"] == 0
    assert manager["internal_address_config"] == {
        "cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]
    }


def test_only_trusted_proxies_are_believed(kit):
    slice_ = kit.slice(
        [kit.service("web", expose={"pathPrefix": "/"})],
        front={"trustedProxies": ["192.168.0.0/16", "10.0.0.0/8", "fd00::/8"]},
        rateLimit={"tenantHeader": "X-Org"},
        canary={"header": {"name": "X-Beta"}},
    )
    rendered = kit.render(slice_)
    listener = rendered.listener("front")
    (trusted,) = listener["filter_chains"]
    assert trusted["filter_chain_match"] == {
        "source_prefix_ranges": [
            {"address_prefix": "10.0.0.0", "prefix_len": 8},
            {"address_prefix": "192.168.0.0", "prefix_len": 16},
            {"address_prefix": "fd00::", "prefix_len": 8},
        ]
    }
    believed = rendered.manager("front")
    stranger = listener["default_filter_chain"]["filters"][0]["typed_config"]
    assert removed(believed) == ["x-envoy-", "x-rslice-"]
    assert removed(stranger) == ["x-envoy-", "x-rslice-", "X-Beta", "X-Org"]
    assert appended(stranger) == appended(believed)
    assert (believed["xff_num_trusted_hops"], stranger["xff_num_trusted_hops"]) == (1, 0)
    assert believed["stat_prefix"] == stranger["stat_prefix"] == "front"
    assert believed["rds"] == stranger["rds"]


def test_inside_a_caller_keeps_only_the_time_that_is_left(kit, shop):
    manager = kit.render(shop).manager("payments")
    assert not [prefix for prefix in removed(manager) if "x-envoy-expected-rq-timeout-ms".startswith(prefix)]
    for steering in (
        "x-envoy-upstream-rq-timeout-ms",
        "x-envoy-max-retries",
        "x-envoy-retry-on",
        "x-envoy-retry-grpc-on",
    ):
        assert [prefix for prefix in removed(manager) if steering.startswith(prefix)], steering
    assert appended(manager) == []
    (router,) = manager["http_filters"]
    assert router["typed_config"]["respect_expected_rq_timeout"] is True
    assert manager["stat_prefix"] == "internal_payments"
    assert manager["rds"]["route_config_name"] == "payments"


def test_listeners_are_where_the_topology_says(kit, shop):
    rendered = kit.render(shop)
    ports = {
        listener["name"]: listener["address"]["socket_address"]["port_value"] for listener in rendered.config.listeners
    }
    wanted = {name: address.port for name, address in rendered.topology.internal.items() if name != "worker"}
    assert ports == {"front": 8080, **wanted}


def test_the_front_is_strict(kit, shop):
    manager = kit.render(shop).manager("front")
    assert (manager["normalize_path"], manager["merge_slashes"]) == (True, True)
    assert manager["path_with_escaped_slashes_action"] == "UNESCAPE_AND_REDIRECT"
    assert manager["common_http_protocol_options"]["headers_with_underscores_action"] == "REJECT_REQUEST"
    assert manager["request_headers_timeout"] == "10s"
    assert manager["server_header_transformation"] == "PASS_THROUGH"
    router = manager["http_filters"][-1]["typed_config"]
    assert "respect_expected_rq_timeout" not in router, "the time a stranger has left is no business of ours"


def limited(kit, **limits):
    return kit.slice([kit.service("web", expose={"pathPrefix": "/"})], rateLimit=limits)


@pytest.mark.parametrize(
    ("proxies", "interval", "gold", "other"), [(1, "1s", 7, 20), (2, "2s", 4, 10), (8, "8s", 1, 3)]
)
def test_tenants_have_exact_shares(kit, proxies, interval, gold, other):
    slice_ = limited(kit, tenants=[{"name": "gold", "requestsPerSecond": 100, "burst": 7}])
    limit, router = kit.render(slice_, proxies=proxies).manager("front")["http_filters"]
    assert (limit["name"], router["name"]) == ("envoy.filters.http.local_ratelimit", "envoy.filters.http.router")
    config = limit["typed_config"]
    assert config["descriptors"] == [
        {
            "entries": [{"key": "tenant", "value": "gold"}],
            "token_bucket": {"max_tokens": gold, "tokens_per_fill": 100, "fill_interval": interval},
        },
        {
            "entries": [{"key": "tenant"}],
            "token_bucket": {"max_tokens": other, "tokens_per_fill": 10, "fill_interval": interval},
        },
    ]
    assert config["max_dynamic_descriptors"] == 10_000
    assert config["always_consume_default_token_bucket"] is False
    for field in ("filter_enabled", "filter_enforced"):
        assert config[field]["default_value"] == {"numerator": 100, "denominator": "HUNDRED"}
    assert config["response_headers_to_add"] == [{"header": {"key": "retry-after", "value": "1"}}]
    assert config["rate_limits"] == [
        {"actions": [{"request_headers": {"header_name": "X-Tenant", "descriptor_key": "tenant"}}]}
    ]


@pytest.mark.parametrize("spec", [{}, {"rateLimit": {"enforcement": "Middleware"}}])
def test_without_local_enforcement_there_is_no_filter_and_no_mention_of_it(kit, spec):
    rendered = kit.render(kit.slice([kit.service("web", expose={"pathPrefix": "/"})], **spec))
    assert [f["name"] for f in rendered.manager("front")["http_filters"]] == ["envoy.filters.http.router"]
    assert all("typed_per_filter_config" not in route for route in rendered.routes("front"))


def test_bad_tenants_are_refused_before_anything_is_routed_or_charged(kit):
    rendered = kit.render(limited(kit, tenantHeader="X-Org"))
    *bad, _, _, missing = rendered.routes("front")
    for route in bad:
        assert (route["name"], route["direct_response"]["status"]) == ("bad-tenant", 400)
        assert [matcher["name"] for matcher in route["match"]["headers"]] == ["X-Org"]
    assert len(bad) == 2
    for route in (*bad, missing):
        (config,) = route["typed_per_filter_config"].values()
        assert config["disabled"] is True
    assert not [r for r in kit.render(kit.slice([kit.service("web")])).routes("front") if r["name"] == "bad-tenant"]


@pytest.mark.parametrize(
    ("path", "logger"), [("/dev/stdout", "envoy.access_loggers.stdout"), ("/x/y.log", "envoy.access_loggers.file")]
)
def test_the_access_log(kit, path, logger):
    slice_ = limited(kit, tenantHeader="X-Org")
    for listener in ("front", "web"):
        (log,) = kit.render(slice_, access_log=path).manager(listener)["access_log"]
        assert log["name"] == logger
        assert log["typed_config"].get("path") == (path if path != "/dev/stdout" else None)
        fields = log["typed_config"]["log_format"]["json_format"]
        assert fields["listener"] == listener
        assert fields["tenant"] == "%REQ(X-Org):64%"
        assert fields["track"] == "%REQ(x-rslice-track):16%"
        assert fields["canary_header"] == "%REQ(X-Canary):64%"
        assert {"time", "method", "path", "code", "flags", "details", "duration_ms", "attempts", "traceparent"} <= set(
            fields
        )
