"""Time-outs and retries of each kind of request, lane and hop."""

import pytest

FULL = "connect-failure,refused-stream,reset,gateway-error,retriable-status-codes"
FROM_CANARY = "connect-failure,refused-stream,reset,5xx"
UNSENT = "connect-failure,refused-stream"
LOST = "connect-failure,refused-stream,reset"


def summary(route):
    policy = route["route"].get("retry_policy", {})
    return policy.get("retry_on"), policy.get("num_retries"), policy.get("per_try_timeout"), "retry_priority" in policy


@pytest.mark.parametrize(
    ("listener", "route", "wanted"),
    [
        ("payments", "payments/ stable once", (UNSENT, 2, None, False)),
        ("payments", "payments/ stable repeatable", (FULL, 2, "0.250s", False)),
        ("payments", "payments/ header once", (UNSENT, 2, None, False)),
        ("payments", "payments/ header repeatable", (FULL, 2, "0.250s", False)),
        ("payments", "payments/ canary once", (UNSENT, 2, None, True)),
        ("payments", "payments/ canary repeatable", (FROM_CANARY, 1, "0.250s", True)),
        ("payments", "payments/ drawn repeatable", (FROM_CANARY, 1, "0.250s", True)),
        ("api", "api/ stable repeatable", (FULL, 2, "0.250s", False)),
        ("front", "api/ stable once", (UNSENT, 2, None, False)),
        ("front", "api/ stable repeatable", (LOST, 2, None, False)),
        ("front", "api/ header repeatable", (LOST, 2, None, False)),
        ("front", "api/ drawn repeatable", (FROM_CANARY, 1, "0.400s", True)),
    ],
)
def test_policies(kit, shop, listener, route, wanted):
    rendered = kit.render(shop, canary={"api", "payments"}, weight=50)
    assert summary(rendered.route(listener, route)) == wanted


def test_a_leaf_at_the_front_is_retried_in_full(kit):
    slice_ = kit.slice([kit.service("web", expose={"pathPrefix": "/"})])
    assert summary(kit.render(slice_).route("front", "web/ stable repeatable"))[0] == FULL


def test_calls_of_either_revision_shield(kit):
    leaf = kit.slice([kit.service("web", expose={"pathPrefix": "/"}), kit.service("db")])
    caller = kit.slice([kit.service("web", expose={"pathPrefix": "/"}, dependsOn=["db"]), kit.service("db")])
    for old, new in ((leaf, caller), (caller, leaf)):
        rendered = kit.render(old, new, canary={"web"})
        assert summary(rendered.route("front", "web/ stable repeatable"))[0] == LOST


def test_a_retry_goes_to_another_host_and_500_is_worth_one(kit, shop):
    policy = kit.render(shop).route("payments", "payments/ stable repeatable")["route"]["retry_policy"]
    assert policy["retriable_status_codes"] == [500]
    assert [predicate["name"] for predicate in policy["retry_host_predicate"]] == [
        "envoy.retry_host_predicates.previous_hosts"
    ]
    assert policy["host_selection_retry_max_attempts"] == 20
    assert policy["retry_back_off"] == {"base_interval": "0.100s", "max_interval": "0.200s"}


def test_from_the_canary_a_retry_goes_to_another_priority(kit, shop):
    rendered = kit.render(shop, canary={"payments"})
    policy = rendered.route("payments", "payments/ drawn repeatable")["route"]["retry_policy"]
    assert policy["retry_priority"]["name"] == "envoy.retry_priorities.previous_priorities"
    assert policy["retry_priority"]["typed_config"]["update_frequency"] == 1


def test_no_attempts_no_policy_and_no_exceptions(kit):
    slice_ = kit.slice([kit.service("web")], resilience={"retries": {"attempts": 0}})
    rendered = kit.render(slice_, canary={"web"}, weight=1)
    assert [name for name, _ in rendered.table("web")] == [
        "web/ header repeatable",
        "web/ canary repeatable",
        "web/ drawn repeatable",
        "web/ stable repeatable",
    ]
    assert all("retry_policy" not in route["route"] for route in rendered.routes("web"))


def test_grpc_also_retries_its_own_status(kit):
    rendered = kit.render(kit.slice([kit.service("rpc", protocol="GRPC")]), canary={"rpc"})
    assert summary(rendered.route("rpc", "rpc/ stable repeatable"))[0] == FULL + ",unavailable"
    assert summary(rendered.route("rpc", "rpc/ drawn repeatable"))[0] == FROM_CANARY + ",unavailable,internal"
    assert rendered.route("rpc", "rpc/ stable once")["route"]["max_stream_duration"]["grpc_timeout_header_max"] == "15s"


