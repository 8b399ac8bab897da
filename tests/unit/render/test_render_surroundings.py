"""The proxies, the way in, and the stores."""

import base64
import gzip
import json

import pytest

from resilientslice.api.services import StoreName
from resilientslice.render.envoy import render_envoy
from resilientslice.render.names import FRONT_PORT, STATS_PORT
from resilientslice.render.objects import render_objects
from resilientslice.render.proxy import ADMIN_SOCKET, ADS_SOCKET, LARGEST_TEXT, cluster_topology
from resilientslice.render.revision import changed_services, revision_of
from resilientslice.render.stores.credentials import render_credentials
from resilientslice.render.stores.redis import MEMORY_PERCENT
from resilientslice.render.tracks import Address, CanaryTrack, DnsDiscovery


def test_envoy_outlives_the_agent_that_drains_it(shop, rendered):
    pod = rendered(shop).pod("shop-proxy")
    envoy, agent = pod["initContainers"][0], pod["containers"][0]
    assert envoy["restartPolicy"] == "Always"
    # with a startup probe Envoy would wait for its configuration, and the agent that has it for Envoy
    assert "startupProbe" not in envoy
    assert agent["name"] == "agent"
    assert f"--ads-socket={ADS_SOCKET}" in agent["args"]
    assert f"--admin-socket={ADMIN_SOCKET}" in agent["args"]
    shared = {m["mountPath"] for m in envoy["volumeMounts"]} & {m["mountPath"] for m in agent["volumeMounts"]}
    assert {"/run/resilientslice", "/etc/resilientslice"} <= shared
    for container in (envoy, agent):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_envoy_is_ready_when_it_has_a_configuration(shop, rendered):
    envoy = rendered(shop).pod("shop-proxy")["initContainers"][0]
    assert envoy["readinessProbe"]["tcpSocket"]["port"] == FRONT_PORT
    assert [p["containerPort"] for p in envoy["ports"]] == [FRONT_PORT, STATS_PORT]


@pytest.mark.parametrize(
    ("proxy", "replicas", "threads", "budget"),
    [
        ("{}", 2, "1", True),
        ("{replicas: 1}", 1, "1", False),
        ("{replicas: 5, resources: {limits: {cpu: 2500m}}}", 5, "3", True),
    ],
)
def test_proxies_are_as_many_and_as_large_as_asked(of_services, rendered, proxy, replicas, threads, budget):
    made = rendered(of_services("  - {name: a, image: i, port: 80}", f"  proxy: {proxy}"))
    arguments = made.pod("shop-proxy")["initContainers"][0]["args"]
    assert made.spec("Deployment", "shop-proxy")["replicas"] == replicas
    assert arguments[arguments.index("--concurrency") + 1] == threads
    assert (made.get("PodDisruptionBudget", "shop-proxy") is not None) is budget


def test_adding_a_service_restarts_no_proxy(of_services, rendered):
    one = "  - {name: a, image: i, port: 80}"
    before, after = rendered(of_services(one)), rendered(of_services(f"{one}\n  - {{name: b, image: i, port: 80}}"))
    assert before.get("Deployment", "shop-proxy") == after.get("Deployment", "shop-proxy")
    assert before.get("ConfigMap", "shop-proxy") != after.get("ConfigMap", "shop-proxy")


def test_the_durable_copy_is_what_would_be_pushed(shop):
    stable = revision_of(shop)
    topology = cluster_topology(shop, stable, None)
    objects = render_objects(shop, stable, None, epoch=(3, 7))
    data = next(o for o in objects if (o["kind"], o["metadata"]["name"]) == ("ConfigMap", "shop-proxy"))["data"]
    assert json.loads(data["config.json"]) == {
        "epoch": [3, 7],
        "config": json.loads(json.dumps(render_envoy(shop, stable, None, topology).to_json())),
    }
    assert json.loads(data["bootstrap.json"])["node"] == {"cluster": "shop", "id": "shop-proxy"}


