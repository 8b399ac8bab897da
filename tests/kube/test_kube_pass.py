"""The pass on a real API server: what is applied, what is left alone, and what it costs."""

import copy
import secrets

import pytest
import yaml
from tests.kube.pass_edits import canary, edit, tag, weigh

from resilientslice.agent.signing import UnusableKeyError
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import ForbiddenError, KubeError, NotLeadingError
from resilientslice.kube.kinds import (
    AUTOSCALER,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    EVENT,
    NETWORK_POLICY,
    POD,
    RESILIENT_SLICE,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    VOLUME_CLAIM,
    SliceKey,
)
from resilientslice.kube.session import Session
from testkit.files import sample, service_of
from testkit.pass_world import writes
from testkit.replica_sets import controlled_by, replica_set

LOOK = ("get", "Secret")
"""Nobody tells when a Secret is deleted: one request a store every 50 s."""


def more_replicas(document):
    service_of(document, "api").update(replicas=5)


def fail_to_apply(patch, kind, error):
    """Every object of a kind, as the API server might."""
    apply = KubeClient.apply

    async def failing(self, obj, **options):
        if obj["kind"] == kind:
            raise error
        return await apply(self, obj, **options)

    patch.setattr(KubeClient, "apply", failing)


@pytest.mark.parametrize("name", ["minimal", "shop", "external-stores"])
async def test_a_sample_comes_up_and_costs_nothing_at_rest(world, name):
    document = sample(name)
    name = document["metadata"]["name"]
    await world.apply(document)
    await world.settle(name)
    assert (await world.slice(name))["status"]["phase"] == "Ready"
    assert await world.condition(name, "ConfigAccepted") == ("True", "Acknowledged", "")
    for _ in range(3):
        world.now += 3600
        made = await world.reconcile(name)
        assert made == [LOOK] * len(await world.names(STATEFUL_SET)), "only whether the stores' Secrets are still there"
        assert await world.reconcile(name) == []


async def test_a_restarted_operator_writes_nothing(shop):
    await edit(shop, tag("payments", "2"))
    await edit(shop, weigh(30))
    await shop.settle("shop")
    shop.restart()
    pushes = len(shop.agents.pushed)
    assert writes(await shop.reconcile("shop")) == []
    assert len(shop.agents.pushed) == pushes
    assert await shop.reconcile("shop") == []


async def test_a_weight_moves_traffic_and_writes_three_objects(shop):
    await edit(shop, tag("payments", "2"))
    await edit(shop, weigh(10))
    await shop.settle("shop")
    assert ((await canary(shop))["weight"], (await canary(shop))["phase"]) == (10, "Progressing")
    await edit(shop, weigh(30))
    made = writes(await shop.reconcile("shop"))
    changed = [request for request in made if request[1] != "Event"]
    assert sorted(changed) == [("apply", "ConfigMap"), ("apply", "ConfigMap"), ("patch_status", "ResilientSlice")]
    assert (await canary(shop))["weight"] == 30
    assert writes(await shop.reconcile("shop")) == []


