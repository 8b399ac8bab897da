"""Deployments, their Services, autoscalers and disruption budgets, with and without a canary."""

import pytest

from resilientslice.render.objects import render_objects
from resilientslice.render.revision import revision_of
from resilientslice.render.tracks import CanaryTrack

TRACK = "resilientslice.dev/track"


def one(of_services, fields, rest="  canary: {}"):
    return of_services(f"  - {{name: a, port: 80, {fields}}}", rest)


def test_without_a_canary_there_is_no_canary_deployment(shop, rendered):
    made = rendered(shop)
    assert made.names("Deployment") == [
        "shop-api-stable",
        "shop-catalog-stable",
        "shop-payments-stable",
        "shop-proxy",
        "shop-worker-stable",
    ]


def test_a_canary_is_a_second_deployment_of_what_changed_alone(of_services, rendered):
    lines = "  - {{name: a, image: 'a:{}', port: 80}}\n  - {{name: b, image: b, port: 80}}"
    made = rendered(of_services(lines.format(2), "  canary: {}"), of_services(lines.format(1)))
    assert made.names("Deployment") == ["shop-a-canary", "shop-a-stable", "shop-b-stable", "shop-proxy"]
    assert made.container("shop-a-stable")["image"] == "a:1"
    assert made.container("shop-a-canary")["image"] == "a:2"


def test_tracks_differ_by_their_label_alone(of_services, rendered):
    slice_ = one(of_services, "image: i")
    revision = revision_of(slice_)
    made = rendered(slice_, slice_, services=frozenset({"a"}))
    stable, canary = made.spec("Deployment", "shop-a-stable"), made.spec("Deployment", "shop-a-canary")
    assert stable["template"]["metadata"]["labels"].pop(TRACK) == "stable"
    assert canary["template"]["metadata"]["labels"].pop(TRACK) == "canary"
    assert stable["template"] == canary["template"]
    assert stable["selector"]["matchLabels"] == {
        "resilientslice.dev/slice": "shop",
        "resilientslice.dev/service": "a",
        TRACK: "stable",
    }
    assert TRACK not in revision.services["a"].template["metadata"]["labels"]


def test_selectors_match_the_labels_of_their_pods(shop, everything, rendered):
    for slice_ in (shop, everything):
        for made in rendered(slice_, slice_, services=frozenset({"api", "web"})).objects:
            if made["kind"] in ("Deployment", "StatefulSet"):
                labels = made["spec"]["template"]["metadata"]["labels"]
                assert made["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_no_pod_matches_two_workloads(shop, rendered):
    made = rendered(shop, shop, services=frozenset({"api", "payments"}))
    workloads = [o for o in made.objects if o["kind"] in ("Deployment", "StatefulSet")]
    for workload in workloads:
        labels = workload["spec"]["template"]["metadata"]["labels"]
        matching = [
            o["metadata"]["name"] for o in workloads if o["spec"]["selector"]["matchLabels"].items() <= labels.items()
        ]
        assert matching == [workload["metadata"]["name"]]


@pytest.mark.parametrize(
    ("fields", "stable", "canary", "budget"),
    [
        ("image: i", 2, 2, True),
        ("image: i, replicas: 5", 5, 5, True),
        ("image: i, replicas: 1", 1, 1, False),
        ("image: i, replicas: 0", 0, 1, False),
        ("image: i, autoscaling: {minReplicas: 2, maxReplicas: 4}", None, None, True),
        ("image: i, autoscaling: {minReplicas: 1, maxReplicas: 4}", None, None, False),
    ],
)
def test_replicas_and_budget(of_services, rendered, fields, stable, canary, budget):
    slice_ = one(of_services, fields)
    made = rendered(slice_, slice_, services=frozenset({"a"}))
    assert made.spec("Deployment", "shop-a-stable").get("replicas") == stable
    assert made.spec("Deployment", "shop-a-canary").get("replicas") == canary
    assert (made.get("PodDisruptionBudget", "shop-a") is not None) is budget


def test_a_budget_lets_nodes_be_drained(of_services, rendered):
    assert rendered(one(of_services, "image: i")).spec("PodDisruptionBudget", "shop-a") == {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": {"resilientslice.dev/slice": "shop", "resilientslice.dev/service": "a"}},
    }


def test_an_autoscaler_for_each_track(of_services, rendered):
    slice_ = one(of_services, "image: i, autoscaling: {minReplicas: 2, maxReplicas: 4}")
    assert rendered(slice_).names("HorizontalPodAutoscaler") == ["shop-a-stable"]
    made = rendered(slice_, slice_, services=frozenset({"a"}))
    assert made.names("HorizontalPodAutoscaler") == ["shop-a-canary", "shop-a-stable"]
    assert made.spec("HorizontalPodAutoscaler", "shop-a-canary") == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop-a-canary"},
        "minReplicas": 2,
        "maxReplicas": 4,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
            }
        ],
    }


