"""What a bare API server lacks: Deployments and StatefulSets become ready, and proxies' pods come to be.

Pods of one namespace are real: an agent and an Envoy each. All others are answered for by one process of fake agents.
"""

import asyncio
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import AlreadyExistsError, KubeError
from resilientslice.kube.kinds import CONFIG_MAP, DEPLOYMENT, POD, SECRET, STATEFUL_SET, Kind, Object
from resilientslice.kube.session import Session
from resilientslice.kube.watch import Reflector
from resilientslice.render.names import LABEL_SLICE, agent_key_name, proxy_name
from testkit.fake_agents import fake_address
from testkit.hosts import DNS_HOST, Names
from testkit.proxy_pods import ProxyPod
from testkit.replica_sets import controlled_by, replica_set
from testkit.waiting import until

REAL: Final = "bench"
"""The namespace whose proxies are real."""
WORKERS: Final = 8
MANAGER: Final = "simulation"
_WORKLOADS = {DEPLOYMENT.kind: DEPLOYMENT, STATEFUL_SET.kind: STATEFUL_SET}


class Simulation:
    """Run `run` beside what is measured; it ends when it is cancelled, or by the first error of its own."""

    def __init__(self, session: Session, names: Names, dns_port: int, folder: Path, stack: ExitStack) -> None:
        self.pods: dict[str, ProxyPod] = {}
        """The real ones, by name."""
        self.workloads = 0
        """How many times one was made ready."""
        self._session = session
        self._client = KubeClient(session)
        self._names = names
        self._dns_port = dns_port
        self._folder = folder
        self._stack = stack
        self._due: asyncio.Queue[Object] = asyncio.Queue()
        self._fakes: subprocess.Popen[str] | None = None
        self._network = ""
        self._faked = 0

    def attach(self, fakes: subprocess.Popen[str], network: str) -> None:
        """The process that answers for all pods outside of REAL, at addresses of this network."""
        self._fakes, self._network = fakes, network

    def told(self, obj: Object) -> None:
        """A sink of `Reflector`."""
        self._due.put_nowait(obj)

    def gone(self, obj: Object) -> None:
        self._names.ready.discard((obj["metadata"]["namespace"], obj["metadata"]["name"]))

    def listed(self, kind: Kind, namespace: str | None, uids: set[str], resource_version: str) -> None:
        """Nothing is kept that a list could correct."""

    async def run(self) -> None:
        turn = asyncio.Semaphore(1)
        async with asyncio.TaskGroup() as group:
            for kind in _WORKLOADS.values():
                reflector = Reflector(self._session, kind, None, LABEL_SLICE, self, turn, lambda: None)
                group.create_task(reflector.run())
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            obj = await self._due.get()
            try:
                await self._control(obj)
            except KubeError:
                await asyncio.sleep(0.1)  # the API server is busy, or the object has changed: its next event may do
                self._due.put_nowait(await self._again(obj))

    async def _again(self, obj: Object) -> Object:
        metadata = obj["metadata"]
        kind = _WORKLOADS[obj["kind"]]
        return await self._client.find(kind, metadata["namespace"], metadata["name"]) or obj

    async def _control(self, obj: Object) -> None:
        metadata, replicas = obj["metadata"], obj["spec"].get("replicas", 1)
        if "deletionTimestamp" in metadata:
            return
        place = (metadata["namespace"], metadata["name"])
        if metadata["labels"].get(LABEL_SLICE) and place[1] == proxy_name(metadata["labels"][LABEL_SLICE]):
            owner = controlled_by(await replica_set(self._client, obj))
            for number in range(replicas):
                await self._pod(obj, owner, number)
        counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
        status = {"observedGeneration": metadata["generation"], **dict.fromkeys(counts, replicas)}
        if any((obj.get("status") or {}).get(name) != value for name, value in status.items()):
            await self._client.patch_status(_WORKLOADS[obj["kind"]], *place, status, manager=MANAGER)
            self.workloads += 1
        self._names.ready.add(place)

    async def _pod(self, deployment: Object, owner: Object, number: int) -> None:
        metadata = deployment["metadata"]
        namespace, name = metadata["namespace"], f"{metadata['name']}-{number}"
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": deployment["spec"]["template"]["metadata"]["labels"],
                "ownerReferences": [owner],
            },
            "spec": {"containers": [{"name": "agent", "image": "agent"}]},
        }
        try:
            made = await self._client.create(pod)
        except AlreadyExistsError:
            return
        real = namespace == REAL
        address = f"127.77.0.{len(self.pods) + 1}" if real else self._next_address()
        status: Object = {"podIP": address, "podIPs": [{"ip": address}], "phase": "Running"}
        if real:
            await self._start(name, address, made["metadata"]["uid"], namespace, metadata["labels"][LABEL_SLICE])
        elif self._fakes is not None and self._fakes.stdin is not None:
            self._fakes.stdin.write(f"{address} {made['metadata']['uid']}\n")
            self._fakes.stdin.flush()
        await self._client.patch_status(POD, namespace, name, status, manager=MANAGER)
        if real:
            await until(self.pods[name].ready, f"{name} is ready", self.pods[name].said)
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        await self._client.patch_status(POD, namespace, name, {**status, "conditions": [ready]}, manager=MANAGER)

    async def _start(self, name: str, address: str, uid: str, namespace: str, slice_: str) -> None:
        configuration = await self._client.get(CONFIG_MAP, namespace, proxy_name(slice_))
        key = await self._client.get(SECRET, namespace, agent_key_name(slice_))
        at = self._folder / f"p{len(self.pods)}"
        at.mkdir(mode=0o700)
        pod = self.pods[name] = ProxyPod(at, address, self._dns_port, DNS_HOST)
        pod.start(self._stack, uid, configuration, key)

    def _next_address(self) -> str:
        self._faked += 1
        return fake_address(self._network, self._faked)