async def test_a_hundred_promotes_and_the_canary_goes(shop):
    await edit(shop, tag("payments", "2"))
    await edit(shop, weigh(30))
    await shop.settle("shop")
    assert "shop-payments-canary" in await shop.names(DEPLOYMENT)
    await edit(shop, weigh(100))
    for _ in range(5):
        await shop.settle("shop", seconds=60)
    assert (await canary(shop))["phase"] == "Idle"
    assert "shop-payments-canary" not in await shop.names(DEPLOYMENT)
    stable = await shop.others.get(DEPLOYMENT, shop.namespace, "shop-payments-stable")
    assert stable["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":2")


async def test_the_old_image_again_ends_the_canary_and_its_revision_is_forgotten(shop):
    before = service_of(shop.document, "payments")["image"].rpartition(":")[2]
    await edit(shop, tag("payments", "2"))
    await edit(shop, weigh(30))
    await shop.settle("shop")
    assert len(await shop.names(CONTROLLER_REVISION)) == 2
    await edit(shop, tag("payments", before))
    for _ in range(3):
        await shop.settle("shop", seconds=60)
    assert "shop-payments-canary" not in await shop.names(DEPLOYMENT)
    assert len(await shop.names(CONTROLLER_REVISION)) == 1
    assert (await shop.slice("shop"))["status"]["phase"] == "Ready"


async def test_a_weight_left_behind_does_not_ship_the_next_image(shop):
    await edit(shop, tag("payments", "2"))
    await edit(shop, weigh(100))
    for _ in range(5):
        await shop.settle("shop", seconds=60)
    await edit(shop, tag("payments", "3"))
    await shop.settle("shop")
    found = await canary(shop)
    assert (found["phase"], found["weight"]) == ("Paused", 0)
    assert "StaleWeight" in found["message"]
    assert (await shop.condition("shop", "Reconciling"))[1] == "StaleWeight"


@pytest.mark.parametrize(
    ("kind", "name"),
    [(DEPLOYMENT, "shop-api-stable"), (SERVICE, "shop-api"), (NETWORK_POLICY, "shop"), (CONFIG_MAP, "shop-state")],
    ids=str,
)
async def test_a_child_that_is_deleted_comes_back(shop, kind, name):
    await shop.others.delete(kind, shop.namespace, name)
    assert ("apply", kind.kind) in writes(await shop.reconcile("shop"))
    assert name in await shop.names(kind)


async def test_a_field_that_is_changed_or_removed_by_hand_is_taken_back(shop):
    for spec in ({"replicas": 7}, {"template": {"spec": {"containers": [{"name": "api", "image": "evil:1"}]}}}):
        changed = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "shop-api-stable", "namespace": shop.namespace},
            "spec": spec,
        }
        await shop.others.apply(changed, manager="hand", force=True)
        assert ("apply", "Deployment") in writes(await shop.reconcile("shop"))
        live = await shop.others.get(DEPLOYMENT, shop.namespace, "shop-api-stable")
        assert live["spec"]["replicas"] != 7
        assert live["spec"]["template"]["spec"]["containers"][0]["image"] != "evil:1"
    live = await shop.others.get(SERVICE, shop.namespace, "shop-api")
    del live["metadata"]["labels"]["app.kubernetes.io/part-of"]
    await shop.others.replace(live)
    assert ("apply", "Service") in writes(await shop.reconcile("shop"))
    live = await shop.others.get(SERVICE, shop.namespace, "shop-api")
    assert live["metadata"]["labels"]["app.kubernetes.io/part-of"] == "shop"


async def test_two_who_fight_over_a_field_are_named_and_left_alone(shop):
    changed = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop-api-stable", "namespace": shop.namespace},
        "spec": {"replicas": 7},
    }
    for _ in range(3):
        await shop.others.apply(changed, manager="scaler", force=True)
        assert ("apply", "Deployment") in writes(await shop.reconcile("shop"))
        shop.now += 10
    await shop.others.apply(changed, manager="scaler", force=True)
    await shop.settle("shop")
    status, reason, message = await shop.condition("shop", "FieldConflict")
    assert (status, reason) == ("True", "FieldManagerConflict")
    assert "Deployment shop-api-stable: scaler goes on setting spec.replicas" in message
    live = await shop.others.get(DEPLOYMENT, shop.namespace, "shop-api-stable")
    assert live["spec"]["replicas"] == 7
    shop.now += 301
    assert ("apply", "Deployment") in writes(await shop.reconcile("shop"))
    shop.now += 1201
    await shop.settle("shop")
    assert await shop.condition("shop", "FieldConflict") is None


