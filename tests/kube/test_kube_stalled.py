"""What holds a slice up is said, and nothing is called done before it is."""

import secrets

import pytest
import yaml
from tests.kube.pass_edits import LOOK, edit, fail_to_apply, fewer_replicas, more_replicas

from resilientslice.agent.signing import UnusableKeyError
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import ForbiddenError, KubeError
from resilientslice.kube.kinds import DEPLOYMENT, POD, SliceKey
from resilientslice.kube.session import Session
from testkit.files import sample, service_of
from testkit.pass_world import writes
from testkit.replica_sets import controlled_by, replica_set


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
    """As someone else, by the API server's own means."""

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