@pytest.mark.parametrize(("size", "minimum"), [(0, 2), (2, 2), (3, 3), (4, 4), (9, 4)])
def test_neither_track_is_scaled_below_the_size_of_stable_at_the_start_of_the_canary(of_services, size, minimum):
    slice_ = one(of_services, "image: i, autoscaling: {minReplicas: 2, maxReplicas: 4}")
    revision = revision_of(slice_)
    canary = CanaryTrack(revision, frozenset({"a"}), stable_sizes={"a": size})
    found = {
        made["metadata"]["name"]: made["spec"]["minReplicas"]
        for made in render_objects(slice_, revision, canary)
        if made["kind"] == "HorizontalPodAutoscaler"
    }
    assert found == {"shop-a-stable": minimum, "shop-a-canary": minimum}


def test_capacity_never_shrinks_in_a_rollout(shop, rendered):
    made = rendered(shop)
    for name in made.names("Deployment"):
        assert made.spec("Deployment", name)["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_the_services_of_a_service(shop, rendered):
    made = rendered(shop)
    internal = revision_of(shop).services["payments"].internal_port
    assert made.spec("Service", "shop-payments") == {
        "type": "ClusterIP",
        "selector": {"resilientslice.dev/slice": "shop", "app.kubernetes.io/component": "proxy"},
        "ports": [{"name": "http", "port": 8080, "targetPort": internal, "protocol": "TCP", "appProtocol": "http"}],
    }
    for track in ("stable", "canary"):
        spec = made.spec("Service", f"shop-payments-{track}")
        assert spec["clusterIP"] == "None"
        assert spec["publishNotReadyAddresses"] is False
        assert spec["selector"][TRACK] == track
        assert spec["ports"] == [{"name": "http", "port": 8080, "targetPort": 8080, "protocol": "TCP"}]


def test_what_has_no_port_is_not_addressed(shop, rendered):
    made = rendered(shop)
    assert not [name for name in made.names("Service") if name.startswith("shop-worker")]
    assert made.names("ServiceAccount").count("shop-worker") == 1


def test_a_port_that_moves_is_found_at_both_numbers(of_services, rendered):
    lines = "  - {{name: a, image: i, port: {}, protocol: GRPC}}"
    made = rendered(of_services(lines.format(81), "  canary: {}"), of_services(lines.format(80)))
    ports = made.spec("Service", "shop-a")["ports"]
    assert [(p["name"], p["port"], p["appProtocol"]) for p in ports] == [
        ("grpc", 80, "kubernetes.io/h2c"),
        ("grpc-81", 81, "kubernetes.io/h2c"),
    ]
    assert len({p["targetPort"] for p in ports}) == 1
    assert made.spec("Service", "shop-a-stable")["ports"][0]["port"] == 80
    assert made.spec("Service", "shop-a-canary")["ports"][0]["port"] == 81


def test_added_and_removed_services_during_a_canary(of_services, rendered):
    before = of_services("  - {name: a, image: 'a:1', port: 80}\n  - {name: old, image: i, port: 90, replicas: 7}")
    after = of_services("  - {name: a, image: 'a:2', port: 80}\n  - {name: new, image: i, port: 70}", "  canary: {}")
    made = rendered(after, before)
    assert made.names("Deployment") == [
        "shop-a-canary",
        "shop-a-stable",
        "shop-new-canary",
        "shop-old-stable",
        "shop-proxy",
    ]
    assert made.spec("Deployment", "shop-old-stable")["replicas"] == 7
    for name in ("shop-new", "shop-old"):
        assert {name, f"{name}-stable", f"{name}-canary"} <= set(made.names("Service"))
    assert made.spec("Service", "shop-new-stable")["ports"][0]["port"] == 70


def test_policy_of_the_wanted_slice_acts_at_once(of_services, rendered):
    before, after = one(of_services, "image: 'a:1', replicas: 2"), one(of_services, "image: 'a:2', replicas: 9")
    made = rendered(after, before)
    assert made.spec("Deployment", "shop-a-stable")["replicas"] == 9
    assert made.spec("Deployment", "shop-a-canary")["replicas"] == 9


def test_a_service_that_loses_its_port_keeps_it_until_promotion(of_services, rendered):
    before = of_services("  - {name: a, image: 'a:1', port: 80}\n  - {name: b, image: b, port: 80}")
    after = of_services("  - {name: a, image: 'a:2'}\n  - {name: b, image: 'b:2', port: 80}", "  canary: {}")
    made = rendered(after, before)
    assert "shop-a-canary" not in made.names("Deployment")
    assert made.spec("Service", "shop-a")["ports"][0]["port"] == 80


def test_a_service_that_gains_a_port_is_addressed_with_its_canary(of_services, rendered):
    before, after = of_services("  - {name: a, image: a}"), one(of_services, "image: a")
    made = rendered(after, before)
    assert made.spec("Service", "shop-a")["ports"][0]["port"] == 80
    assert "ports" not in made.container("shop-a-stable")
    assert made.spec("NetworkPolicy", "shop-a")["ingress"]


def test_a_canary_of_services_that_its_revision_lacks_is_none(shop, rendered):
    made = rendered(shop, shop, services=frozenset({"nobody"}))
    assert not [name for name in made.names("Deployment") if name.endswith("-canary")]