@pytest.mark.parametrize("labelled", [False, True])
async def test_an_object_of_somebody_else_is_named_and_never_touched(world, labelled):
    document = sample("minimal")
    name = document["metadata"]["name"]
    first = document["spec"]["services"][0]["name"]
    labels = {"labels": {"resilientslice.dev/slice": name}} if labelled else {}
    other = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"{name}-{first}", "namespace": world.namespace, **labels},
        "spec": {"ports": [{"port": 9}]},
    }
    before = await world.others.create(other)
    await world.apply(document)
    await world.settle(name)
    after = await world.others.get(SERVICE, world.namespace, f"{name}-{first}")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    status, reason, message = await world.condition(name, "NameConflict")
    assert (status, reason) == ("True", "ObjectNotOwned")
    assert f"Service {name}-{first} exists and is not controlled by this slice" in message
    assert (await world.condition(name, "Stalled"))[:2] == ("True", "ObjectNotOwned")
    await world.others.delete(SERVICE, world.namespace, f"{name}-{first}")
    world.now += 31
    await world.settle(name)
    assert await world.condition(name, "NameConflict") is None
    assert (await world.slice(name))["status"]["phase"] == "Ready"


async def test_a_service_that_is_removed_takes_its_objects_with_it(shop):
    def change(document):
        document["spec"].pop("canary", None)
        document["spec"]["services"] = [s for s in document["spec"]["services"] if s["name"] != "worker"]

    await edit(shop, change)
    await shop.settle("shop")
    assert "shop-worker-stable" not in await shop.names(DEPLOYMENT)
    assert "shop-worker" in await shop.names(NETWORK_POLICY), "its pods take a while to end"
    for _ in range(3):
        shop.now += 60
        await shop.settle("shop")
    assert "shop-worker" not in await shop.names(NETWORK_POLICY)


async def test_a_service_that_old_pods_call_outlives_them_also_over_a_restart(shop):
    """catalog goes, and api calls it no more, in one edit without a canary."""

    def change(document):
        document["spec"].pop("canary", None)
        document["spec"]["services"] = [s for s in document["spec"]["services"] if s["name"] != "catalog"]
        for found in document["spec"]["services"]:
            found["dependsOn"] = [name for name in found.get("dependsOn", ()) if name != "catalog"]

    shop.stuck = {"shop-api-stable"}
    await edit(shop, change)
    await shop.settle("shop")
    shop.restart()
    shop.now += 3600
    await shop.settle("shop")
    assert "shop-catalog-stable" in await shop.names(DEPLOYMENT)
    assert "shop-catalog" in await shop.names(SERVICE)
    shop.stuck = set()
    for _ in range(4):
        await shop.settle("shop")
        shop.now += 60
    assert "shop-catalog-stable" not in await shop.names(DEPLOYMENT)
    assert "shop-catalog" not in await shop.names(SERVICE)
    assert writes(await shop.reconcile("shop")) == []


async def test_a_port_that_moves_without_a_canary_section_is_moved_by_one_and_back_to_rest(shop):
    def change(document):
        document["spec"].pop("canary", None)
        service_of(document, "payments")["port"] = 9191

    shop.stuck = {"shop-payments-canary"}
    await edit(shop, change)
    await shop.settle("shop")
    assert (await canary(shop))["phase"] == "Starting"
    assert (await shop.condition("shop", "Ready"))[0] == "True"
    shop.stuck = set()
    for _ in range(4):
        await shop.settle("shop")
        shop.now += 60
    assert (await canary(shop))["phase"] == "Idle"
    assert "shop-payments-canary" not in await shop.names(DEPLOYMENT)
    ports = (await shop.others.get(SERVICE, shop.namespace, "shop-payments"))["spec"]["ports"]
    assert [port["port"] for port in ports] == [9191]
    assert writes(await shop.reconcile("shop")) == []


async def test_a_change_of_replicas_takes_nothing_from_a_live_canary(shop):
    await edit(shop, tag("payments", "2"))
    await edit(shop, weigh(50))
    await shop.settle("shop")
    await edit(shop, lambda document: service_of(document, "payments").update(replicas=4))
    for _ in range(3):
        await shop.reconcile("shop")
        assert ((await canary(shop))["weight"], (await canary(shop))["phase"]) == (50, "Progressing")
        assert (await shop.condition("shop", "CanaryHealthy"))[0] == "True"
    events = await shop.others.list_all(EVENT, shop.namespace)
    assert not [event for event in events if event["reason"] == "CanaryUnhealthy"]


