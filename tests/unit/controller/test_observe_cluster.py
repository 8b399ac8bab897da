"""What is read off children and pods, and what is left out because nobody can know it yet."""

import pytest

from resilientslice.api.services import StoreName
from resilientslice.controller.gather import Obstacles, gather
from resilientslice.controller.troubles import claim_trouble, pod_troubles, workload_troubles
from resilientslice.controller.workloads import observe_workloads
from resilientslice.kube.cache import Children
from resilientslice.kube.children import MANAGER, noted
from resilientslice.kube.kinds import SliceKey
from resilientslice.planning.observed import Envoys, Proxies, Store, Trouble, TroubleKind, Workload
from resilientslice.render.names import Track
from resilientslice.rollouts.progress import proxy_deployment, rolls, stuck
from resilientslice.stores.store_workloads import observe_stores

KEY = SliceKey("ns", "shop")
LABELS = {"resilientslice.dev/slice": "shop"}
SERVICE = {"resilientslice.dev/service": "api", "resilientslice.dev/track": "stable"}


def deployment(name="shop-api-stable", *, labels=None, uid="u", generation=2, replicas=3, status=None, **metadata):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "generation": generation,
            "labels": LABELS | (SERVICE if labels is None else labels),
            "annotations": {"resilientslice.dev/template": "digest"},
            "ownerReferences": [{"uid": uid, "controller": True}],
            **metadata,
        },
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": 2, "replicas": 4, "updatedReplicas": 3, "readyReplicas": 2} | (status or {}),
    }


def children(*objects):
    known = Children(on_change=lambda key: None, shape=noted)
    for obj in objects:
        known.told(obj)
    return known.of(KEY).values()


def test_a_deployment_is_counted():
    found = observe_workloads(children(deployment()), "u")
    assert found == {("api", Track.STABLE): Workload(desired=3, ready=2, updated=3, digest="digest", outdated=1)}


def watched(*objects):
    """What is seen of a Deployment after each of these."""
    known = Children(on_change=lambda key: None, shape=noted)
    seen = []
    for version, obj in enumerate(objects, start=1):
        obj["metadata"]["resourceVersion"] = str(version)
        known.told(obj)
        seen.append(observe_workloads(known.of(KEY).values(), "u")["api", Track.STABLE])
    return seen


def template(digest):
    return {"annotations": {"resilientslice.dev/template": digest}}


def test_what_was_patched_a_moment_ago_is_not_counted():
    (found,) = watched(deployment(generation=3))
    assert (found.digest, found.counted, found.surely_ready, found.maybe_ready) == ("digest", False, 0, 2)


def test_a_change_of_replicas_alone_leaves_the_counts_what_they_are_of():
    found = watched(deployment(), *(deployment(generation=number, replicas=number) for number in range(3, 9)))
    assert [(seen.desired, seen.counted) for seen in found] == [(n, True) for n in (3, 3, 4, 5, 6, 7, 8)]
    assert [seen.current for seen in found] == [True, *(False for _ in range(6))]


def test_a_new_template_is_not_counted_before_it_is_taken_up_however_often_replicas_change():
    new = [deployment(generation=number, replicas=number, **template("new")) for number in (3, 4, 5)]
    caught_up = deployment(generation=6, replicas=6, status={"observedGeneration": 3}, **template("new"))
    found = watched(deployment(), *new, caught_up)
    assert [seen.counted for seen in found] == [True, False, False, False, True]
    assert {seen.digest for seen in found[1:]} == {"new"}


def test_after_a_restart_counts_of_a_moving_number_of_replicas_become_certain():
    found = watched(
        deployment(generation=7, status={"observedGeneration": 6}),
        deployment(generation=9, status={"observedGeneration": 7}),
    )
    assert [seen.counted for seen in found] == [False, True]


def test_another_deployment_of_the_name_is_counted_anew():
    there, made_again = deployment(), deployment(generation=1, status={"observedGeneration": 0})
    made_again["metadata"]["uid"] = "another"
    assert [seen.counted for seen in watched(there, made_again)] == [True, False]


