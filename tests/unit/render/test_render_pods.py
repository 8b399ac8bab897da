"""What is in the pods of a service."""

import json

import pytest

from resilientslice.api.pods import Resources
from resilientslice.render.pods import PRE_STOP_SECONDS, render_pod_template
from resilientslice.render.resources import SERVICE_DEFAULTS, render_resources, worker_threads


def template(slice_, name, **options):
    return render_pod_template(slice_, slice_.service(name), digest="0123456789", **options)


def container(slice_, name, **options):
    return template(slice_, name, **options)["spec"]["containers"][0]


def environment(slice_, name):
    return {v["name"]: v.get("value", v.get("valueFrom")) for v in container(slice_, name)["env"]}


def test_shop_api_is_told_where_everything_is(shop):
    assert environment(shop, "api") == {
        "PORT": "8080",
        "RSLICE_SLICE": "shop",
        "RSLICE_SERVICE": "api",
        "RSLICE_TRACK": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['resilientslice.dev/track']"}},
        "RSLICE_VERSION": "0123456789",
        "POD_NAME": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
        "TENANT_HEADER": "X-Tenant",
        "CANARY_HEADER": "X-Canary",
        "CATALOG_URL": "http://shop-catalog:8080",
        "PAYMENTS_URL": "http://shop-payments:8080",
        "REDIS_URL": {"secretKeyRef": {"name": "shop-redis", "key": "url"}},
    }


@pytest.mark.parametrize(
    ("stores", "secrets"),
    [
        (
            "{postgres: {managed: {}}, redis: {managed: {}}}",
            {"DATABASE_URL": ("shop-postgres", "url"), "REDIS_URL": ("shop-redis", "url")},
        ),
        (
            "{postgres: {external: {secretName: db}}, redis: {external: {secretName: cache}}}",
            {"DATABASE_URL": ("db", "url"), "REDIS_URL": ("cache", "url")},
        ),
        ("{postgres: {cnpg: {}}}", {"DATABASE_URL": ("shop-postgres-app", "uri")}),
        ("{}", {}),
    ],
)
def test_a_store_is_named_by_the_secret_of_its_variant(of_services, stores, secrets):
    slice_ = of_services("  - {name: a, image: i, stores: [redis, postgres]}", f"  stores: {stores}")
    refs = {
        name: (value["secretKeyRef"]["name"], value["secretKeyRef"]["key"])
        for name, value in environment(slice_, "a").items()
        if name.endswith("_URL")
    }
    assert refs == secrets


def test_a_slice_without_limits_canary_or_port_tells_less(of_services):
    slice_ = of_services("  - {name: a, image: i}")
    assert environment(slice_, "a").keys() == {
        "RSLICE_SLICE",
        "RSLICE_SERVICE",
        "RSLICE_TRACK",
        "RSLICE_VERSION",
        "POD_NAME",
    }


def test_the_users_variable_wins_and_may_refer_to_ours(of_services):
    slice_ = of_services(
        "  - {name: a, image: i, port: 80, env: [{name: RSLICE_SLICE, value: mine}, {name: ADDR, value: ':$(PORT)'}]}"
    )
    variables = container(slice_, "a")["env"]
    assert [v["name"] for v in variables].count("RSLICE_SLICE") == 1
    assert environment(slice_, "a")["RSLICE_SLICE"] == "mine"
    assert variables[-1] == {"name": "ADDR", "value": ":$(PORT)"}


def test_a_callee_without_a_port_or_that_is_gone_gives_no_url(of_services):
    slice_ = of_services("  - {name: a, image: i, dependsOn: [b, c]}\n  - {name: b, image: i}")
    assert not [name for name in environment(slice_, "a") if name.endswith("_URL")]