async def test_everything_is_owned_but_the_credentials(shop):
    uid = (await shop.slice("shop"))["metadata"]["uid"]
    for kind in (DEPLOYMENT, SERVICE, CONFIG_MAP, STATEFUL_SET, NETWORK_POLICY, CONTROLLER_REVISION):
        for obj in await shop.others.list_all(kind, shop.namespace, label_selector="resilientslice.dev/slice=shop"):
            assert [owner["uid"] for owner in obj["metadata"]["ownerReferences"]] == [uid], obj["metadata"]["name"]
    for name in ("shop-postgres", "shop-redis"):
        secret = await shop.others.get(SECRET, shop.namespace, name)
        assert "ownerReferences" not in secret["metadata"]


async def test_credentials_outlive_the_slice_and_are_found_again(shop):
    before = await shop.others.get(SECRET, shop.namespace, "shop-postgres")
    document = copy.deepcopy(shop.document)
    await shop.others.delete(RESILIENT_SLICE, shop.namespace, "shop")
    for kind in (DEPLOYMENT, SERVICE, CONFIG_MAP, STATEFUL_SET, NETWORK_POLICY, CONTROLLER_REVISION):
        for name in await shop.names(kind):  # nobody collects garbage here
            await shop.others.delete(kind, shop.namespace, name)
    await shop.reconcile("shop")
    await shop.apply(document)
    await shop.reconcile("shop")
    after = await shop.others.get(SECRET, shop.namespace, "shop-postgres")
    assert after["data"] == before["data"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


async def test_a_volume_without_its_credentials_is_said_and_the_store_not_started(world):
    await world.others.create(claim(world.namespace))
    await world.apply(sample("shop"))
    await world.settle("shop")
    status, reason, message = await world.condition("shop", "Stalled")
    assert (status, reason) == ("True", "CredentialsMissing")
    assert "PersistentVolumeClaim data-shop-postgres-0 holds data" in message
    assert await world.names(STATEFUL_SET) == {"shop-redis"}
    assert await world.others.find(SECRET, world.namespace, "shop-postgres") is None
    assert world.deadline is not None, "nobody tells when it was restored"
    keys = {"password": "p", "superuser-password": "s", "url": "u"}
    restored = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop-postgres"}, "stringData": keys}
    await world.others.create({**restored, "metadata": {**restored["metadata"], "namespace": world.namespace}})
    world.now = world.deadline
    await world.settle("shop")
    assert (await world.condition("shop", "Stalled"))[0] == "False"
    assert await world.names(STATEFUL_SET) == {"shop-postgres", "shop-redis"}


async def test_credentials_that_may_not_be_owned_keep_their_store_and_nothing_else(world, monkeypatch):
    """An admission plugin asks for rights that the operator hasn't."""
    said = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on"
    fail_to_apply(monkeypatch, "Secret", ForbiddenError("apply Secret", status=403, message=said))
    document = sample("shop")
    document["spec"]["deletionPolicy"] = "Delete"
    await world.apply(document)
    await world.settle("shop")
    status, _, message = await world.condition("shop", "Stalled")
    assert status == "True"
    assert "Secret shop-postgres" in message
    assert said in message
    assert await world.names(STATEFUL_SET) == set()
    assert "shop-api-stable" in await world.names(DEPLOYMENT), "services go on"
    monkeypatch.undo()
    world.now = world.deadline
    await world.settle("shop")
    assert await world.names(STATEFUL_SET) == {"shop-postgres", "shop-redis"}


async def test_credentials_and_volume_follow_the_policy_there_and_back(world):
    """Also a volume that comes to be after its store was started, as they all do."""
    document = sample("shop")
    document["spec"]["deletionPolicy"] = "Delete"
    await world.apply(document)
    await world.settle("shop")
    assert "shop-postgres" in await world.names(STATEFUL_SET)
    for store in ("postgres", "redis"):
        await world.others.create(claim(world.namespace, store))
    await world.reconcile("shop")
    assert await owned_stores(world) == [True, True]
    for policy, owned in (("Retain", False), ("Delete", True), ("Retain", False)):
        document["spec"]["deletionPolicy"] = policy
        await world.apply(document)
        await world.settle("shop")
        assert await owned_stores(world) == [owned, owned], policy
        made = await world.reconcile("shop")
        assert ("get", "Secret") not in made, "what is known is not asked for"


async def owned_stores(world):
    """Whether the Secret and the volume of PostgreSQL go with the slice."""
    found = [
        await world.others.get(SECRET, world.namespace, "shop-postgres"),
        await world.others.get(VOLUME_CLAIM, world.namespace, "data-shop-postgres-0"),
    ]
    return ["ownerReferences" in obj["metadata"] for obj in found]


def claim(namespace, store="postgres"):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": f"data-shop-{store}-0", "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }


async def test_suspended_nothing_is_touched(shop):
    def change(document):
        document["spec"]["suspend"] = True
        service_of(document, "api")["replicas"] = 9

    await edit(shop, change)
    made = writes(await shop.reconcile("shop"))
    assert {kind for _, kind in made} == {"ResilientSlice"}
    assert (await shop.slice("shop"))["status"]["phase"] == "Suspended"
    await shop.others.delete(DEPLOYMENT, shop.namespace, "shop-api-stable")
    assert await shop.reconcile("shop") == []


async def test_a_refused_configuration_is_neither_stored_nor_pushed_again(shop):
    good = (await shop.others.get(CONFIG_MAP, shop.namespace, "shop-proxy"))["data"]
    shop.agents.refuse = "no such filter"

    def change(document):
        document["spec"].setdefault("resilience", {})["timeout"] = "5s"

    pushes = len(shop.agents.pushed)
    await edit(shop, change)
    await shop.settle("shop")
    assert len(shop.agents.pushed) == pushes + 1
    assert await shop.condition("shop", "ConfigAccepted") == ("False", "ConfigRejected", "Envoy says: no such filter")
    assert (await shop.others.get(CONFIG_MAP, shop.namespace, "shop-proxy"))["data"] == good
    shop.agents.refuse = ""
    await edit(shop, lambda document: document["spec"]["resilience"].update(timeout="6s"))
    await shop.settle("shop")
    assert (await shop.slice("shop"))["status"]["phase"] == "Ready"


async def test_a_decision_that_was_pushed_and_never_stored_is_made_again(shop):
    await edit(shop, tag("payments", "2"))
    await edit(shop, weigh(10))
    await shop.settle("shop")
    state = await shop.others.get(CONFIG_MAP, shop.namespace, "shop-state")
    await edit(shop, weigh(30))
    await shop.settle("shop")
    thirty = shop.agents.pushed[-1].digest
    now = await shop.others.get(CONFIG_MAP, shop.namespace, "shop-state")
    now["data"] = state["data"]
    now["metadata"]["annotations"] = state["metadata"]["annotations"]
    await shop.others.replace(now)
    pushes = len(shop.agents.pushed)
    shop.restart()
    await shop.settle("shop")
    assert len(shop.agents.pushed) == pushes
    assert [set(ran.values()) for ran in shop.agents.running.values()] == [{thirty}]
    assert (await canary(shop))["weight"] == 30


async def test_replicas_are_handed_to_the_autoscaler_and_back_without_a_dip(shop):
    def scaled(document):
        service_of(document, "api").pop("replicas", None)
        service_of(document, "api")["autoscaling"] = {"minReplicas": 2, "maxReplicas": 6}

    def fixed(document):
        service_of(document, "api").pop("autoscaling")
        service_of(document, "api")["replicas"] = 4

    async def replicas():
        return (await shop.others.get(DEPLOYMENT, shop.namespace, "shop-api-stable"))["spec"]["replicas"]

    await edit(shop, more_replicas)
    await shop.settle("shop")
    await edit(shop, scaled)
    await shop.settle("shop")
    assert (await replicas(), "shop-api-stable" in await shop.names(AUTOSCALER)) == (5, True)
    await edit(shop, fixed)
    await shop.settle("shop")
    assert (await replicas(), await shop.names(AUTOSCALER)) == (4, set())