def test_a_template_that_somebody_else_changed_or_that_was_taken_back_is_counted_anew():
    ours = {"manager": MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {"f:template": {}}}}
    theirs = ours | {"fieldsV1": {"f:spec": {}}}
    kept = deployment(managedFields=[ours])
    kept["spec"]["template"] = {}
    edited = deployment(generation=3, status={"observedGeneration": 2}, managedFields=[theirs])
    taken_back = deployment(generation=4, status={"observedGeneration": 3}, managedFields=[ours])
    taken_back["spec"]["template"] = {}
    assert [seen.counted for seen in watched(kept, edited, taken_back)] == [True, False, False]


@pytest.mark.parametrize(
    "other",
    [
        deployment(uid="other"),
        deployment(labels={}),
        deployment(labels={**SERVICE, "resilientslice.dev/track": "third"}),
        deployment(deletionTimestamp="now"),
        deployment() | {"kind": "StatefulSet"},
    ],
)
def test_what_is_no_services_deployment_is_left_out(other):
    assert observe_workloads(children(other), "u") == {}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('pods "x" is forbidden: exceeded quota: small', "QuotaExceeded"),
        ("serviceaccount not found", "PodCreationFailed"),
    ],
)
def test_a_controller_that_is_refused_its_pods_is_quoted(message, reason):
    status = {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": message}]}
    known = children(deployment(status=status), deployment("shop-other", uid="other", status=status))
    (trouble,) = workload_troubles(known, "u")
    assert (trouble.kind, trouble.reason) == (TroubleKind.PODS, reason)
    assert trouble.message.startswith("shop-api-stable: ")
    assert message in trouble.message


def test_an_object_of_another_kind_hides_nothing():
    """An autoscaler and a disruption budget have the name of their Deployment."""
    status = {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "no account"}]}
    failing = deployment(status=status)
    others = [deployment() | {"kind": kind} for kind in ("ConfigMap", "HorizontalPodAutoscaler", "StatefulSet")]
    for known in ([failing, *others], [*others, failing]):
        assert [t.message for t in workload_troubles(children(*known), "u")] == [
            "shop-api-stable: its pods are refused: no account"
        ]
    both = workload_troubles(children(failing, failing | {"kind": "StatefulSet"}), "u")
    assert len(both) == 2


def pod(name="shop-api-stable-77-a", *, reason="", message="", conditions=(), **metadata):
    waiting = {"waiting": {"reason": reason, "message": message}} if reason else {"running": {}}
    return {
        "metadata": {
            "name": name,
            "labels": {"pod-template-hash": "77"},
            "ownerReferences": [{"name": "shop-api-stable-77"}],
            **metadata,
        },
        "status": {"containerStatuses": [{"image": "api:9", "state": waiting}], "conditions": list(conditions)},
    }


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("ErrImagePull", "ImagePullFailed"),
        ("ImagePullBackOff", "ImagePullFailed"),
        ("CrashLoopBackOff", "CrashLoopBackOff"),
        ("CreateContainerConfigError", "ContainerConfigError"),
        ("ContainerCreating", None),
        ("", None),
    ],
)
def test_what_a_container_waits_for_is_told_once_for_all_pods(reason, told):
    found = pod_troubles([pod(reason=reason, message="said"), pod("shop-api-stable-77-b", reason=reason)])
    assert [trouble.reason for trouble in found] == ([told] if told else [])
    assert all(trouble.message.startswith("shop-api-stable: ") for trouble in found)
    assert all("api:9" in trouble.message for trouble in found)


def test_a_pod_that_fits_nowhere_is_told():
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no CPU"}
    (trouble,) = pod_troubles([pod(conditions=[unschedulable])])
    assert (trouble.reason, trouble.message) == ("Unschedulable", "shop-api-stable: no node takes its pod: no CPU")


def test_a_pod_hides_no_other_with_the_same_reason():
    """Of another container, another image, or an owner of another kind."""

    def waits(name, image):
        state = {"waiting": {"reason": "ErrImagePull"}}
        return {"name": name, "image": image, "state": state}

    one, other = pod("a"), pod("b")
    one["status"]["containerStatuses"] = [waits("api", "api:8"), waits("log", "log:1")]
    other["status"]["containerStatuses"] = [waits("api", "api:9")]
    found = pod_troubles([one, other])
    assert [image for trouble in found for image in ("api:8", "api:9", "log:1") if image in trouble.message] == [
        "api:8",
        "api:9",
        "log:1",
    ]
    owners = [{"name": "shop-x", "kind": kind} for kind in ("StatefulSet", "Job")]
    alike = [pod(reason="ErrImagePull", labels={}, ownerReferences=[owner]) for owner in owners]
    assert len(pod_troubles(alike)) == 2


