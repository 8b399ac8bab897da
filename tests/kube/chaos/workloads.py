"""Plays the controllers of Deployments and ReplicaSets: a rollout pod by pod within maxSurge and maxUnavailable, counts
that lag behind, a progress deadline, and the chain pod → ReplicaSet → Deployment."""

import asyncio
import copy
import math
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.kube.chaos.api import Api, ApiError, Mirror, Object
from tests.kube.chaos.objects import (
    HASH,
    condition,
    controller_of,
    deleting,
    is_ready,
    name_of,
    owner_reference,
    short_hash,
    uid_of,
)

SWEEP_SECONDS = 0.08
DEADLINE_SECONDS = 8.0
"""In place of minutes."""
OLD_SETS = 2


@dataclass
class _Known:
    """What the controller remembers of a Deployment. `due`: when it takes the generation up."""

    generation: int = 0
    due: float = 0.0
    progress: tuple[str, int, int] = ("", 0, 0)
    at: float = 0.0
    counted: float = 0.0


@dataclass
class Deployments:
    api: Api
    mirror: Mirror
    rng: random.Random
    fair: Callable[[], float]
    refused: dict[str, str] = field(default_factory=dict)
    """Slices whose pods nobody may make now, and in which words."""
    _known: dict[str, _Known] = field(default_factory=dict)

    async def run(self) -> None:
        while True:
            await self.sweep()
            await asyncio.sleep(SWEEP_SECONDS)

    async def sweep(self) -> None:
        pods = _by_controller(self.mirror["Pod"].values())
        sets = _by_controller(self.mirror["ReplicaSet"].values())
        await asyncio.gather(
            *(self._deployment(found, sets.get(uid_of(found), []), pods) for found in self._live("Deployment")),
            *(self._set(found, pods.get(uid_of(found), [])) for found in self._live("ReplicaSet")),
        )

    def _live(self, kind: str) -> list[Object]:
        return [obj for obj in self.mirror[kind].values() if not deleting(obj)]

    async def _deployment(self, found: Object, sets: list[Object], pods: dict[str, list[Object]]) -> None:
        known = self._known.setdefault(uid_of(found), _Known())
        now, generation = self.fair(), found["metadata"]["generation"]
        if generation != known.generation:
            known.generation = generation
            if known.due <= now:
                known.due = now + self.rng.choice((0.0, 0.02, 0.1, 0.4))
        if known.due > now:
            return
        try:
            newest = await self._newest(found, sets)
            if newest is None:
                return
            others = [one for one in sets if uid_of(one) != uid_of(newest)]
            for each, replicas in _scales(found, newest, others, pods).items():
                await self._scale(sets, newest, each, replicas, found["spec"]["replicas"])
            await self._tidy(others, pods)
            await self._count(found, newest, others, pods, known)
        except ApiError:
            return  # the next sweep looks again

    async def _newest(self, found: Object, sets: list[Object]) -> Object | None:
        template = found["spec"]["template"]
        for one in sets:
            if _bare(one["spec"]["template"]) == template and not deleting(one):
                return one
        hashed = short_hash(template)
        labelled = copy.deepcopy(template)
        labelled["metadata"].setdefault("labels", {})[HASH] = hashed
        made = await self.api.create(
            "ReplicaSet",
            {
                "metadata": {
                    "name": f"{name_of(found)}-{hashed}",
                    "labels": labelled["metadata"]["labels"],
                    "annotations": {"desired": str(found["spec"]["replicas"])},
                    "ownerReferences": [owner_reference(found, "apps/v1")],
                },
                "spec": {
                    "replicas": 0,
                    "selector": {"matchLabels": {**found["spec"]["selector"]["matchLabels"], HASH: hashed}},
                    "template": labelled,
                },
            },
        )
        self.mirror.saw(made)
        sets.append(made)
        return made

    async def _scale(self, sets: list[Object], newest: Object, name: str, replicas: int, desired: int) -> None:
        for one in (*sets, newest):
            same = one["spec"]["replicas"] == replicas and _desired(one) == desired
            if name_of(one) == name and not same:
                change = {"metadata": {"annotations": {"desired": str(desired)}}, "spec": {"replicas": replicas}}
                self.mirror.saw(await self.api.merge("ReplicaSet", name, change))
                return

    async def _tidy(self, others: list[Object], pods: dict[str, list[Object]]) -> None:
        empty = [one for one in others if not one["spec"]["replicas"] and not pods.get(uid_of(one))]
        empty.sort(key=lambda one: one["metadata"]["creationTimestamp"])
        for one in empty[: max(0, len(empty) - OLD_SETS)]:
            await self.api.delete("ReplicaSet", name_of(one), uid=uid_of(one))

    async def _count(
        self, found: Object, newest: Object, others: list[Object], pods: dict[str, list[Object]], known: _Known
    ) -> None:
        status = self._status(found, newest, others, pods, known)
        before = {name: value for name, value in (found.get("status") or {}).items() if name in status}
        counted = found.get("status", {}).get("observedGeneration") == status["observedGeneration"]
        if before == status or (counted and self.fair() - known.counted < self.rng.choice((0.0, 0.1, 0.3))):
            return
        known.counted = self.fair()
        self.mirror.saw(await self.api.merge("Deployment", name_of(found), {"status": status}, "status"))

    def _status(
        self, found: Object, newest: Object, others: list[Object], pods: dict[str, list[Object]], known: _Known
    ) -> Object:
        young, old = _active(pods, [newest]), _active(pods, others)
        ready = sum(is_ready(pod) for pod in (*young, *old))
        desired = found["spec"]["replicas"]
        whole = len(young) == desired == ready and not old
        status: Object = {
            "observedGeneration": known.generation,
            "replicas": len(young) + len(old),
            "updatedReplicas": len(young),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(0, desired - ready),
        }
        least = desired - _bounds(found)[1]
        said = self.refused.get(found["metadata"]["labels"].get("resilientslice.dev/slice", ""), "")
        short = len(young) < newest["spec"]["replicas"]
        status["conditions"] = [
            _condition(found, "Available", ready >= least, "MinimumReplicas"),
            self._progressing(found, newest, young, known, whole=whole),
            *([_condition(found, "ReplicaFailure", True, "FailedCreate", said)] if said and short else []),
        ]
        return status

    def _progressing(self, found: Object, newest: Object, young: list[Object], known: _Known, *, whole: bool) -> Object:
        progress = (name_of(newest), len(young), sum(is_ready(pod) for pod in young))
        if progress != known.progress:
            known.progress, known.at = progress, self.fair()
        before = condition(found, "Progressing")
        done = f"{name_of(newest)} is complete"
        if whole or (before.get("reason") == "NewReplicaSetAvailable" and before.get("message") == done):
            return _condition(found, "Progressing", True, "NewReplicaSetAvailable", done)
        if self.fair() - known.at > DEADLINE_SECONDS:
            said = f'ReplicaSet "{name_of(newest)}" has timed out progressing.'
            return _condition(found, "Progressing", False, "ProgressDeadlineExceeded", said)
        return _condition(found, "Progressing", True, "ReplicaSetUpdated", f"{name_of(newest)} is progressing")

    async def _set(self, found: Object, pods: list[Object]) -> None:
        active = [pod for pod in pods if not deleting(pod)]
        surplus = len(active) - found["spec"]["replicas"]
        try:
            for _ in range(-surplus):
                if labels_slice(found) in self.refused:
                    return
                self.mirror.saw(await self.api.create("Pod", self._pod(found)))
            active.sort(key=lambda pod: (is_ready(pod), -_age(pod)))
            for pod in active[: max(0, surplus)]:
                await self.api.delete("Pod", name_of(pod), uid=uid_of(pod))
                self.mirror.saw(await self.api.get("Pod", name_of(pod)) or {})
        except ApiError:
            return

    def _pod(self, found: Object) -> Object:
        template = copy.deepcopy(found["spec"]["template"])
        suffix = "".join(self.rng.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
        return {
            "metadata": {
                "name": f"{name_of(found)}-{suffix}",
                "labels": template["metadata"]["labels"],
                "annotations": template["metadata"].get("annotations") or {},
                "ownerReferences": [owner_reference(found, "apps/v1")],
            },
            "spec": {**template["spec"], "nodeName": "node"},
        }


def labels_slice(obj: Object) -> str:
    return str((obj["metadata"].get("labels") or {}).get("resilientslice.dev/slice", ""))


def _age(pod: Object) -> float:
    return time.time() - time.mktime(time.strptime(pod["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ"))


def _by_controller(objects: Iterable[Object]) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = {}
    for obj in objects:
        found.setdefault(controller_of(obj), []).append(obj)
    return found


def _bare(template: Object) -> Object:
    """Without the hash that a ReplicaSet's has."""
    metadata = dict(template["metadata"])
    metadata["labels"] = {name: value for name, value in metadata["labels"].items() if name != HASH}
    return {**template, "metadata": metadata}


def _desired(one: Object) -> int:
    return int((one["metadata"].get("annotations") or {}).get("desired", "0"))


def _active(pods: dict[str, list[Object]], sets: Iterable[Object]) -> list[Object]:
    return [pod for one in sets for pod in pods.get(uid_of(one), ()) if not deleting(pod)]


def _bounds(found: Object) -> tuple[int, int]:
    """Most pods above, and fewest below, what is desired."""
    rolling = (found["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    desired = found["spec"]["replicas"]
    surge = _of(rolling.get("maxSurge", "25%"), desired, math.ceil)
    unavailable = _of(rolling.get("maxUnavailable", "25%"), desired, math.floor)
    return surge, unavailable if surge or unavailable else 1


def _of(value: Any, whole: int, rounded: Callable[[float], int]) -> int:
    return rounded(int(value.rstrip("%")) * whole / 100) if isinstance(value, str) else int(value)


def _scales(found: Object, newest: Object, others: list[Object], pods: dict[str, list[Object]]) -> dict[str, int]:
    """Replicas of each ReplicaSet by name, as the Deployment's controller would set them now."""
    desired = found["spec"]["replicas"]
    sizes = {name_of(one): one["spec"]["replicas"] for one in (*others, newest)}
    active = [one for one in (*others, newest) if one["spec"]["replicas"]]
    resized = any(_desired(one) != desired for one in active)
    if resized and active:
        return _proportional(found, active, newest, sizes)
    surge, unavailable = _bounds(found)
    name = name_of(newest)
    if sizes[name] > desired:
        return sizes | {name: desired}
    sizes[name] = min(desired, sizes[name] + max(0, desired + surge - sum(sizes.values())))
    spare = sum(one["spec"]["replicas"] for one in (*others, newest)) - (desired - unavailable)
    ready = {name_of(one): sum(is_ready(pod) for pod in _active(pods, [one])) for one in (*others, newest)}
    spare -= newest["spec"]["replicas"] - min(ready[name], newest["spec"]["replicas"])
    for one in sorted(others, key=lambda one: str(one["metadata"]["creationTimestamp"])):
        sick = min(max(0, spare), max(0, sizes[name_of(one)] - ready[name_of(one)]))
        sizes[name_of(one)] -= sick
        spare -= sick
    free = sum(ready.values()) - (desired - unavailable)
    for one in sorted(others, key=lambda one: str(one["metadata"]["creationTimestamp"])):
        taken = min(max(0, free), max(0, spare), sizes[name_of(one)])
        sizes[name_of(one)] -= taken
        free, spare = free - taken, spare - taken
    return sizes


def _proportional(found: Object, active: list[Object], newest: Object, sizes: dict[str, int]) -> dict[str, int]:
    """A rollout under way keeps its proportions when the number of replicas changes."""
    desired = found["spec"]["replicas"]
    rolling = len(active) > 1 or uid_of(active[0]) != uid_of(newest)
    allowed = desired + _bounds(found)[0] if rolling and desired else desired
    total = sum(sizes.values())
    left = allowed - total
    for one in sorted(active, key=lambda one: -sizes[name_of(one)]):
        share = round(sizes[name_of(one)] * allowed / total) - sizes[name_of(one)] if total else 0
        moved = max(min(share, left), 0) if left > 0 else min(max(share, left), 0)
        sizes[name_of(one)] += moved
        left -= moved
    largest = max(active, key=lambda one: sizes[name_of(one)])
    sizes[name_of(largest)] = max(0, sizes[name_of(largest)] + left)
    return sizes


def _condition(found: Object, kind: str, truth: bool, reason: str, message: str = "") -> Object:
    status = "True" if truth else "False"
    before = condition(found, kind)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    kept = before.get("status") == status
    same = kept and before.get("reason") == reason and before.get("message", "") == message
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": before.get("lastTransitionTime", at) if kept else at,
        "lastUpdateTime": before.get("lastUpdateTime", at) if same else at,
    }