def fewer_replicas(document):
    service_of(document, "api").update(replicas=1)


def more_proxies(document):
    document["spec"].setdefault("proxy", {})["replicas"] = 3


@pytest.mark.parametrize("change", [more_replicas, fewer_replicas, more_proxies])
async def test_an_edit_is_never_called_done_before_its_deployments_were_counted_anew(shop, change):
    """Whoever waits for a status of the newest generation that is Ready and at rest is not let through too early."""
    await edit(shop, change)
    for _ in range(4):
        await shop.reconcile("shop")
        assert not await is_done(shop)
    await shop.settle("shop")
    assert await is_done(shop)


async def test_what_stops_a_slice_leaves_no_status_behind_for_the_next_edit(shop, monkeypatch):
    await edit(shop, more_replicas)
    await shop.reconcile("shop")
    await shop.control()

    async def unusable(*args):
        raise UnusableKeyError("Secret shop-agent: no key")

    with monkeypatch.context() as patch:
        patch.setattr(shop.agents, "follow", unusable)
        await shop.reconcile("shop")
        assert (await shop.condition("shop", "Stalled"))[:2] == ("True", "AgentKeyInvalid")
    await edit(shop, fewer_replicas)
    await shop.reconcile("shop")
    assert not await is_done(shop)
    await shop.settle("shop")
    assert await is_done(shop)


async def is_done(world):
    found = await world.slice("shop")
    current = found["status"]["observedGeneration"] == found["metadata"]["generation"]
    says = [(await world.condition("shop", kind))[0] for kind in ("Ready", "Reconciling")]
    return current and says == ["True", "False"]


async def test_an_edit_that_could_not_be_written_is_not_called_observed(shop, monkeypatch):
    await edit(shop, more_replicas)
    with monkeypatch.context() as patch:
        fail_to_apply(patch, "Deployment", KubeError("apply Deployment", status=500, message="out of order"))
        for _ in range(3):
            with pytest.raises(KubeError, match="out of order"):
                await shop.reconcile("shop")
            assert not await is_done(shop)
    await shop.settle("shop")
    assert await is_done(shop)


async def test_what_a_quota_refuses_is_said(shop):
    status = {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate",
                "message": 'pods "x" is forbidden: exceeded quota: small',
            }
        ],
    }
    shop.stuck.add("shop-api-stable")
    await shop.others.patch_status(DEPLOYMENT, shop.namespace, "shop-api-stable", status, manager="controllers")
    await shop.reconcile("shop")
    status, reason, message = await shop.condition("shop", "Ready")
    assert (status, reason) == ("False", "QuotaExceeded")
    assert "shop-api-stable: raise the ResourceQuota" in message


async def test_a_right_that_is_missing_is_said_and_the_rest_serves(shop, api):
    name = f"limited-{secrets.token_hex(3)}"
    rules = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": ["resilientslice.dev", "events.k8s.io"], "resources": ["*"], "verbs": ["*"]},
            {"apiGroups": [""], "resources": ["configmaps", "serviceaccounts"], "verbs": ["*"]},
        ],
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
    }
    for obj in (rules, binding):
        api.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(obj))

    await edit(shop, lambda document: service_of(document, "api").update(replicas=3))
    async with Impersonating(api.login, name) as session:
        shop.client = KubeClient(session)
        shop.restart()
        await shop.settle("shop")
    status, reason, message = await shop.condition("shop", "Stalled")
    assert (status, reason) == ("True", "Forbidden")
    assert "Deployment shop-api-stable: the operator may not do this; grant it" in message


async def test_no_pod_starts_while_its_isolation_is_refused(world, monkeypatch):
    """Also not in the passes after the one that was refused, which don't ask again for a while."""
    forbidden = ForbiddenError("apply NetworkPolicy", status=403, message='"x" is forbidden: User "y" cannot patch')
    fail_to_apply(monkeypatch, "NetworkPolicy", forbidden)
    await world.apply(sample("shop"))
    for _ in range(3):
        await world.settle("shop")
    assert (await world.condition("shop", "Stalled"))[:2] == ("True", "Forbidden")
    assert not await world.others.list_all(DEPLOYMENT, world.namespace)