def test_the_largest_slice_fits_a_config_map_and_kubectl_apply(of_services, rendered):
    lines = "\n".join(f"  - {{name: s{i}, image: i, port: 80, expose: {{pathPrefix: /s{i}}}}}" for i in range(64))
    large = rendered(of_services(lines)).get("ConfigMap", "shop-proxy")
    assert large is not None
    assert large["data"].keys() == {"bootstrap.json"}
    packed = large["binaryData"]["config.json.gz"]
    assert len(packed) < LARGEST_TEXT
    assert len(json.loads(gzip.decompress(base64.b64decode(packed)))["config"]["listeners"]) == 65


def test_the_topology_of_a_cluster(everything):
    stable = revision_of(everything)
    topology = cluster_topology(everything, stable, None)
    assert topology.front == Address("0.0.0.0", FRONT_PORT)
    assert topology.stats == Address("0.0.0.0", STATS_PORT)
    assert topology.internal == {
        name: Address("0.0.0.0", stable.services[name].internal_port) for name in ("rpc", "web")
    }
    assert topology.discovery == DnsDiscovery(namespace="team-a")
    assert topology.proxies == 3
    assert (topology.ads_path, topology.admin_path) == (ADS_SOCKET, ADMIN_SOCKET)
    assert topology.hosts == ("a.example.org", "*.b.example.org")


def test_the_topology_has_the_listeners_of_both_revisions(of_services):
    before = of_services("  - {name: a, image: a, port: 80}\n  - {name: old, image: i, port: 80}")
    after = of_services("  - {name: a, image: a, port: 80}\n  - {name: new, image: i, port: 80}")
    stable = revision_of(before)
    wanted = revision_of(after, after=stable)
    canary = CanaryTrack(revision=wanted, services=changed_services(stable, wanted))
    topology = cluster_topology(after, stable, canary)
    assert list(topology.internal) == ["a", "new", "old"]
    assert topology.hosts == ("*",)
    assert topology.proxies == 2


@pytest.mark.parametrize(
    ("front", "kind", "policy"),
    [
        ("{}", "ClusterIP", None),
        ("{trustedProxies: [10.0.0.0/8]}", "ClusterIP", None),
        ("{type: NodePort}", "NodePort", None),
        ("{type: LoadBalancer, trustedProxies: [10.0.0.0/8]}", "LoadBalancer", "Local"),
    ],
)
def test_the_way_in(of_services, rendered, front, kind, policy):
    made = rendered(of_services("  - {name: a, image: i, port: 80}", f"  front: {front}"))
    spec = made.spec("Service", "shop-front")
    assert (spec["type"], spec.get("externalTrafficPolicy")) == (kind, policy)
    assert [(p["port"], p["targetPort"]) for p in spec["ports"]] == [(80, FRONT_PORT)]
    assert made.names("Ingress") == []


def test_an_ingress_before_the_front(everything, rendered):
    spec = rendered(everything).spec("Ingress", "all-front")
    assert spec["ingressClassName"] == "traefik"
    assert spec["tls"] == [{"hosts": ["a.example.org", "*.b.example.org"], "secretName": "tls"}]
    assert [rule["host"] for rule in spec["rules"]] == ["a.example.org", "*.b.example.org"]
    backend = spec["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": "all-front", "port": {"number": 80}}


def test_a_plain_ingress(of_services, rendered):
    made = rendered(
        of_services("  - {name: a, image: i, port: 80}", "  front: {kind: Ingress, hosts: [shop.example.org]}")
    )
    assert made.spec("Ingress", "shop-front").keys() == {"rules"}


@pytest.mark.parametrize("name", ["shop-postgres", "shop-redis"])
def test_a_managed_store_keeps_its_volume_and_shows_no_password(shop, rendered, name):
    made = rendered(shop)
    spec = made.spec("StatefulSet", name)
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert spec["volumeClaimTemplates"][0]["spec"]["resources"] == {"requests": {"storage": "1Gi"}}
    assert "storageClassName" not in spec["volumeClaimTemplates"][0]["spec"]
    assert spec["replicas"] == 1
    volumes = {v["name"]: v for v in made.pod(name, "StatefulSet")["volumes"]}
    assert volumes["credentials"]["secret"]["secretName"] == name
    container = made.container(name, "StatefulSet")
    assert {m["name"] for m in container["volumeMounts"]} == {*volumes, "data"}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert not made.names("Secret")
    assert made.get("PodDisruptionBudget", name) is None
    selector = made.spec("Service", name)["selector"]
    assert selector.items() <= spec["template"]["metadata"]["labels"].items()


