"""Plays the controllers of StatefulSets, of volumes, of autoscalers, and the collector of what lost its owner."""

import asyncio
import copy
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.kube.chaos.api import Api, ApiError, Mirror, Object
from tests.kube.chaos.objects import (
    controller_of,
    deleting,
    is_ready,
    labels_of,
    name_of,
    owner_reference,
    short_hash,
    uid_of,
)

SWEEP_SECONDS = 0.1
GROWS, FIXED = "grows", "fixed"
"""StorageClasses: of claims that may be made larger, and that may not."""
_HASH = "controller-revision-hash"
_OWNERS = ("ResilientSlice", "Deployment", "ReplicaSet", "StatefulSet")
_UNITS = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9}


def size_of(text: str) -> int:
    match = re.fullmatch(r"(\d+)([A-Za-z]*)", text)
    assert match is not None, text
    return int(match[1]) * _UNITS[match[2]]


@dataclass
class StatefulSets:
    api: Api
    mirror: Mirror
    rng: random.Random
    _due: dict[str, float] = field(default_factory=dict)

    async def run(self) -> None:
        while True:
            for found in list(self.mirror["StatefulSet"].values()):
                if not deleting(found):
                    await _trying(self._set(found))
            for claim in list(self.mirror["PersistentVolumeClaim"].values()):
                await _trying(self._claim(claim))
            await asyncio.sleep(SWEEP_SECONDS)

    async def _set(self, found: Object) -> None:
        hashed = short_hash(found["spec"]["template"])
        pods = [pod for pod in self.mirror["Pod"].values() if controller_of(pod) == uid_of(found)]
        current = {name_of(pod): pod for pod in pods}
        for number in range(found["spec"]["replicas"]):
            name = f"{name_of(found)}-{number}"
            pod = current.get(name) or self.mirror["Pod"].get(name)
            if pod is None:
                await self._claims(found, number)
                self.mirror.saw(await self.api.create("Pod", self._pod(found, number, hashed)))
            elif not controller_of(pod) and not deleting(pod):
                await self.api.merge(
                    "Pod", name, {"metadata": {"ownerReferences": [owner_reference(found, "apps/v1")]}}
                )
            elif labels_of(pod).get(_HASH) != hashed and not deleting(pod):
                await self.api.delete("Pod", name, uid=uid_of(pod))
        await self._count(found, [pod for pod in pods if not deleting(pod)], hashed)

    async def _count(self, found: Object, pods: list[Object], hashed: str) -> None:
        young = [pod for pod in pods if labels_of(pod).get(_HASH) == hashed]
        ready = sum(is_ready(pod) for pod in pods)
        whole = len(young) == found["spec"]["replicas"] == ready
        revision = f"{name_of(found)}-{hashed}"
        before = found.get("status") or {}
        status = {
            "observedGeneration": found["metadata"]["generation"],
            "replicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "updatedReplicas": len(young),
            "updateRevision": revision,
            "currentRevision": revision if whole else before.get("currentRevision", revision),
        }
        if any(before.get(name, 0) != value for name, value in status.items()):
            self.mirror.saw(await self.api.merge("StatefulSet", name_of(found), {"status": status}, "status"))

    async def _claims(self, found: Object, number: int) -> None:
        for template in found["spec"].get("volumeClaimTemplates") or ():
            name = f"{template['metadata']['name']}-{name_of(found)}-{number}"
            if name not in self.mirror["PersistentVolumeClaim"]:
                labels = {**(template["metadata"].get("labels") or {}), **found["spec"]["selector"]["matchLabels"]}
                made = {"metadata": {"name": name, "labels": labels}, "spec": template["spec"]}
                self.mirror.saw(await self.api.create("PersistentVolumeClaim", made))

    def _pod(self, found: Object, number: int, hashed: str) -> Object:
        template = copy.deepcopy(found["spec"]["template"])
        name = f"{name_of(found)}-{number}"
        claims = [
            {
                "name": one["metadata"]["name"],
                "persistentVolumeClaim": {"claimName": f"{one['metadata']['name']}-{name}"},
            }
            for one in found["spec"].get("volumeClaimTemplates") or ()
        ]
        spec = template["spec"]
        return {
            "metadata": {
                "name": name,
                "labels": {**template["metadata"]["labels"], _HASH: hashed},
                "ownerReferences": [owner_reference(found, "apps/v1")],
            },
            "spec": {**spec, "nodeName": "node", "volumes": [*(spec.get("volumes") or ()), *claims]},
        }

    async def _claim(self, claim: Object) -> None:
        name, status = name_of(claim), claim.get("status") or {}
        if deleting(claim):
            used = any(
                (volume.get("persistentVolumeClaim") or {}).get("claimName") == name
                for pod in self.mirror["Pod"].values()
                for volume in pod["spec"].get("volumes") or ()
            )
            if not used and claim["metadata"].get("finalizers"):
                await self.api.merge("PersistentVolumeClaim", name, {"metadata": {"finalizers": None}})
            return
        wanted = claim["spec"]["resources"]["requests"]["storage"]
        have = (status.get("capacity") or {}).get("storage", "0")
        if status.get("phase") == "Bound" and size_of(have) >= size_of(wanted):
            return
        loop = asyncio.get_running_loop()
        due = self._due.setdefault(f"{uid_of(claim)} {wanted}", loop.time() + self.rng.uniform(0.1, 1.0))
        if due > loop.time():
            return
        if not claim["spec"].get("volumeName"):
            change = {"spec": {"volumeName": f"pv-{uid_of(claim)}"}}
            self.mirror.saw(await self.api.merge("PersistentVolumeClaim", name, change))
        done = {"phase": "Bound", "capacity": {"storage": wanted}, "accessModes": claim["spec"]["accessModes"]}
        self.mirror.saw(await self.api.merge("PersistentVolumeClaim", name, {"status": done}, "status"))


