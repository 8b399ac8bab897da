"""The limits that services enforce themselves: who is told them, what is told, and what of it makes a revision."""

import json

import pytest

from resilientslice.render.envoy import render_envoy
from resilientslice.render.objects import render_objects
from resilientslice.render.proxy import cluster_topology
from resilientslice.render.revision import changed_services, revision_of
from resilientslice.render.tracks import CanaryTrack

SERVICES = """
  - {name: web, image: "web:1", port: 80, replicas: 3, expose: {}, dependsOn: [inner], stores: [redis]}
  - {name: inner, image: "inner:1", port: 80, stores: [redis]}
"""
LIMITS = """
  rateLimit:
    enforcement: Middleware
    tenantHeader: X-Org
    default: {requestsPerSecond: 5, burst: 9}
    tenants: [{name: gold, requestsPerSecond: 100, burst: 200}, {name: blue, requestsPerSecond: 7, burst: 7}]
    onRedisFailure: Deny
  stores: {redis: {external: {secretName: r}}}
"""
MOUNT = {"name": "rslice-limits", "mountPath": "/etc/resilientslice/limits", "readOnly": True}
VOLUME = {"name": "rslice-limits", "configMap": {"name": "shop-limits"}}


@pytest.fixture
def middleware(of_services):
    return lambda *changes: of_services(replaced(SERVICES, changes), replaced(LIMITS, changes))


def replaced(text, changes):
    for old, new in changes:
        text = text.replace(old, new)
    return text


def told(rendered, service="web"):
    made = rendered.get("ConfigMap", "shop-limits")
    return json.loads(made["data"][f"{service}.json"]) if made else None


def charged_by_envoy(slice_, stable, canary=None):
    config = render_envoy(slice_, stable, canary, cluster_topology(slice_, stable, canary))
    return "local_ratelimit" in json.dumps(config.to_json())


def test_what_an_exposed_service_is_told(middleware, rendered):
    assert told(rendered(middleware())) == {
        "enabled": True,
        "scope": "default/shop",
        "tenantHeader": "X-Org",
        "default": {"requestsPerSecond": 5, "burst": 9},
        "tenants": [
            {"name": "blue", "requestsPerSecond": 7, "burst": 7},
            {"name": "gold", "requestsPerSecond": 100, "burst": 200},
        ],
        "onRedisFailure": "Deny",
        "replicas": 3,
    }


def test_only_exposed_services_have_the_file(middleware, rendered):
    made = rendered(middleware())
    assert list(made.get("ConfigMap", "shop-limits")["data"]) == ["web.json"]
    web, inner = "shop-web-stable", "shop-inner-stable"
    assert VOLUME in made.pod(web)["volumes"]
    assert MOUNT in made.container(web)["volumeMounts"]
    variable = {"name": "RATE_LIMITS_FILE", "value": "/etc/resilientslice/limits/web.json"}
    assert variable in made.container(web)["env"]
    assert "limits" not in json.dumps(made.pod(inner)["volumes"])
    assert "RATE_LIMITS_FILE" not in json.dumps(made.container(inner)["env"])


@pytest.mark.parametrize("change", [("Middleware", "Local"), ("expose: {}, ", "")])
def test_nothing_is_told_where_envoy_enforces_or_nobody_comes_in(middleware, rendered, change):
    made = rendered(middleware(change))
    assert made.get("ConfigMap", "shop-limits") is None
    assert "rslice-limits" not in json.dumps(made.objects)


@pytest.mark.parametrize(
    ("change", "restarted"),
    [
        (("requestsPerSecond: 100", "requestsPerSecond: 101"), set()),
        (("{requestsPerSecond: 5, burst: 9}", "{requestsPerSecond: 6, burst: 8}"), set()),
        (("name: gold", "name: silver"), set()),
        (("onRedisFailure: Deny", "onRedisFailure: Allow"), set()),
        (("replicas: 3", "replicas: 4"), set()),
        (("Middleware", "Local"), {"web"}),
        (("expose: {}, ", ""), {"web"}),
    ],
)
def test_other_limits_restart_nobody_and_reach_running_pods(middleware, rendered, change, restarted):
    before, after = middleware(), middleware(change)
    stable = revision_of(before)
    assert changed_services(stable, revision_of(after, after=stable)) == restarted
    assert told(rendered(before)) != told(rendered(after))


def test_replicas_of_both_tracks_share_a_limit(middleware, rendered):
    assert told(rendered(middleware(("web:1", "web:2")), middleware()))["replicas"] == 6


def test_an_autoscaled_service_has_its_fewest_and_one_scaled_to_nothing_counts_as_one(middleware, rendered):
    scaled = "autoscaling: {minReplicas: 2, maxReplicas: 9, targetCPUUtilizationPercentage: 50}"
    assert told(rendered(middleware(("replicas: 3", scaled))))["replicas"] == 2
    assert told(rendered(middleware(("replicas: 3", "replicas: 0"))))["replicas"] == 1


@pytest.mark.parametrize("change", [("Middleware", "Local"), ("expose: {}, ", ""), (LIMITS[:13], LIMITS[:13])])
def test_pods_that_still_have_the_file_are_told_to_charge_only_while_they_should(middleware, rendered, change):
    """A new pod of the old revision must find what it mounts."""
    made = rendered(middleware(change), middleware())
    assert told(made)["enabled"] is (change[0] == change[1])


@pytest.mark.parametrize("rest", ["", "  rateLimit: {enforcement: Local}"])
def test_a_slice_that_no_longer_limits_says_so(of_services, middleware, rendered, rest):
    store = "  stores: {redis: {external: {secretName: r}}}"
    made = rendered(of_services(SERVICES, f"{rest}\n{store}"), middleware())
    assert told(made)["enabled"] is False


def test_envoy_enforces_until_every_pod_that_can_be_reached_does(middleware):
    local, wanted = middleware(("Middleware", "Local")), middleware()
    stable, canary = revision_of(local), revision_of(wanted, after=revision_of(local))
    assert charged_by_envoy(local, stable)
    assert charged_by_envoy(wanted, stable)
    assert charged_by_envoy(wanted, stable, CanaryTrack(revision=canary, services=frozenset({"web"}), weight=50))
    assert not charged_by_envoy(wanted, canary)
    assert charged_by_envoy(local, canary)


def test_the_file_is_there_before_the_pods_that_mount_it(middleware):
    slice_ = middleware()
    kinds = [(o["kind"], o["metadata"]["name"]) for o in render_objects(slice_, revision_of(slice_), None)]
    assert kinds.index(("ConfigMap", "shop-limits")) < kinds.index(("Deployment", "shop-web-stable"))


def test_the_library_understands_what_it_is_told(middleware, rendered):
    from slicekit.limits.policy import Limit, OnRedisFailure, parse_limits

    text = rendered(middleware()).get("ConfigMap", "shop-limits")["data"]["web.json"]
    limits = parse_limits(text)
    assert (limits.of("gold"), limits.of("anyone")) == (Limit(100, 200), Limit(5, 9))
    assert (limits.on_failure, limits.replicas, limits.tenant_header) == (OnRedisFailure.DENY, 3, "X-Org")
    assert limits.scope == "default/shop"