def test_every_pod_is_restricted(shop):
    for service in shop.spec.services:
        pod = template(shop, service.name)["spec"]
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert pod["containers"][0]["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        }
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["serviceAccountName"] == f"shop-{service.name}"


@pytest.mark.parametrize(
    ("probes", "field", "expected"),
    [
        ("{}", "readinessProbe", {"httpGet": {"path": "/readyz", "port": 80}, "periodSeconds": 5}),
        ("{}", "livenessProbe", {"tcpSocket": {"port": 80}, "periodSeconds": 10}),
        ("{}", "startupProbe", {"tcpSocket": {"port": 80}, "periodSeconds": 1, "failureThreshold": 120}),
        ("{readiness: {httpGet: {path: /r}}}", "readinessProbe", {"httpGet": {"path": "/r", "port": 80}}),
        ("{readiness: {httpGet: {port: 81}}}", "readinessProbe", {"httpGet": {"path": "/", "port": 81}}),
        ("{liveness: {tcpSocket: {}}}", "livenessProbe", {"tcpSocket": {"port": 80}}),
        ("{liveness: {tcpSocket: {port: 81}}}", "livenessProbe", {"tcpSocket": {"port": 81}}),
        ("{startup: {grpc: {}}}", "startupProbe", {"grpc": {"port": 80}}),
        ("{startup: {grpc: {port: 81, service: s}}}", "startupProbe", {"grpc": {"port": 81, "service": "s"}}),
        ("{startup: {exec: {command: [x]}}}", "startupProbe", {"exec": {"command": ["x"]}}),
        (
            "{readiness: {tcpSocket: {}, initialDelaySeconds: 1, periodSeconds: 2, timeoutSeconds: 3, "
            "successThreshold: 4, failureThreshold: 5}}",
            "readinessProbe",
            {
                "initialDelaySeconds": 1,
                "periodSeconds": 2,
                "timeoutSeconds": 3,
                "successThreshold": 4,
                "failureThreshold": 5,
            },
        ),
    ],
)
def test_probes_are_the_users_or_made_from_the_port(of_services, probes, field, expected):
    slice_ = of_services(f"  - {{name: a, image: i, port: 80, probes: {probes}}}")
    probe = container(slice_, "a")[field]
    assert probe | expected == probe


def test_a_grpc_service_is_asked_by_grpc(of_services):
    slice_ = of_services("  - {name: a, image: i, port: 80, protocol: GRPC}")
    assert container(slice_, "a")["readinessProbe"]["grpc"] == {"port": 80}
    assert container(slice_, "a")["ports"] == [{"name": "grpc", "containerPort": 80, "protocol": "TCP"}]


def test_without_a_port_there_are_only_the_users_probes(of_services):
    slice_ = of_services("  - {name: a, image: i, probes: {liveness: {exec: {command: [x]}}}}")
    made = container(slice_, "a")
    assert [field for field in made if field.endswith("Probe")] == ["livenessProbe"]
    assert "ports" not in made


@pytest.mark.parametrize(
    ("port", "sleep_action", "lifecycle", "grace"),
    [
        ("port: 80", True, {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}}, 30 + PRE_STOP_SECONDS),
        ("port: 80", False, {"preStop": {"exec": {"command": ["sleep", "5"]}}}, 30 + PRE_STOP_SECONDS),
        ("replicas: 1", True, None, 30),
        ("port: 80, terminationGracePeriod: 1500ms", True, {"preStop": {"sleep": {"seconds": 5}}}, 7),
    ],
)
def test_a_pod_serves_on_until_the_proxies_know(of_services, port, sleep_action, lifecycle, grace):
    slice_ = of_services(f"  - {{name: a, image: i, {port}}}")
    pod = template(slice_, "a", sleep_action=sleep_action)["spec"]
    assert pod["containers"][0].get("lifecycle") == lifecycle
    assert pod["terminationGracePeriodSeconds"] == grace


def test_pre_stop_outlasts_the_refresh_of_dns():
    assert PRE_STOP_SECONDS > 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}),
        (
            {"requests": {"memory": "1Gi"}},
            {"requests": {"cpu": "50m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        ),
        (
            {"limits": {"memory": "32Mi", "cpu": "1"}},
            {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "32Mi"}},
        ),
        (
            {"limits": {"cpu": "20m"}},
            {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"cpu": "20m", "memory": "256Mi"}},
        ),
        (
            {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "4Gi"}},
            {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "4Gi"}},
        ),
    ],
)
def test_resources_have_defaults_that_never_contradict_what_was_given(given, expected):
    assert render_resources(Resources(**given), SERVICE_DEFAULTS) == expected


