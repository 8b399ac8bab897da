"""A cluster in miniature on a real API server, where passes of the operator run one at a time, when they are asked for.

It plays controllers, tells what watches would have told, and counts the operator's requests.
"""

import copy
from collections.abc import Sequence

from resilientslice.controller.assemble import assemble
from resilientslice.controller.slice_state import SliceState
from resilientslice.envoys.port import Agents
from resilientslice.kube.cache import Children
from resilientslice.kube.children import noted
from resilientslice.kube.client import KubeClient
from resilientslice.kube.kinds import (
    DEPLOYMENT,
    POD,
    RESILIENT_SLICE,
    STATEFUL_SET,
    WATCHED_KINDS,
    Kind,
    Object,
    SliceKey,
)
from resilientslice.kube.session import Session
from resilientslice.kube.slices import Slices
from resilientslice.render.names import LABEL_SLICE
from testkit.played_agents import PlayedAgents
from testkit.replica_sets import controlled_by, replica_set

WRITES = frozenset({"apply", "create", "delete", "patch", "patch_status", "update"})


class World:
    """One namespace, one operator's pass, and `others`: a client that nobody counts."""

    def __init__(self, session: Session, others: KubeClient, namespace: str, log: list[tuple[str, str]]) -> None:
        self.namespace = namespace
        self.others = others
        self.client = KubeClient(session)
        self._session = session
        self.log = log
        """Verb and kind of each request of the operator."""
        self.agents = PlayedAgents()
        self.now = 1_800_000_000.0
        self.deadline: float | None = None
        self.stuck: set[str] = set()
        """Deployments and StatefulSets that never become ready."""
        self.replaced: dict[str, int] = {}
        """How often a pod of the proxies was."""
        self.subnet = "127.77.0"
        """Of the proxies' pods."""
        self.claim = ""
        """The installation that this operator claims slices for from its next start on."""
        self.restart()

    def restart(self, agents: Agents | None = None) -> None:
        """The operator's process ends, and another one starts with empty hands."""
        self.slices = Slices(on_change=lambda _: None)
        self.children = Children(on_change=lambda _: None, shape=noted, namespaces=(self.namespace,))
        self.reconciler = assemble(
            self.client,
            self.slices,
            self.children,
            agents or self.agents,
            clock=lambda: self.now,
            installation=self.claim,
        )

    async def request(self, method: str, path: str, body: Object | None = None) -> Object:
        """Of a kind that the operator has nothing to do with."""
        kind = Kind("", "", "Object", path)
        return await self._session.request(method, path, kind=kind, what=path, body=body)

    async def apply(self, document: Object) -> Object:
        document = copy.deepcopy(document)
        document["metadata"]["namespace"] = self.namespace
        document.pop("status", None)
        return await self.others.apply(document, manager="user", force=True)

    async def sync(self) -> None:
        """What the watches would have told by now."""
        for kind in WATCHED_KINDS:
            await self._listed(kind)
        found = await self.others.list_all(RESILIENT_SLICE, self.namespace)
        for obj in found:
            self.slices.told(obj)
        self.slices.listed(RESILIENT_SLICE, self.namespace, {o["metadata"]["uid"] for o in found}, str(2**62))

    async def _listed(self, kind: Kind) -> None:
        if kind.optional:
            self.children.listed(kind, self.namespace, set(), "0")
            return
        found = await self.others.list_all(kind, self.namespace, label_selector=LABEL_SLICE)
        for obj in found:
            self.children.told(obj)
        self.children.listed(kind, self.namespace, {o["metadata"]["uid"] for o in found}, str(2**62))

    async def reconcile(self, name: str) -> list[tuple[str, str]]:
        """One pass after everything was told; returns the requests that it made."""
        await self.sync()
        before = len(self.log)
        self.deadline = (await self.reconciler.reconcile(SliceKey(self.namespace, name))).next_deadline
        return self.log[before:]

    async def settle(self, name: str, *, seconds: float = 2.0) -> None:
        """Controllers and passes take turns until nothing was written for that long and nothing more is waited for."""
        until = self.now + seconds
        made: list[tuple[str, str]] = []
        for _ in range(90):
            made = await self.reconcile(name)
            acted = await self.control()
            if acted or writes(made):
                until = max(until, self.now + seconds)
            waits = self.deadline is not None and self.deadline <= until
            if waits:
                self.now += 1.0
            if not acted and not writes(made) and not waits:
                return
        raise AssertionError(f"never settles: {made} {(await self.slice(name)).get('status')}")

    async def control(self) -> bool:
        """Deployments and StatefulSets become ready, as far as they are not stuck; True if anything changed."""
        changed = await self._stores()
        for deployment in await self.others.list_all(DEPLOYMENT, self.namespace):
            name, generation = deployment["metadata"]["name"], deployment["metadata"]["generation"]
            if name in self.stuck:
                continue
            replicas = deployment["spec"]["replicas"]
            status = {
                "observedGeneration": generation,
                "replicas": replicas,
                "updatedReplicas": replicas,
                "readyReplicas": replicas,
                "availableReplicas": replicas,
            }
            if deployment.get("status", {}) != status:
                await self.others.patch_status(DEPLOYMENT, self.namespace, name, status, manager="controllers")
                changed = True
            if name.endswith("-proxy"):
                changed = await self._proxies(deployment, replicas) or changed
        return changed

    async def _stores(self) -> bool:
        """A StatefulSet whose pod is to continue is let go of its pod, as the garbage collector does."""
        changed = False
        for found in await self.others.list_all(STATEFUL_SET, self.namespace):
            metadata = found["metadata"]
            name, counts = metadata["name"], ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
            status = {"observedGeneration": metadata["generation"], **dict.fromkeys(counts, found["spec"]["replicas"])}
            if "deletionTimestamp" in metadata:
                change = {"metadata": {"finalizers": None}}
                await self.others.merge(STATEFUL_SET, self.namespace, name, change, manager="garbage")
                changed = True
            elif name not in self.stuck and not status.items() <= found.get("status", {}).items():
                await self.others.patch_status(STATEFUL_SET, self.namespace, name, status, manager="controllers")
                changed = True
        return changed

    async def _proxies(self, deployment: Object, replicas: int) -> bool:
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        owners = [controlled_by(await replica_set(self.others, deployment))]
        changed = False
        for index in range(replicas):
            name = f"{deployment['metadata']['name']}-{index}"
            name = f"{name}-{self.replaced[name]}" if name in self.replaced else name
            if await self.others.find(POD, self.namespace, name) is None:
                metadata = {"name": name, "namespace": self.namespace, "labels": labels, "ownerReferences": owners}
                spec = {"containers": [{"name": "agent", "image": "agent"}]}
                await self.others.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
                ready = {"type": "Ready", "status": "True"}
                status = {"podIP": f"{self.subnet}.{index + 1}", "phase": "Running", "conditions": [ready]}
                await self.others.patch_status(POD, self.namespace, name, status, manager="kubelet")
                changed = True
        return changed

    def held(self, name: str) -> SliceState:
        """What the operator's process knows of a slice."""
        return self.reconciler.states[SliceKey(self.namespace, name)]

    def key(self, name: str) -> SliceKey:
        return SliceKey(self.namespace, name)

    async def replace_pod(self, name: str) -> None:
        """A pod of the proxies ends, and another one takes its place."""
        await self.others.delete(POD, self.namespace, name)
        for known in self.agents.running.values():
            known.pop(name, None)
        self.replaced[name] = self.replaced.get(name, 0) + 1

    async def slice(self, name: str) -> Object:
        return await self.others.get(RESILIENT_SLICE, self.namespace, name)

    async def condition(self, name: str, kind: str) -> tuple[str, str, str] | None:
        """Status, reason and message."""
        status = (await self.slice(name)).get("status", {})
        found = next((c for c in status.get("conditions", ()) if c["type"] == kind), None)
        return (found["status"], found["reason"], found.get("message", "")) if found else None

    async def names(self, kind: Kind) -> set[str]:
        return {obj["metadata"]["name"] for obj in await self.others.list_all(kind, self.namespace)}


def writes(made: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [request for request in made if request[0] in WRITES]