@pytest.mark.parametrize(
    ("route", "timeout", "per_try", "attempts"),
    [
        ({}, "15s", "5s", 2),
        ({"timeout": "8s"}, "8s", "2.666s", 2),
        ({"timeout": "8s", "retries": {"attempts": 0}}, "8s", None, None),
        ({"timeout": "80ms"}, "0.080s", "0.026s", 2),
        ({"timeout": "0s"}, "0s", None, 2),
        ({"timeout": "8s", "retries": {"perTryTimeout": "1s"}}, "8s", "1s", 2),
        ({"retries": {"attempts": 5}}, "15s", "2.500s", 5),
        ({"retries": {"perTryTimeout": "15s"}}, "15s", None, 2),
        ({"retries": {"perTryTimeout": "14900ms"}}, "15s", "14.900s", 2),
    ],
)
def test_a_route_overrides_field_by_field(kit, route, timeout, per_try, attempts):
    slice_ = kit.slice([kit.service("web", routes=[{"pathPrefix": "/r", **route}])])
    found = kit.render(slice_).route("web", "web/r stable repeatable")
    assert found["match"]["path_separated_prefix"] == "/r"
    assert found["route"]["timeout"] == timeout
    assert summary(found)[1:3] == (attempts, per_try)


@pytest.mark.parametrize(
    ("own", "timeout", "per_try"),
    [
        ({}, "0.800s", "0.250s"),
        ({"retries": {"attempts": 1}}, "0.800s", "0.250s"),
        ({"timeout": "5s"}, "5s", "1.666s"),
        ({"timeout": "5s", "retries": {"attempts": 4}}, "5s", "1s"),
        ({"timeout": "5s", "retries": {"perTryTimeout": "2s"}}, "5s", "2s"),
        ({"timeout": "0s"}, "0s", None),
        ({"timeout": "0s", "retries": {"perTryTimeout": "2s"}}, "0s", "2s"),
    ],
)
def test_a_try_of_a_service_has_the_time_that_was_set_beside_its_timeout(kit, own, timeout, per_try):
    of_slice = {"timeout": "800ms", "retries": {"perTryTimeout": "250ms"}}
    found = kit.render(kit.slice([kit.service("web", resilience=own)], resilience=of_slice))
    route = found.route("web", "web/ stable repeatable")
    assert (route["route"]["timeout"], summary(route)[2]) == (timeout, per_try)
    assert ("max_stream_duration" in route["route"]) == (timeout != "0s")


def test_inside_the_stream_is_capped_just_above_the_time_out(kit, shop):
    rendered = kit.render(shop)
    assert rendered.route("payments", "payments/ stable once")["route"]["max_stream_duration"] == {
        "max_stream_duration": "0.850s"
    }
    assert "max_stream_duration" not in rendered.route("front", "api/ stable once")["route"]


def test_no_time_out_no_cap(kit):
    slice_ = kit.slice([kit.service("web", routes=[{"pathPrefix": "/r", "timeout": "0s"}])])
    assert "max_stream_duration" not in kit.render(slice_).route("web", "web/r stable once")["route"]


def test_a_service_overrides_the_slice(kit):
    slice_ = kit.slice(
        [kit.service("web", resilience={"timeout": "3s"}), kit.service("api")], resilience={"timeout": "1s"}
    )
    rendered = kit.render(slice_)
    assert rendered.routes("web")[0]["route"]["timeout"] == "3s"
    assert rendered.routes("api")[0]["route"]["timeout"] == "1s"


def test_a_policy_acts_at_once_on_the_stable_revision(kit):
    old = kit.slice([kit.service("web")])
    new = kit.slice([kit.service("web", resilience={"timeout": "3s"})])
    assert kit.render(old, new).routes("web")[0]["route"]["timeout"] == "3s"


def test_websocket_is_for_its_route_and_ends_only_when_idle(kit):
    slice_ = kit.slice([kit.service("web", routes=[{"pathPrefix": "/live", "websocket": True, "idleTimeout": "1h"}])])
    rendered = kit.render(slice_)
    names = [name for name, _ in rendered.table("web")]
    assert names == [
        "web/live stable websocket",
        "web/live stable once",
        "web/live stable repeatable",
        "web/ stable once",
        "web/ stable repeatable",
    ]
    live = rendered.route("web", "web/live stable websocket")
    assert live["match"]["headers"] == [
        {"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}
    ]
    assert live["route"]["timeout"] == "0s"
    assert live["route"]["idle_timeout"] == "3600s"
    assert live["route"]["upgrade_configs"] == [{"upgrade_type": "websocket", "enabled": True}]
    assert "max_stream_duration" not in live["route"]
    assert live["route"]["retry_policy"]["retry_on"] == UNSENT
    assert all("upgrade_configs" not in rendered.route("web", name)["route"] for name in names[1:])


def test_a_route_around_the_exposed_prefix_is_its_policy(kit):
    routes = [
        {"pathPrefix": "/", "timeout": "2s"},
        {"pathPrefix": "/shop", "timeout": "3s"},
        {"pathPrefix": "/shop/x/y", "timeout": "4s"},
        {"pathPrefix": "/shopping", "timeout": "9s"},
    ]
    slice_ = kit.slice([kit.service("web", expose={"pathPrefix": "/shop/x"}, routes=routes)])
    found = {
        route["name"].split(" ")[0]: route["route"]["timeout"] for route in kit.render(slice_).routes("front")[:-1]
    }
    assert found == {"web/shop/x/y": "4s", "web/shop/x": "3s"}