class Impersonating(Session):
    """As somebody else, by the API server's own means."""

    def __init__(self, login, user):
        super().__init__(login)
        self._user = user

    def _prepared(self, path):
        http, headers, url = super()._prepared(path)
        return http, {**headers, "Impersonate-User": self._user}, url


async def test_an_image_that_cannot_be_pulled_is_said_within_half_a_minute(shop):
    shop.stuck.add("shop-api-stable")
    status = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 1}
    await shop.others.patch_status(DEPLOYMENT, shop.namespace, "shop-api-stable", status, manager="controllers")
    stable = await shop.others.get(DEPLOYMENT, shop.namespace, "shop-api-stable")
    stranger = {"name": "stray", "namespace": shop.namespace, "labels": {"resilientslice.dev/slice": "shop"}}
    spec = {"containers": [{"name": "api", "image": "stray.example.org/api:9"}]}
    await shop.others.create({"apiVersion": "v1", "kind": "Pod", "metadata": stranger, "spec": spec})
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "shop-api-stable-x",
            "namespace": shop.namespace,
            "labels": {"resilientslice.dev/slice": "shop", "pod-template-hash": "1"},
            "ownerReferences": [controlled_by(await replica_set(shop.others, stable))],
        },
        "spec": {"containers": [{"name": "api", "image": "nowhere.example.org/api:9"}]},
    }
    await shop.others.create(pod)
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    container = {"name": "api", "image": "nowhere.example.org/api:9", "imageID": "", "ready": False, "restartCount": 0}
    for name, image in (("shop-api-stable-x", container["image"]), ("stray", "stray.example.org/api:9")):
        status = {"containerStatuses": [{**container, "image": image, "state": waiting}]}
        await shop.others.patch_status(POD, shop.namespace, name, status, manager="kubelet")
    began = shop.now
    while (await shop.condition("shop", "Ready"))[1] != "ImagePullFailed":
        await shop.reconcile("shop")
        assert shop.deadline is not None, "nothing would look again"
        shop.now = max(shop.now, shop.deadline)
        assert shop.now - began <= 30
    assert "nowhere.example.org/api:9: not found" in (await shop.condition("shop", "Ready"))[2]
    assert "stray" not in (await shop.condition("shop", "Ready"))[2], "a label makes no pod one of the slice's"
    shop.stuck.clear()
    await shop.settle("shop", seconds=60)
    assert (await shop.slice("shop"))["status"]["phase"] == "Ready"
    shop.now += 3600
    assert set(await shop.reconcile("shop")) <= {LOOK}


async def test_what_the_crd_lets_through_is_refused_and_nothing_touched(shop):
    raw = await shop.slice("shop")
    raw["spec"]["services"][0]["image"] = ""
    raw["metadata"]["generation"] += 1
    raw["metadata"]["resourceVersion"] = str(int(raw["metadata"]["resourceVersion"]) + 1_000_000)
    await shop.sync()
    shop.slices.told(raw)
    before = len(shop.log)
    await shop.reconciler.reconcile(SliceKey(shop.namespace, "shop"))
    assert {kind for _, kind in writes(shop.log[before:])} == {"ResilientSlice", "Event"}
    status, reason, message = await shop.condition("shop", "Stalled")
    assert (status, reason) == ("True", "InvalidSpec")
    assert "image" in message


async def test_a_process_that_does_not_lead_writes_nothing(shop, api):
    def check():
        raise NotLeadingError("not sent", message="frozen")

    async with Session(api.login) as session:
        shop.client = KubeClient(session, guard=check)
        shop.restart()
        await edit(shop, more_replicas)
        with pytest.raises(NotLeadingError):
            await shop.reconcile("shop")
    live = await shop.others.get(DEPLOYMENT, shop.namespace, "shop-api-stable")
    assert live["spec"]["replicas"] != 5
