"""Does one thing after the other to five slices, as a seed says: edits by people, accidents of the cluster, failures of
the API server, deaths of operators. What it does depends on the seed alone, when it does it also on the machine."""

import asyncio
import copy
import os
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.kube.chaos.api import ApiError, Object, path_of
from tests.kube.chaos.asked import Asked
from tests.kube.chaos.gateway import Failure, Fault
from tests.kube.chaos.judge import Judge
from tests.kube.chaos.objects import SLICE, deleting, labels_of, name_of, uid_of
from tests.kube.chaos.specs import Editor, beginnings
from tests.kube.chaos.world import World

EXCUSE_SECONDS = 12.0
"""Until what was deleted has to be back and serving."""
MOST_TRIES = 8
"""Edits that are tried until one changes something."""
CHILDREN = (
    "Deployment",
    "Service",
    "ConfigMap",
    "ServiceAccount",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "StatefulSet",
)
Act = Callable[[], Awaitable[str]]


@dataclass
class Driver:
    world: World
    judge: Judge
    rng: random.Random
    say: Callable[[str], None]
    editors: dict[str, Editor] = field(default_factory=dict)
    _lifting: set["asyncio.Task[None]"] = field(default_factory=set)

    async def begin(self, names: list[str]) -> None:
        count = [1]
        for name, spec in beginnings().items():
            if name in names:
                editor = self.editors[name] = Editor(name, spec, self.rng, count)
                editor.note()
                asked = self.world.asked[name] = Asked(name)
                asked.add(spec, 0.0)
                body = {"apiVersion": "resilientslice.dev/v1alpha1", "metadata": {"name": name}, "spec": spec}
                self.world.mirror.saw(await self.world.api.create("ResilientSlice", body))

    async def step(self, number: int) -> None:
        """One action, and then a while or none."""
        kinds = [(70, self.edit), (14, self.accident), (9, self.api_failure), (7, self.operator_failure)]
        act = self.rng.choices([kind for _, kind in kinds], [share for share, _ in kinds])[0]
        name = self.rng.choice(sorted(self.editors))
        said = await act(name)
        self.say(f"{number:4} {said}")
        await self._wait(name)

    async def _wait(self, name: str) -> None:
        draw = self.rng.random()
        pause = self.rng.uniform(0.1, 2.5)
        if draw < 0.4:
            return
        if draw < 0.6:
            await asyncio.sleep(pause)
        elif draw < 0.85:
            await self._until(lambda: self._observed(name), 6.0)
        else:
            await self._until(lambda: self.rests(name), 15.0)

    def _observed(self, name: str) -> bool:
        found = self.world.slice(name) or {}
        generation = (found.get("status") or {}).get("observedGeneration")
        return bool(generation == self.world.asked[name].last.generation)

    def rests(self, name: str) -> bool:
        found = self.world.slice(name) or {}
        status = found.get("status") or {}
        truths = {one["type"]: one["status"] for one in status.get("conditions") or ()}
        return self._observed(name) and truths.get("Ready") == "True" and truths.get("Reconciling") == "False"

    async def _until(self, holds: Callable[[], bool], seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        end, at_last = self.world.fair.now() + seconds, loop.time() + 3 * seconds
        while not holds():
            if self.world.fair.now() > end or loop.time() > at_last:
                return False
            await asyncio.sleep(0.05)
        return True

    # --- people

    async def edit(self, name: str) -> str:
        editor = self.editors[name]
        before, done = copy.deepcopy(editor.spec), list[str]()
        for _ in range(self.rng.choice((1, 1, 1, 2, 3))):
            edits = editor.edits()
            for change in self.rng.choices([one for _, one in edits], [share for share, _ in edits], k=MOST_TRIES):
                if (said := change()) and editor.spec != before:
                    done.append(said)
                    break
        words = ", ".join(done)
        if editor.spec == before:
            return f"{name}: nothing"
        return f"{name}: {words}{await self.send(name, before)}"

    async def send(self, name: str, before: Object) -> str:
        """What the API server said against it, empty if nothing."""
        editor, asked = self.editors[name], self.world.asked[name]
        edit = asked.add(editor.spec, self.world.now(name))
        change = [{"op": "replace", "path": "/spec", "value": editor.spec}]
        try:
            answer = await self.world.api.call(
                "PATCH",
                path_of("ResilientSlice", name),
                change,
                "application/json-patch+json",
                fieldManager="people",
            )
        except ApiError as error:
            asked.edits.remove(edit)
            editor.spec = before
            return f" (refused: {str(error)[:200]})"
        edit.generation = answer["metadata"]["generation"]
        if edit.revision is not None:
            editor.note()
        return f" → generation {edit.generation}, {edit.revision.name if edit.revision else 'invalid'}"

    # --- accidents in the cluster

    async def accident(self, name: str) -> str:
        accidents: list[tuple[int, Callable[[str], Awaitable[str]]]] = [
            (4, self.child_deleted),
            (2, self.memory_deleted),
            (2, self.memory_unlabelled),
            (2, self.history_deleted),
            (1, self.key_deleted),
            (3, self.pod_deleted),
            (2, self.pod_crashed),
            (2, self.agent_hangs),
            (2, self.drift),
            (2, self.load),
            (1, self.pods_refused),
        ]
        act = self.rng.choices([one for _, one in accidents], [share for share, _ in accidents])[0]
        return f"{name}: {await act(name)}"

    def _excuse(self, name: str, service: str = "", seconds: float = EXCUSE_SECONDS) -> None:
        self.judge.traffic.excused[(name, service)] = self.world.fair.now() + seconds

    def _children(self, name: str, kind: str) -> list[Object]:
        found = self.world.mirror[kind].values()
        return sorted((one for one in found if labels_of(one).get(SLICE) == name), key=name_of)

    async def child_deleted(self, name: str) -> str:
        kind, draw = self.rng.choice(CHILDREN), self.rng.random()
        children = [one for one in self._children(name, kind) if not name_of(one).endswith("-state")]
        if not children:
            return f"no {kind} to delete"
        one = children[int(draw * len(children))]
        if kind in ("Deployment", "Service", "ConfigMap", "HorizontalPodAutoscaler", "StatefulSet"):
            self._excuse(name)
        await self.world.api.delete(kind, name_of(one), policy="Background")
        return f"{kind} {name_of(one)} is deleted"

    async def memory_deleted(self, name: str) -> str:
        await self.world.api.delete("ConfigMap", f"{name}-state")
        return f"ConfigMap {name}-state is deleted{self._with_death()}"

    async def memory_unlabelled(self, name: str) -> str:
        try:
            await self.world.api.merge("ConfigMap", f"{name}-state", {"metadata": {"labels": {SLICE: None}}})
        except ApiError as error:
            return f"no memory to strip the label of: {error.status}"
        return f"ConfigMap {name}-state loses its label{self._with_death()}"

    def _with_death(self) -> str:
        """Half of the time the operator dies with it."""
        if self.rng.random() < 0.5:
            return ""
        return f", and {self._killed()}"

    async def history_deleted(self, name: str) -> str:
        found = self._children(name, "ControllerRevision")
        draw = self.rng.random()
        if not found:
            return "no ControllerRevision to delete"
        one = found[int(draw * len(found))]
        await self.world.api.delete("ControllerRevision", name_of(one))
        return f"ControllerRevision {name_of(one)} is deleted{self._with_death()}"

    async def key_deleted(self, name: str) -> str:
        await self.world.api.delete("Secret", f"{name}-agent-key")
        return "the agents' key is deleted"

    async def pod_deleted(self, name: str) -> str:
        pods = [pod for pod in self._children(name, "Pod") if not deleting(pod)]
        draw = self.rng.random()
        if not pods:
            return "no pod to delete"
        pod = pods[int(draw * len(pods))]
        self._excuse(name, labels_of(pod).get("resilientslice.dev/service", ""))
        await self.world.api.delete("Pod", name_of(pod), uid=uid_of(pod))
        return f"Pod {name_of(pod)} is deleted"

    async def pod_crashed(self, name: str) -> str:
        pods = [pod for pod in self._children(name, "Pod") if "resilientslice.dev/service" in labels_of(pod)]
        draw, seconds = self.rng.random(), self.rng.uniform(0.5, 3.0)
        if not pods:
            return "no pod to crash"
        pod = pods[int(draw * len(pods))]
        self._excuse(name, labels_of(pod)["resilientslice.dev/service"])
        self.world.kubelet.crash(pod, seconds)
        return f"Pod {name_of(pod)} crashes for {seconds:.1f} s"

    async def agent_hangs(self, name: str) -> str:
        proxies = self.world.kubelet.proxies(name)
        draw, seconds = self.rng.random(), self.rng.uniform(1.0, 8.0)
        if not proxies:
            return "no agent to hang"
        pod, proxy = proxies[int(draw * len(proxies))]
        proxy.hanging = asyncio.Event()
        self.world.hanging.add(name)

        def lift() -> None:
            if proxy.hanging is not None:
                proxy.hanging.set()
                proxy.hanging = None
            self.world.hanging.discard(name)

        self._lift(seconds, lift)
        return f"the agent of {name_of(pod)} hangs for {seconds:.1f} s"

    async def drift(self, name: str) -> str:
        found = [one for one in self._children(name, "Deployment") if not deleting(one)]
        draw, kind = self.rng.random(), self.rng.choice(("replicas", "image"))
        if not found:
            return "nothing to change by hand"
        one = found[int(draw * len(found))]
        self._excuse(name)
        change: Object = {"spec": {"replicas": 1}}
        if kind == "image":
            containers = [
                {**container, "image": "example.org/by-hand:1"}
                for container in one["spec"]["template"]["spec"]["containers"]
            ]
            change = {"spec": {"template": {"spec": {"containers": containers}}}}
        try:
            path = path_of("Deployment", name_of(one))
            await self.world.api.call("PATCH", path, change, "application/merge-patch+json", fieldManager="by-hand")
        except ApiError as error:
            return f"{name_of(one)}'s {kind} could not be changed by hand: {error.status}"
        return f"{name_of(one)}'s {kind} is changed by hand"

    async def load(self, name: str) -> str:
        load = self.rng.randint(1, 6)
        for track in ("stable", "canary"):
            self.world.autoscalers.load[f"{name}-api-{track}"] = load if track == "stable" else 1
        return f"load for {load} replicas of api"

    async def pods_refused(self, name: str) -> str:
        seconds = self.rng.uniform(2.0, 8.0)
        self.world.deployments.refused[name] = 'pods "x" is forbidden: exceeded quota: compute, requested: pods=1'
        self._excuse(name, seconds=seconds + EXCUSE_SECONDS)
        self._lift(seconds, lambda: self.world.deployments.refused.pop(name, None))
        return f"its pods are refused for {seconds:.1f} s"

    # --- the API server

    async def api_failure(self, name: str) -> str:
        acts = (self._fault, self._fault, self._fault, self._fault, self._cut, self._freeze)
        return await self.rng.choice(acts)()

    async def _fault(self) -> str:
        failure = self.rng.choice(list(Failure))
        share = self.rng.choice((0.2, 0.5, 1.0, 1.0))
        seconds = self.rng.choice((1.0, 3.0, 12.0))
        some = ("deployments", "configmaps", "controllerrevisions", "services", "resilientslices")
        resources = frozenset(self.rng.choice(((), ("deployments",), (self.rng.choice(some),))))
        fault = Fault(failure, share, resources)
        self.world.gateway.add(fault)
        self._lift(seconds, lambda: self.world.gateway.remove(fault))
        about = ", ".join(sorted(resources)) or "everything"
        return f"{share:.0%} of the writes of {about} fail for {seconds:.0f} s: {failure.value}"

    async def _cut(self) -> str:
        self.world.gateway.cut_watches()
        return "all watches are cut"

    async def _freeze(self) -> str:
        seconds = self.rng.choice((1.0, 4.0))
        self.world.frozen = True
        process = self.world.plane.process
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        await asyncio.sleep(seconds)
        process.send_signal(signal.SIGCONT)
        self.world.frozen = False
        return f"the API server was frozen for {seconds:.0f} s"

    # --- operators

    async def operator_failure(self, name: str) -> str:
        acts = (self._die, self._end, self._suspend, self._second)
        return self.rng.choice(acts)()

    def _leading(self) -> Any:
        living = [one for one in self.world.operators.processes if one.alive and not one.frozen]
        return next((one for one in living if one.name == self.world.leader), living[0] if living else None)

    def _killed(self) -> str:
        leading = self._leading()
        if leading is None:
            return "no operator is there to die"
        self.world.leader = ""
        self.world.operators.kill(leading)
        return f"{leading.name} is killed"

    def _die(self) -> str:
        return self._killed()

    def _end(self) -> str:
        leading = self._leading()
        if leading is None:
            return "no operator is there to end"
        self.world.operators.terminate(leading)
        return f"{leading.name} is told to end"

    def _suspend(self) -> str:
        leading, seconds = self._leading(), self.rng.choice((2.0, 6.0, 20.0))
        if leading is None:
            return "no operator is there to freeze"
        self.world.leader = ""
        self.world.operators.freeze(leading)
        self._lift(seconds, lambda: self.world.operators.thaw(leading))
        return f"{leading.name} is frozen for {seconds:.0f} s"

    def _second(self) -> str:
        if len(self.world.operators.processes) > 1:
            return "there are two operators already"
        return f"{self.world.operators.start().name} starts beside the other"

    def _lift(self, seconds: float, lift: Callable[[], Any]) -> None:
        async def later() -> None:
            try:
                await asyncio.sleep(seconds)
            finally:
                lift()

        task = asyncio.get_running_loop().create_task(later())
        self._lifting.add(task)
        task.add_done_callback(self._lifting.discard)

    # --- the end

    async def calm(self) -> None:
        """Nothing fails any more, and what is asked for can be had."""
        for task in list(self._lifting):
            task.cancel()
        await asyncio.gather(*self._lifting, return_exceptions=True)
        for name, editor in self.editors.items():
            self._excuse(name, seconds=20.0)
            before = copy.deepcopy(editor.spec)
            editor.mended()
            self.say(f"     {name}: made good{await self.send(name, before)}")