@pytest.mark.parametrize(("cpu", "threads"), [("1", 1), ("100m", 1), ("2", 2), ("2500m", 3), ("4.0", 4)])
def test_one_thread_a_cpu(cpu, threads):
    assert worker_threads({"limits": {"cpu": cpu}}) == threads


def test_tmp_is_writable_unless_the_user_mounts_it(of_services):
    plain = of_services("  - {name: a, image: i}")
    own = of_services("  - {name: a, image: i, volumes: [{name: tmp, mountPath: /tmp, emptyDir: {sizeLimit: 1Gi}}]}")
    assert container(plain, "a")["volumeMounts"] == [{"name": "rslice-tmp", "mountPath": "/tmp"}]
    assert template(plain, "a")["spec"]["volumes"] == [{"name": "rslice-tmp", "emptyDir": {"sizeLimit": "64Mi"}}]
    assert container(own, "a")["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert template(own, "a")["spec"]["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]


def test_everything_a_user_can_say_reaches_the_pod(everything):
    pod, web = template(everything, "web")["spec"], container(everything, "web")
    assert (web["command"], web["args"]) == (["/web"], ["--fast"])
    assert web["env"][-4:] == [
        {"name": "PLAIN", "value": "x"},
        {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": False}}},
        {"name": "FROM_MAP", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k", "optional": True}}},
        {"name": "FROM_FIELD", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
    ]
    assert web["envFrom"] == [
        {"prefix": "P_", "secretRef": {"name": "s", "optional": False}},
        {"configMapRef": {"name": "m", "optional": True}},
    ]
    assert pod["volumes"][1:] == [
        {"name": "certs", "secret": {"secretName": "certs", "optional": False}},
        {"name": "conf", "configMap": {"name": "conf", "optional": True}},
        {"name": "cache", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "web-data"}},
    ]
    assert web["volumeMounts"][1:] == [
        {"name": "certs", "mountPath": "/certs", "readOnly": True},
        {"name": "conf", "mountPath": "/conf/app.yaml", "subPath": "app.yaml", "readOnly": True},
        {"name": "cache", "mountPath": "/cache"},
        {"name": "data", "mountPath": "/data"},
    ]
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["priorityClassName"] == "high"
    assert pod["affinity"]["nodeAffinity"]
    assert pod["tolerations"] == [
        {"key": "dedicated", "operator": "Equal", "value": "web", "effect": "NoExecute", "tolerationSeconds": 60},
        {"operator": "Exists"},
    ]
    assert pod["terminationGracePeriodSeconds"] == 95


def test_pods_are_spread_without_insisting(shop):
    spread = template(shop, "api")["spec"]["topologySpreadConstraints"]
    assert [s["topologyKey"] for s in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert {s["whenUnsatisfiable"] for s in spread} == {"ScheduleAnyway"}
    assert spread[0]["labelSelector"]["matchLabels"] == {
        "resilientslice.dev/slice": "shop",
        "resilientslice.dev/service": "api",
    }
    assert spread[0]["matchLabelKeys"] == ["pod-template-hash"]


def test_pods_are_kept_apart_also_where_nodes_have_no_zone(shop):
    affinity = template(shop, "api")["spec"]["affinity"]["podAntiAffinity"]
    [preferred] = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    assert "requiredDuringSchedulingIgnoredDuringExecution" not in affinity
    assert preferred["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    assert preferred["podAffinityTerm"]["labelSelector"]["matchLabels"] == {
        "resilientslice.dev/slice": "shop",
        "resilientslice.dev/service": "api",
    }


def test_a_template_is_plain_json_without_a_track(shop, everything):
    for slice_ in (shop, everything):
        for service in slice_.spec.services:
            made = template(slice_, service.name)
            assert json.loads(json.dumps(made)) == made
            assert "resilientslice.dev/track" not in made["metadata"]["labels"]