def test_postgres_runs_below_its_volume_and_gives_services_a_role_of_their_own(shop, rendered):
    made = rendered(shop)
    container = made.container("shop-postgres", "StatefulSet")
    environment = {v["name"]: v["value"] for v in container["env"]}
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    assert environment["PGDATA"].startswith(mounts["data"] + "/")
    assert environment["POSTGRES_PASSWORD_FILE"].startswith(mounts["credentials"] + "/")
    assert container["image"] == "postgres:18"
    script = made.get("ConfigMap", "shop-postgres")["data"]["10-application.sh"]
    assert mounts["configuration"] == "/docker-entrypoint-initdb.d"
    assert "CREATE ROLE app LOGIN" in script
    assert "SUPERUSER" not in script


@pytest.mark.parametrize(("limit", "bytes_"), [("", 256 * 2**20), ("limits: {memory: 1Gi}", 2**30)])
def test_redis_refuses_writes_before_it_is_killed(of_services, rendered, limit, bytes_):
    made = rendered(
        of_services("  - {name: a, image: i}", f"  stores: {{redis: {{managed: {{resources: {{{limit}}}}}}}}}")
    )
    lines = made.get("ConfigMap", "shop-redis")["data"]["redis.conf"].splitlines()
    assert f"maxmemory {bytes_ * MEMORY_PERCENT // 100}" in lines
    assert "maxmemory-policy noeviction" in lines
    assert "appendonly yes" in lines
    assert "include /run/secrets/resilientslice/auth.conf" in lines


def test_a_store_restarts_when_its_configuration_changes(of_services, rendered):
    def annotations(limit):
        stores = f"  stores: {{redis: {{managed: {{storage: 2Gi, resources: {{limits: {{memory: {limit}}}}}}}}}}}"
        made = rendered(of_services("  - {name: a, image: i}", stores))
        return made.spec("StatefulSet", "shop-redis")["template"]["metadata"]["annotations"]

    assert annotations("1Gi") == annotations("1Gi")
    assert annotations("1Gi") != annotations("2Gi")


def test_a_storage_class_is_passed_on(of_services, rendered):
    stores = "  stores: {postgres: {managed: {storageClassName: fast, storage: 9Gi}}}"
    made = rendered(of_services("  - {name: a, image: i}", stores))
    claim = made.spec("StatefulSet", "shop-postgres")["volumeClaimTemplates"][0]
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["resources"]["requests"]["storage"] == "9Gi"
    assert made.names("StatefulSet") == ["shop-postgres"]


@pytest.mark.parametrize(("instances", "budget"), [(3, True), (1, False)])
def test_cloudnativepg_runs_its_own_cluster(of_services, rendered, instances, budget):
    made = rendered(
        of_services("  - {name: a, image: i}", f"  stores: {{postgres: {{cnpg: {{instances: {instances}}}}}}}")
    )
    spec = made.spec("Cluster", "shop-postgres")
    assert (spec["instances"], spec["enablePDB"]) == (instances, budget)
    assert made.names("StatefulSet") == []
    assert made.get("Service", "shop-postgres") is None


def test_credentials_lead_services_to_their_store(shop):
    postgres = render_credentials(shop, StoreName.POSTGRES, password="pw-1", superuser_password="root-1")
    redis = render_credentials(shop, StoreName.REDIS, password="pw-2", superuser_password="root-2")
    assert postgres["metadata"]["name"] == "shop-postgres"
    assert postgres["stringData"] == {
        "superuser-password": "root-1",
        "password": "pw-1",
        "url": "postgresql://app:pw-1@shop-postgres:5432/app",
    }
    assert redis["stringData"] == {
        "auth.conf": "requirepass pw-2\n",
        "password": "pw-2",
        "url": "redis://:pw-2@shop-redis:6379/0",
    }
