"""Slices with proxies, the Deployments that an operator sees of them, and the line that they wait in."""

from collections import deque
from dataclasses import dataclass, field

from resilientslice.kube.cache import Children
from resilientslice.kube.children import ASKED_ANNOTATION, DIGEST_ANNOTATION, REVISION_ANNOTATION, noted
from resilientslice.kube.kinds import RESILIENT_SLICE, SliceKey
from resilientslice.kube.slices import Slices
from resilientslice.planning.timestamps import rfc3339
from resilientslice.rollouts.scheduler import ProxyRollouts

OLD, NEW, NEWER = "1", "2", "3"


@dataclass(frozen=True)
class Wanted:
    """What `look` reads of what is expected."""

    template: str
    asked: str = "x"

    @property
    def digest(self):
        return f"{self.template}/{self.asked}"

    @property
    def notes(self):
        return {REVISION_ANNOTATION: self.template, ASKED_ANNOTATION: self.asked}

    def annotations(self):
        """Of a Deployment that was applied as it is wanted."""
        return {DIGEST_ANNOTATION: self.digest, **self.notes}


@dataclass
class Cluster:
    """Slices with proxies of OLD, whose operator wants them to be of `wants`."""

    count: int
    places: int
    wants: str = NEW
    version: int = 0
    deployments: dict[SliceKey, dict] = field(default_factory=dict)
    started: list[SliceKey] = field(default_factory=list)
    namespaces: int = 3
    now: float = 1_800_000_000.0

    def __post_init__(self):
        self.keys = [SliceKey(f"ns-{number % self.namespaces}", f"s{number:02}") for number in range(self.count)]
        for key in self.keys:
            self.apply(key, Wanted(OLD))
            self.end(key)
        self.restart()

    def restart(self):
        self.woken = deque()
        self.slices = Slices(on_change=lambda key: None)
        self.children = Children(on_change=lambda key: None, shape=noted)
        self.rollouts = ProxyRollouts(
            self.slices, self.children, places=self.places, wake=self.woken.append, clock=lambda: self.now
        )
        for key in self.keys:
            metadata = {"namespace": key.namespace, "name": key.name, "uid": str(key), "resourceVersion": "1"}
            self.slices.told({"kind": RESILIENT_SLICE.kind, "metadata": metadata})
            self.children.told(self.deployments[key])
        self.woken.extend(self.keys)

    def apply(self, key, wanted):
        self.version += 1
        live = self.deployments.get(key, {"metadata": {"generation": 0}, "status": {}})
        before = live["metadata"].get("annotations", {}).get(REVISION_ANNOTATION)
        self.deployments[key] = {
            "kind": "Deployment",
            "metadata": {
                "namespace": key.namespace,
                "name": f"{key.name}-proxy",
                "uid": f"uid-{key}",
                "generation": live["metadata"]["generation"] + (before != wanted.template),
                "resourceVersion": str(self.version),
                "labels": {"resilientslice.dev/slice": key.name},
                "annotations": wanted.annotations(),
                "ownerReferences": [{"uid": str(key), "controller": True}],
            },
            "spec": {"replicas": 2},
            "status": live["status"],
        }

    def end(self, key, *, stuck=False):
        """Its controller has counted: all are new, or the first new one does not come up."""
        self.version += 1
        live = self.deployments[key]
        generation = live["metadata"]["generation"]
        counts = {"replicas": 3, "updatedReplicas": 1, "availableReplicas": 2} if stuck else {}
        status = {
            "replicas": 2,
            "updatedReplicas": 2,
            "availableReplicas": 2,
            **counts,
            "observedGeneration": generation,
        }
        said = {"type": "Progressing", "status": "False" if stuck else "True"}
        before = live["status"].get("conditions", [{}])[0]
        same = before.get("status") == said["status"] and live["status"].get("observedGeneration") == generation
        status["conditions"] = [{**said, "lastUpdateTime": before["lastUpdateTime"] if same else rfc3339(self.now)}]
        metadata = {**live["metadata"], "resourceVersion": str(self.version)}
        self.deployments[key] = {**live, "metadata": metadata, "status": status}

    def heard(self, key):
        self.children.told(self.deployments[key])
        self.woken.append(key)

    def do(self, key, *, asked="x"):
        """A pass; what it found out about its place in line."""
        wanted = Wanted(self.wants, asked)
        found = self.rollouts.look(key, wanted)
        if found is None and self.deployments[key]["metadata"]["annotations"] != wanted.annotations():
            self.apply(key, wanted)
            self.started.append(key)
            self.children.saw(self.deployments[key])
        self.rollouts.settle(key)
        return found

    def work_in_order(self):
        self.woken.clear()
        self.woken.extend(sorted(self.keys))
        self.work()

    def work(self):
        while self.woken:
            self.do(self.woken.popleft())

    def rolling(self):
        return [
            key for key in self.keys if self.deployments[key]["status"].get("updatedReplicas") == 1 or self.unseen(key)
        ]

    def unseen(self, key):
        live = self.deployments[key]
        return live["status"]["observedGeneration"] < live["metadata"]["generation"]

    def turn(self, *stuck, seconds=60.0, everything=False):
        """Time passes; every rollout that can ends, those of `stuck` don't. Whoever waits looks now and then."""
        self.now += seconds
        for key in self.rolling():
            if key in stuck or everything:
                self.end(key, stuck=True)
            else:
                self.end(key)
            self.heard(key)
        self.work()

    def look_again(self):
        self.woken.extend(key for key in self.keys if key not in self.rolling())
        self.work()

    def at(self, template):
        return sum(d["metadata"]["annotations"][REVISION_ANNOTATION] == template for d in self.deployments.values())
