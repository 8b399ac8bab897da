"""Why replicas don't come up, in words a person can act on: from Deployments' conditions and from pods.

Only what Kubernetes itself calls a failure counts: a pod that is merely slow is waited for.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from resilientslice.agent.words import words
from resilientslice.api.reasons import Reason
from resilientslice.kube.cache import Child
from resilientslice.kube.children import note_of
from resilientslice.kube.meaning import known_denial
from resilientslice.planning.observed import Trouble, TroubleKind

MESSAGE_LENGTH = 500
"""Of one trouble: messages of registries and quotas can be long."""

_WAITING = {
    "ErrImagePull": (
        Reason.IMAGE_PULL_FAILED,
        "its image can't be pulled: correct the name, or give imagePullSecrets",
    ),
    "ImagePullBackOff": (
        Reason.IMAGE_PULL_FAILED,
        "its image can't be pulled: correct the name, or give imagePullSecrets",
    ),
    "ErrImageNeverPull": (Reason.IMAGE_PULL_FAILED, "its image is not on the node and may not be pulled"),
    "InvalidImageName": (Reason.IMAGE_PULL_FAILED, "its image has no valid name: correct it"),
    "CrashLoopBackOff": (Reason.CRASH_LOOP, "its container ends again and again: read its log"),
    "CreateContainerConfigError": (
        Reason.CONTAINER_CONFIG,
        "a Secret or ConfigMap that it names is missing: create it",
    ),
    "CreateContainerError": (Reason.CONTAINER_CONFIG, "its container can't be made"),
    "RunContainerError": (Reason.CONTAINER_CONFIG, "its container can't be started"),
}


_NORMAL = frozenset({"WaitForFirstConsumer", "WaitForPodScheduled", "Provisioning", "ProvisioningSucceeded"})
"""Reasons of a claim's Events while nothing is wrong: it waits for its pod, or is being served."""


def workload_troubles(children: Iterable[Child], uid: str) -> tuple[Trouble, ...]:
    """Of the workloads that the slice with this UID controls and whose controller is refused their pods: a quota, an
    admission policy, a missing account."""
    failures = {(child.name, child.kind): note_of(child).failure for child in children if child.owner_uid == uid}
    return tuple(_refused(key[0], failures[key]) for key in sorted(failures) if failures[key])


def _refused(name: str, said: str) -> Trouble:
    known = known_denial(said)
    reason, advice = (known.reason, known.advice) if known else (Reason.POD_CREATION_FAILED, "its pods are refused")
    return _trouble(reason, name, f"{advice}: {said}")


def pod_troubles(pods: Iterable[Mapping[str, Any]]) -> tuple[Trouble, ...]:
    """One of each owner, container, image and reason, however many pods have it."""
    found = {
        (*_owner(pod), trouble.reason, *place): trouble
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        for place, trouble in _of_pod(pod)
    }
    return tuple(found[key] for key in sorted(found))


def claim_trouble(claim: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> Trouble | None:
    """Why a volume claim has no volume, in the words of who should make one; None while that is as it should be."""
    if claim.get("status", {}).get("phase") == "Bound":
        return None
    told = sorted((event for event in events if event.get("reason") not in _NORMAL), key=_when)
    if not told:
        return None
    said = f"PersistentVolumeClaim {claim['metadata']['name']} has no volume"
    return _trouble(
        Reason.VOLUME_PENDING, said, str(told[-1].get("note") or told[-1].get("message") or told[-1]["reason"])
    )


def _when(event: Mapping[str, Any]) -> str:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("deprecatedLastTimestamp"), event.get("eventTime"))
    return next((str(time) for time in times if time), "")


def _of_pod(pod: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Trouble]]:
    """Each with its container and image, which are empty for the pod as a whole."""
    status, name = pod.get("status", {}), _owner(pod)[0]
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting") or {}
        known = _WAITING.get(waiting.get("reason", ""))
        if known:
            said = f"{container.get('image', '')}: {waiting.get('message', '')}".strip(": ")
            place = str(container.get("name", "")), str(container.get("image", ""))
            yield place, _trouble(known[0], name, f"{known[1]}. {said}")
    for condition in status.get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield (
                ("", ""),
                _trouble(Reason.UNSCHEDULABLE, name, f"no node takes its pod: {condition.get('message', '')}"),
            )


def _owner(pod: Mapping[str, Any]) -> tuple[str, str]:
    """Name and kind of the Deployment (known by its ReplicaSet) or StatefulSet, by the name that its pods are given."""
    metadata = pod["metadata"]
    owners = metadata.get("ownerReferences") or [{"name": metadata["name"]}]
    name, kind = str(owners[0]["name"]), str(owners[0].get("kind", ""))
    hashed = metadata.get("labels", {}).get("pod-template-hash")
    return (name.removesuffix(f"-{hashed}") if hashed else name), kind


def _trouble(reason: Reason, name: str, said: str) -> Trouble:
    return Trouble(TroubleKind.PODS, reason, words(f"{name}: {said}".rstrip(": "), MESSAGE_LENGTH))
