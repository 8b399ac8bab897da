"""Everything that a run consists of, started and ended together, and how far each slice's operator is hindered."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from scripts.build_apiserver import built
from tests.kube.chaos.api import MIRRORED, NAMESPACE, Api, ApiError, Mirror, Object
from tests.kube.chaos.asked import Asked
from tests.kube.chaos.clock import FairClock
from tests.kube.chaos.gateway import Gateway
from tests.kube.chaos.kubelet import Kubelet
from tests.kube.chaos.objects import VERSION, labels_of, variable
from tests.kube.chaos.operators import Operators
from tests.kube.chaos.stateful import FIXED, GROWS, Autoscalers, Collector, StatefulSets
from tests.kube.chaos.workloads import Deployments

from testkit.control_plane import ControlPlane, control_plane
from testkit.ports import free_port

SLOW_SECONDS = 0.5
"""A pass writes dozens of objects one after the other: an API server that needs longer for one is a hindrance."""
PACE, PACE_SECONDS = "pace", 0.25
"""Name of what is written to measure that, and the pause between two writes."""
REST_SECONDS = 4.0
"""For which a slice's clock stands still after what hindered its operator: it waits after a failure, lists anew, and
asks agents again."""


@dataclass
class World:
    plane: ControlPlane
    fair: FairClock
    api: Api
    mirror: Mirror
    gateway: Gateway
    operators: Operators
    kubelet: Kubelet
    deployments: Deployments
    autoscalers: Autoscalers
    folder: Path
    asked: dict[str, Asked] = field(default_factory=dict)
    frozen: bool = False
    """The API server."""
    hanging: set[str] = field(default_factory=set)
    """Slices of whose agents one doesn't answer."""
    clocks: dict[str, float] = field(default_factory=dict)
    asked_at: float | None = None
    """When the write that measures the API server was sent (seconds of the event loop); None between two of them."""
    leader: str = ""
    """Name of the operator's process that leads, empty while none does."""
    _rested: dict[str, float] = field(default_factory=dict)
    _last: float = 0.0

    def slice(self, name: str) -> Object | None:
        return self.mirror["ResilientSlice"].get(name)

    def stable_versions(self, name: str) -> dict[str, str]:
        """What the stable Deployments are to run, by service."""
        found = {}
        for deployment in self.mirror["Deployment"].values():
            labels = labels_of(deployment)
            if labels.get("resilientslice.dev/slice") == name and labels.get("resilientslice.dev/track") == "stable":
                found[labels["resilientslice.dev/service"]] = variable(deployment["spec"]["template"], VERSION)
        return found

    def hindered(self, name: str) -> str:
        """By what the operator is kept from acting on a slice; empty if by nothing."""
        if not self.leader:
            return "no operator leads"
        if self.gateway.faults:
            return "the API server fails"
        if self.frozen:
            return "the API server is frozen"
        if self.asked_at is not None and asyncio.get_running_loop().time() - self.asked_at > SLOW_SECONDS:
            return "the API server is slow"
        return "an agent doesn't answer" if name in self.hanging else ""

    def tick(self) -> None:
        """Let the slices' clocks continue, where nothing hinders."""
        now = self.fair.now()
        passed, self._last = now - self._last, now
        for name in self.asked:
            if self.hindered(name):
                self._rested[name] = now + REST_SECONDS
            elif now >= self._rested.get(name, 0.0):
                self.clocks[name] = self.clocks.get(name, 0.0) + passed

    def now(self, name: str) -> float:
        """Seconds on the slice's clock."""
        return self.clocks.get(name, 0.0)

    async def measure(self) -> None:
        """Write something again and again: an API server whose disk is busy keeps the operator from acting, too."""
        loop = asyncio.get_running_loop()
        for number in itertools.count():
            self.asked_at = loop.time()
            with suppress(ApiError):
                await self.api.merge("ConfigMap", PACE, {"data": {"number": str(number)}})
            self.asked_at = None
            await asyncio.sleep(PACE_SECONDS)

    async def follow_leader(self) -> None:
        while True:
            self.operators.reap()
            leader = await asyncio.to_thread(self.operators.leader)
            self.leader = leader.name if leader else ""
            await asyncio.sleep(0.2)


@asynccontextmanager
async def world(seed: int, network: str, folder: Path) -> AsyncIterator[World]:
    """`seed` is for the timing of what is played; `network` the first two bytes of pods' addresses."""
    rng = random.Random(f"{seed} timing")
    async with AsyncExitStack() as stack:
        plane = stack.enter_context(control_plane(built()))
        fair = stack.enter_context(FairClock())
        api = await stack.enter_async_context(Api(plane.kubeconfig, "kube-controller-manager"))
        mirror = Mirror(api)
        gateway = Gateway(Api(plane.operators, "gateway"), free_port(), folder)
        await asyncio.to_thread(gateway.start, f"{seed} gateway")
        stack.callback(gateway.stop)
        operators = Operators(gateway.kubeconfig(), folder, NAMESPACE)
        stack.callback(operators.stop)
        pods = folder / "pods"
        kubelet = Kubelet(api, mirror, rng, pods, network)
        deployments = Deployments(api, mirror, rng, fair.now)
        autoscalers = Autoscalers(api, mirror, rng, fair.now)
        made = World(plane, fair, api, mirror, gateway, operators, kubelet, deployments, autoscalers, folder)
        await _prepare(api)
        parts = (mirror, kubelet, deployments, autoscalers, StatefulSets(api, mirror, rng), Collector(api, mirror))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part.run()) for part in parts]
            tasks.append(group.create_task(made.follow_leader()))
            tasks.append(group.create_task(made.measure()))
            while not mirror.listed.issuperset(MIRRORED):
                await asyncio.sleep(0.05)
            try:
                yield made
            finally:
                await asyncio.to_thread(operators.stop)
                for task in tasks:
                    task.cancel()


async def _prepare(api: Api) -> None:
    """The namespace, what is written to measure the API server, and two StorageClasses."""
    await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    await api.create("ConfigMap", {"metadata": {"name": PACE}})
    for name, grows in ((GROWS, True), (FIXED, False)):
        annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if grows else {}
        body = {
            "metadata": {"name": name, "annotations": annotations},
            "provisioner": "example.org/played",
            "allowVolumeExpansion": grows,
        }
        await api.call("POST", "/apis/storage.k8s.io/v1/storageclasses", body)
