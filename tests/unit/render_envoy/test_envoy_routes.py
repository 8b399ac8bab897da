"""Who goes where: the routes of the front and of the services' own listeners, as tables."""

import pytest

TRACK = "x-rslice-track"


def steps(kit, table):
    return [(name.split(" ", 1)[1], cluster) for name, cluster in table]


def track_of(route):
    added = {option["header"]["key"]: option for option in route.get("request_headers_to_add", [])}
    if TRACK not in added:
        return None
    assert added[TRACK]["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD"
    return added[TRACK]["header"]["value"]


def conditions(route):
    return {matcher["name"]: matcher for matcher in route["match"].get("headers", [])}


def test_without_a_canary_everything_is_stable(kit, shop):
    rendered = kit.render(shop)
    assert rendered.table("front") == [("api/ stable once", "api-stable"), ("api/ stable repeatable", "api-stable")]
    assert [track_of(route) for route in rendered.routes("front")] == ["stable", "stable", None]
    assert rendered.table("payments") == [
        ("payments/ stable once", "payments-stable"),
        ("payments/ stable repeatable", "payments-stable"),
    ]
    assert [track_of(route) for route in rendered.routes("payments")] == [None, None], "passed on as it came"


def test_a_canary_that_is_not_live_changes_nothing(kit, shop):
    assert kit.render(shop, canary={"payments"}, weight=50, live=False).config == kit.render(shop).config


def test_a_live_canary_inside(kit, shop):
    rendered = kit.render(shop, canary={"payments"}, weight=30)
    assert steps(kit, rendered.table("payments")) == [
        ("header once", "payments-canary"),
        ("header repeatable", "payments-canary"),
        ("canary once", "payments-failover"),
        ("canary repeatable", "payments-failover"),
        ("drawn once", "payments-failover"),
        ("drawn repeatable", "payments-failover"),
        ("stable once", "payments-stable"),
        ("stable repeatable", "payments-stable"),
    ]
    header, canary, drawn, rest = (rendered.routes("payments")[i] for i in (1, 3, 5, 7))
    assert [track_of(route) for route in (header, canary, drawn, rest)] == ["canary", "canary", "canary", "stable"]
    assert conditions(header) == {"X-Canary": {"name": "X-Canary", "string_match": {"exact": "1"}}}
    assert conditions(canary) == {TRACK: {"name": TRACK, "string_match": {"exact": "canary"}}}
    undrawn = {"exact": "stable"}
    assert conditions(drawn) == {
        TRACK: {"name": TRACK, "string_match": undrawn, "invert_match": True, "treat_missing_header_as_empty": True}
    }
    fractions = [route["match"].get("runtime_fraction") for route in (header, canary, drawn, rest)]
    assert fractions == [None, None, {"default_value": {"numerator": 30, "denominator": "HUNDRED"}}, None]
    assert conditions(rest) == {}


def test_a_live_canary_of_another_service_leaves_a_listener_alone(kit, shop):
    calm, live = kit.render(shop), kit.render(shop, canary={"payments"}, weight=30)
    assert live.routes("api") == calm.routes("api")


def test_the_front_draws_for_a_service_without_a_canary_too(kit, shop):
    rendered = kit.render(shop, canary={"payments"}, weight=30)
    assert steps(kit, rendered.table("front")) == [
        (f"{lane} {kind}", "api-stable") for lane in ("header", "drawn", "stable") for kind in ("once", "repeatable")
    ]
    tracks = [track_of(route) for route in rendered.routes("front")]
    assert tracks == ["canary", "canary", "canary", "canary", "stable", "stable", None]


def test_the_front_sends_the_header_to_the_canary_alone_and_lots_to_the_failover(kit, shop):
    rendered = kit.render(shop, canary={"api"}, weight=5)
    assert [cluster for _, cluster in rendered.table("front")] == [
        "api-canary",
        "api-canary",
        "api-failover",
        "api-failover",
        "api-stable",
        "api-stable",
    ]


def test_the_canary_header_is_the_slices(kit):
    slice_ = kit.slice(
        [kit.service("api", expose={"pathPrefix": "/"})], canary={"header": {"name": "X-Beta", "value": "yes"}}
    )
    route = kit.render(slice_, canary={"api"}).routes("front")[1]
    assert conditions(route) == {"X-Beta": {"name": "X-Beta", "string_match": {"exact": "yes"}}}


def test_an_added_service_is_served_by_its_canary_and_a_removed_one_by_stable(kit):
    old = kit.slice([kit.service("api"), kit.service("legacy", expose={"pathPrefix": "/legacy"})])
    new = kit.slice([kit.service("api"), kit.service("search", expose={"pathPrefix": "/search"})])
    rendered = kit.render(old, new, canary={"search"}, weight=10)
    names = [cluster["name"] for cluster in rendered.config.clusters]
    assert names == sorted(f"{s}-{t}" for s in ("api", "legacy", "search") for t in ("canary", "failover", "stable"))
    assert {cluster for _, cluster in rendered.table("legacy")} == {"legacy-stable"}
    assert {cluster for _, cluster in rendered.table("search")} == {"search-canary", "search-failover"}
    front = dict(rendered.table("front"))
    assert front["search/search stable repeatable"] == "search-failover"
    assert front["legacy/legacy drawn repeatable"] == "legacy-stable"


def test_a_service_that_loses_its_port_is_routed_as_before_until_promotion(kit):
    old = kit.slice([kit.service("api", expose={"pathPrefix": "/"}), kit.service("job", port=9000)])
    new = kit.slice([kit.service("api", expose={"pathPrefix": "/"}), {"name": "job", "image": "job:2"}])
    rendered = kit.render(old, new, canary={"api", "job"}, weight=10)
    assert {cluster for _, cluster in rendered.table("job")} == {"job-stable"}


def test_only_what_cannot_be_repeated_matches_once(kit, shop):
    once = kit.render(shop).routes("payments")[0]
    assert conditions(once) == {
        ":method": {
            "name": ":method",
            "string_match": {"safe_regex": {"regex": "GET|HEAD|OPTIONS"}},
            "invert_match": True,
        },
        "idempotency-key": {"name": "idempotency-key", "present_match": True, "invert_match": True},
    }


def test_the_longest_exposed_prefix_comes_first_and_no_section_reaches_into_it(kit):
    slice_ = kit.slice(
        [
            kit.service("web", expose={"pathPrefix": "/"}, routes=[{"pathPrefix": "/pay/admin/x", "timeout": "9s"}]),
            kit.service("pay", expose={"pathPrefix": "/pay"}, routes=[{"pathPrefix": "/pay/slow", "timeout": "9s"}]),
            kit.service("admin", expose={"pathPrefix": "/pay/admin"}),
        ]
    )
    table = kit.render(slice_).table("front")
    order = [name.split(" ")[0] for name, _ in table if name.endswith("repeatable")]
    assert order == ["admin/pay/admin", "pay/pay/slow", "pay/pay", "web/pay/admin/x", "web/"]


@pytest.mark.parametrize(
    ("prefix", "match"),
    [("/", {"prefix": "/"}), ("/pay", {"path_separated_prefix": "/pay"})],
)
def test_prefixes_end_at_a_slash(kit, prefix, match):
    slice_ = kit.slice([kit.service("api", expose={"pathPrefix": prefix}, resilience={"retries": {"attempts": 0}})])
    assert kit.render(slice_).routes("front")[0]["match"] == match


@pytest.mark.parametrize(
    ("hosts", "domains"),
    [
        (("*",), [["*"]]),
        (("b.example.org", "a.example.org", "a.example.org"), [["a.example.org", "b.example.org"], ["*"]]),
    ],
)
def test_host_names(kit, shop, hosts, domains):
    front = next(r for r in kit.render(shop, hosts=hosts).config.routes if r["name"] == "front")
    assert [host["domains"] for host in front["virtual_hosts"]] == domains
    for host in front["virtual_hosts"]:
        last = host["routes"][-1]
        assert last["match"] == {"prefix": "/"}
        assert last["direct_response"]["status"] == 404
        assert host["include_request_attempt_count"] is True
    if len(domains) == 2:
        assert len(front["virtual_hosts"][1]["routes"]) == 1


def test_route_configurations_are_strict(kit, shop):
    for routes in kit.render(shop).config.routes:
        assert routes["validate_clusters"] is True
        assert routes["ignore_port_in_host_matching"] is True
    front = next(r for r in kit.render(shop).config.routes if r["name"] == "front")
    assert {"server", "x-envoy-upstream-service-time"} <= set(front["response_headers_to_remove"])


def test_nothing_exposed_is_a_404(kit):
    rendered = kit.render(kit.slice([kit.service("api")]))
    (only,) = rendered.routes("front")
    assert (only["direct_response"]["status"], only["direct_response"]["body"]) == (
        404,
        {"inline_string": "No service is exposed at this path."},
    )