def test_pods_that_end_and_pods_of_nobody():
    assert pod_troubles([pod(reason="ErrImagePull", deletionTimestamp="now")]) == ()
    (trouble,) = pod_troubles([pod("lonely", reason="ErrImagePull", labels={}, ownerReferences=[])])
    assert trouble.message.startswith("lonely: ")


def test_a_message_does_nothing_to_the_terminal_that_shows_it():
    (trouble,) = pod_troubles([pod(reason="ErrImagePull", message="no\x1b[2J such\r\nimage\u202e")])
    assert trouble.message.endswith("api:9: no [2J such image")


def test_a_long_message_is_cut():
    (trouble,) = pod_troubles([pod(reason="ErrImagePull", message="x" * 5000)])
    assert len(trouble.message) == 500


def test_everything_is_put_together_the_most_important_first():
    refused = Trouble(TroubleKind.REFUSED, "Forbidden", "no")
    pods = Trouble(TroubleKind.PODS, "CrashLoopBackOff", "again")
    seen = Envoys(Proxies(2, {"a": "d"}), active=3, hostless=frozenset({"api-stable"}))
    obstacles = Obstacles((("Service", "shop-api"),), refused=(refused,), pods=(pods,))
    observed = gather(None, children(deployment()), "u", seen, obstacles, now=0.0)
    assert [trouble.reason for trouble in observed.troubles] == ["Forbidden", "ObjectNotOwned", "CrashLoopBackOff"]
    assert observed.envoys.hostless == {"api-stable"}
    assert (observed.envoys.proxies, observed.envoys.active, set(observed.workloads)) == (
        seen.proxies,
        3,
        {("api", Track.STABLE)},
    )


PROXY = {"app.kubernetes.io/component": "proxy"}
WHOLE = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3}
LATE = {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}