@dataclass
class Autoscalers:
    """Each wants what `load` says, within its bounds, and lowers with a delay."""

    api: Api
    mirror: Mirror
    rng: random.Random
    fair: Callable[[], float]
    load: dict[str, int] = field(default_factory=dict)
    """Replicas that the load asks for, by name of the autoscaler, without its track."""
    _down: dict[str, float] = field(default_factory=dict)

    async def run(self) -> None:
        while True:
            for found in list(self.mirror["HorizontalPodAutoscaler"].values()):
                if not deleting(found):
                    await _trying(self._scale(found))
            await asyncio.sleep(self.rng.uniform(0.3, 1.0))

    async def _scale(self, found: Object) -> None:
        target = self.mirror["Deployment"].get(found["spec"]["scaleTargetRef"]["name"])
        if target is None or deleting(target) or target["spec"]["replicas"] == 0:
            return
        least, most = found["spec"].get("minReplicas", 1), found["spec"]["maxReplicas"]
        now = target["spec"]["replicas"]
        wanted = max(least, min(most, self.load.get(name_of(target), least)))
        if wanted < now <= most:
            since = self._down.setdefault(uid_of(target), self.fair())
            if self.fair() - since < 2.0:
                return
        self._down.pop(uid_of(target), None)
        if wanted != now:
            await self.api.merge("Deployment", name_of(target), {"spec": {"replicas": wanted}}, "scale")


@dataclass
class Collector:
    """Deletes what has no owner left, and carries out `Orphan` and `Foreground`."""

    api: Api
    mirror: Mirror

    async def run(self) -> None:
        while True:
            owners = {uid_of(obj) for kind in _OWNERS for obj in self.mirror[kind].values()}
            for obj in self.mirror.all():
                await _trying(self._look(obj, owners))
            await asyncio.sleep(SWEEP_SECONDS * 2)

    async def _look(self, obj: Object, owners: set[str]) -> None:
        finalizers = set(obj["metadata"].get("finalizers") or ())
        if deleting(obj) and finalizers & {"orphan", "foregroundDeletion"}:
            await self._finalize(obj, finalizers)
            return
        references = obj["metadata"].get("ownerReferences") or ()
        if not references or deleting(obj) or any(owner["uid"] in owners for owner in references):
            return
        for owner in references:
            if owner["kind"] in _OWNERS:
                found = await self.api.get(owner["kind"], owner["name"])
                if found is not None and uid_of(found) == owner["uid"]:
                    return
        await self.api.delete(obj["kind"], name_of(obj), uid=uid_of(obj), policy="Background")

    async def _finalize(self, obj: Object, finalizers: set[str]) -> None:
        for dependent in self.mirror.all():
            references = dependent["metadata"].get("ownerReferences") or []
            kept = [owner for owner in references if owner["uid"] != uid_of(obj)]
            if len(kept) == len(references):
                continue
            if "orphan" in finalizers:
                await self.api.merge(dependent["kind"], name_of(dependent), {"metadata": {"ownerReferences": kept}})
            elif not deleting(dependent):
                await self.api.delete(dependent["kind"], name_of(dependent), uid=uid_of(dependent), policy="Background")
        left = sorted(finalizers - {"orphan", "foregroundDeletion"})
        await self.api.merge(obj["kind"], name_of(obj), {"metadata": {"finalizers": left}})


async def _trying(work: "object") -> None:
    try:
        await work  # type: ignore[misc]
    except ApiError:
        return  # the next round looks again