@pytest.mark.parametrize(
    ("change", "rolling"),
    [
        ({}, False),
        ({"observedGeneration": 1}, True),  # written a moment ago
        ({"updatedReplicas": 2}, True),
        ({"replicas": 4}, True),  # an old one is left
        ({"availableReplicas": 2}, True),
        ({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, True),
    ],
)
def test_proxies_roll_until_all_are_new_and_available(change, rolling):
    status = WHOLE | change
    (child,) = children(deployment("shop-proxy", labels=PROXY, status=status))
    assert rolls(child) is rolling
    assert gather(None, [child], "u", Envoys(), Obstacles(), now=0.0).proxies_roll is rolling
    assert gather(None, [child], "other", Envoys(), Obstacles(), now=0.0).proxies_roll is False
    (late,) = children(deployment("shop-proxy", labels=PROXY, status=status | LATE))
    assert stuck(late) is (rolling and "observedGeneration" not in change), "what is said of an older template is over"
    assert not stuck(child)


@pytest.mark.parametrize("other", [{"deletionTimestamp": "now"}, {"ownerReferences": []}])
def test_proxies_that_are_nobodys_or_end_hold_no_place(other):
    known = Children(on_change=lambda key: None, shape=noted)
    known.told(deployment("shop-proxy", labels=PROXY, **other))
    assert proxy_deployment(KEY, known.of(KEY)) is None
    assert not rolls(None)


def test_a_service_that_rolls_is_not_the_proxies():
    (child,) = children(deployment(status={"updatedReplicas": 1}))
    assert not gather(None, [child], "u", Envoys(), Obstacles(), now=0.0).proxies_roll


def test_a_rollout_that_does_not_get_on_is_seen_of_services_and_proxies():
    service, proxy = deployment(status=LATE), deployment("shop-proxy", labels=PROXY, status=LATE)
    observed = gather(None, children(service, proxy), "u", Envoys(), Obstacles(), now=0.0)
    assert (observed.workloads["api", Track.STABLE].stuck, observed.proxies_stuck) == (True, True)
    again = gather(None, children(deployment(generation=3, status=LATE)), "u", Envoys(), Obstacles(), now=0.0)
    assert not again.workloads["api", Track.STABLE].stuck, "said of what was asked before"


ENDED = {"conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]}


@pytest.mark.parametrize(
    ("status", "short"),
    [
        ({"availableReplicas": 2} | ENDED, True),
        ({"availableReplicas": 2}, False),  # the first rollout has not ended
        (ENDED, False),  # nothing is missing
        ({"availableReplicas": 2, "updatedReplicas": 2} | ENDED, False),
        ({"availableReplicas": 2, "observedGeneration": 1} | ENDED, False),
    ],
)
def test_proxies_that_were_lost_are_told_from_proxies_that_are_replaced(status, short):
    child = deployment("shop-proxy", labels=PROXY, status=WHOLE | status)
    observed = gather(None, children(child), "u", Envoys(), Obstacles(), now=0.0)
    assert observed.proxies_short is short


def stateful_set(name="shop-postgres", *, uid="u", generation=1, status=None, kind="StatefulSet", **metadata):
    made = deployment(
        name, labels={"app.kubernetes.io/component": "store"}, uid=uid, generation=generation, replicas=1, **metadata
    )
    counted = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
    return made | {"kind": kind, "status": counted if status is None else status}


@pytest.mark.parametrize(
    ("status", "store"),
    [
        (None, Store(1)),
        ({}, Store(0, rolling=True)),
        ({"observedGeneration": 1, "updatedReplicas": 1}, Store(0)),
        ({"observedGeneration": 1, "readyReplicas": 1, "updatedReplicas": 0}, Store(1, rolling=True)),
    ],
)
def test_a_store_is_counted(status, store):
    found = observe_stores(children(stateful_set(status=status)), "u")
    assert found == {StoreName.POSTGRES: store}


def test_instances_of_cloudnativepg_are_counted():
    status = {"instances": 3, "readyInstances": 2}
    assert observe_stores(children(stateful_set(kind="Cluster", status=status)), "u") == {StoreName.POSTGRES: Store(2)}


def test_a_store_of_nobody_or_on_its_way_out_is_not_there():
    assert (
        observe_stores(children(stateful_set(uid="other"), stateful_set("shop-redis", deletionTimestamp="x")), "u")
        == {}
    )


def test_a_stateful_set_that_is_created_again_is_not_missed():
    """Until its controller has counted the pod that continues."""
    remade = {StoreName.POSTGRES: Store(0, remade=True)}
    assert observe_stores([], "u", ["shop-postgres"]) == remade
    leaving = children(stateful_set(deletionTimestamp="x"))
    assert observe_stores(leaving, "u", ["shop-postgres"])[StoreName.POSTGRES].remade
    assert observe_stores(children(stateful_set(status={})), "u", ["shop-postgres"])[StoreName.POSTGRES].remade
    counted = children(stateful_set(status={"observedGeneration": 1, "updatedReplicas": 1}))
    assert observe_stores(counted, "u", ["shop-postgres"]) == {StoreName.POSTGRES: Store(0)}


@pytest.mark.parametrize(
    ("phase", "reasons", "told"),
    [
        ("Bound", ["ProvisioningFailed"], None),
        ("Pending", [], None),
        ("Pending", ["WaitForFirstConsumer", "Provisioning"], None),
        ("Pending", ["ProvisioningFailed", "WaitForFirstConsumer"], "ProvisioningFailed"),
        ("Pending", ["FailedBinding"], "FailedBinding"),
        ("Pending", ["ProvisioningFailed", "ExternalProvisioning"], "ExternalProvisioning"),
    ],
)
def test_what_a_claim_waits_for_is_quoted_the_newest_first(phase, reasons, told):
    claim = {"metadata": {"name": "data-shop-postgres-0"}, "status": {"phase": phase}}
    events = [
        {"reason": reason, "note": f"said {reason}", "eventTime": f"2026-01-0{number}T00:00:00Z"}
        for number, reason in enumerate(reasons, start=1)
    ]
    found = claim_trouble(claim, events)
    said = f"PersistentVolumeClaim data-shop-postgres-0 has no volume: said {told}"
    assert (found and found.message) == (said if told else None)
