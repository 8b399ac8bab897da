"""Plays the kubelets: pods get an address, start or don't, become ready, are killed, and take their time to end."""

import asyncio
import base64
import random
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kube.chaos.api import Api, ApiError, Mirror, Object
from tests.kube.chaos.objects import (
    SLICE,
    deleting,
    is_ready,
    labels_of,
    listens,
    main_container,
    name_of,
    selected,
    uid_of,
)
from tests.kube.chaos.proxies import ProxyPod
from tests.kube.chaos.routing import Target

SWEEP_SECONDS = 0.08
STOP_SECONDS = 1.6
"""From the request to end to the end: longer than names take to be looked up again."""
MOUNT_SECONDS = (0.5, 4.0)
"""Until a changed ConfigMap or Secret is in the pods that mount it."""
BAD, MISSING = "bad", "missing"
"""Tags of images that never become ready, and that can't be pulled, begin with these."""
PROXY = "proxy"


@dataclass
class _Pod:
    """A pod on its node. Times by the loop's clock."""

    begun: float
    address: str = ""
    ready_at: float = 0.0
    ends_at: float = 0.0
    down_until: float = 0.0
    restarts: int = 0
    mounts_at: float = 0.0
    mounted: tuple[str, str] = ("", "")
    proxy: ProxyPod | None = None
    working: bool = False


@dataclass
class Kubelet:
    api: Api
    mirror: Mirror
    rng: random.Random
    folder: Path
    network: str
    """The first two bytes of all addresses."""
    pods: dict[str, _Pod] = field(default_factory=dict)
    """By UID."""
    _addresses: Iterator[str] = field(init=False)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    _sorted: tuple[int, dict[str, list[Object]]] = field(default_factory=lambda: (-1, {}))

    def __post_init__(self) -> None:
        self._addresses = (f"{self.network}.{a}.{b}" for a in range(256) for b in range(1, 255))

    async def run(self) -> None:
        try:
            while True:
                for uid in self.pods.keys() - {uid_of(pod) for pod in self.mirror["Pod"].values()}:
                    self._spawn(self._gone(self.pods.pop(uid)))
                for pod in list(self.mirror["Pod"].values()):
                    known = self.pods.setdefault(uid_of(pod), _Pod(self._now()))
                    if not known.working:
                        known.working = True
                        self._spawn(self._tend(pod, known))
                await asyncio.sleep(SWEEP_SECONDS)
        finally:
            for known in self.pods.values():
                await self._gone(known)

    def proxies(self, slice_: str = "") -> list[tuple[Object, ProxyPod]]:
        """Pods with an Envoy that runs, of one slice or of all."""
        found = []
        for pod in self._of_slice().get(slice_, ()) if slice_ else list(self.mirror["Pod"].values()):
            known = self.pods.get(uid_of(pod))
            proxy = known.proxy if known is not None else None
            if proxy is not None and proxy.envoy is not None:
                found.append((pod, proxy))
        return found

    def resolve(self, target: Target) -> frozenset[str]:
        """Addresses of the ready pods behind a Service; whether they listen on the port is another matter."""
        return frozenset(pod["status"]["podIP"] for pod in self.behind(target) if is_ready(pod) and not deleting(pod))

    def behind(self, target: Target) -> list[Object]:
        service = self.mirror["Service"].get(target.host.partition(".")[0])
        if service is None:
            return []
        selector = service["spec"].get("selector") or {}
        ours = self._of_slice().get(selector.get(SLICE, ""), ())
        return [pod for pod in ours if selected(selector, pod) and self._address(pod)]

    def _of_slice(self) -> Mapping[str, list[Object]]:
        """Pods by their slice's label; sorted anew when there is news."""
        if self._sorted[0] != self.mirror.news:
            found: dict[str, list[Object]] = {}
            for pod in self.mirror["Pod"].values():
                found.setdefault(labels_of(pod).get(SLICE, ""), []).append(pod)
            self._sorted = (self.mirror.news, found)
        return self._sorted[1]

    def at(self, address: str) -> Object | None:
        """The pod of an address, also one that ends."""
        ours = (pod for pods in self._of_slice().values() for pod in pods)
        return next((pod for pod in ours if self._address(pod) == address), None)

    def serves(self, pod: Object, target: Target) -> bool:
        """It runs, and speaks the protocol on the port."""
        known = self.pods.get(uid_of(pod))
        up = known is not None and known.ready_at <= self._now() and known.down_until <= self._now()
        return up and bool(self._address(pod)) and listens(pod).get(target.port) == target.protocol

    def crash(self, pod: Object, seconds: float) -> None:
        known = self.pods.get(uid_of(pod))
        if known is not None:
            known.down_until = self._now() + seconds
            known.restarts += 1

    def _address(self, pod: Object) -> str:
        return str((pod.get("status") or {}).get("podIP") or "")

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.failures.append(repr(task.exception()))

    async def _gone(self, known: _Pod) -> None:
        if known.proxy is not None:
            await known.proxy.stop()
            shutil.rmtree(known.proxy.folder, ignore_errors=True)

    async def _tend(self, pod: Object, known: _Pod) -> None:
        try:
            if deleting(pod):
                await self._end(pod, known)
            else:
                await self._start(pod, known)
        except ApiError:
            return  # the next sweep looks again
        finally:
            known.working = False

    async def _end(self, pod: Object, known: _Pod) -> None:
        if not known.ends_at:
            known.ends_at = self._now() + STOP_SECONDS * self.rng.uniform(1.0, 1.3)
            if known.proxy is not None:
                known.proxy.drain()
        if known.ends_at <= self._now():
            if known.proxy is not None:
                await known.proxy.stop()
            await self.api.delete("Pod", name_of(pod), uid=uid_of(pod), grace=0)

    async def _start(self, pod: Object, known: _Pod) -> None:
        missing = self._missing(pod)
        if not known.address and not missing:
            known.address = next(self._addresses)
            slow = 2.0 if ":slow" in main_container(pod)["image"] else 0.0
            known.ready_at = self._now() + self.rng.uniform(0.05, 0.6) + slow
        if known.address and labels_of(pod).get("app.kubernetes.io/component") == PROXY:
            await self._proxy(pod, known)
        status = self._status(pod, known, missing)
        if {name: (pod.get("status") or {}).get(name) for name in status} != status:
            self.mirror.saw(await self.api.merge("Pod", name_of(pod), {"status": status}, "status"))

    async def _proxy(self, pod: Object, known: _Pod) -> None:
        if known.proxy is None:
            image = next(c["image"] for c in pod["spec"]["initContainers"] if c["name"] == "envoy")
            known.proxy = ProxyPod(
                name_of(pod),
                uid_of(pod),
                known.address,
                image,
                self.folder / uid_of(pod),
                self.resolve,
                lambda: self.rng.uniform(0.0, 0.05),
            )
            self._mount(pod, known)
            if not image.rpartition(":")[2].startswith(BAD):
                await known.proxy.start()
        elif known.mounts_at <= self._now():
            self._mount(pod, known)

    def _mount(self, pod: Object, known: _Pod) -> None:
        """Files as a kubelet writes them: each is switched in one go."""
        assert known.proxy is not None
        known.mounts_at = self._now() + self.rng.uniform(*MOUNT_SECONDS)
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        config = self.mirror["ConfigMap"].get(volumes["configuration"]["configMap"]["name"])
        secret = self.mirror["Secret"].get(volumes["key"]["secret"]["secretName"])
        versions = tuple(obj["metadata"]["resourceVersion"] if obj else "" for obj in (config, secret))
        if versions == known.mounted:
            return
        known.mounted = (versions[0], versions[1])
        if config is not None:
            _write(known.proxy.mounted, _contents(config))
        _write(known.proxy.keys, _decoded((secret or {}).get("data") or {}), whole=True)

    def _missing(self, pod: Object) -> str:
        """What it names that isn't there, which keeps it from its start."""
        for volume in pod["spec"].get("volumes") or ():
            for kind, field_, key in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
                named = volume.get(field_) or {}
                if named and not named.get("optional") and named.get(key) not in self.mirror[kind]:
                    return f'{field_} "{named.get(key)}" not found'
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if claim:
                stored = self.mirror["PersistentVolumeClaim"].get(claim)
                if stored is None or (stored.get("status") or {}).get("phase") != "Bound":
                    return f"persistentvolumeclaim {claim} is not bound"
        for container in pod["spec"]["containers"]:
            for one in container.get("env") or ():
                named = (one.get("valueFrom") or {}).get("secretKeyRef") or {}
                if named and not named.get("optional") and named["name"] not in self.mirror["Secret"]:
                    return f'secret "{named["name"]}" not found'
        return ""

    def _status(self, pod: Object, known: _Pod, missing: str) -> Object:
        image = main_container(pod)["image"].rpartition(":")[2]
        waiting: Object = {}
        if missing:
            waiting = {"reason": "CreateContainerConfigError", "message": missing}
        elif image.startswith(MISSING):
            waiting = {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}"'}
        elif image.startswith(BAD):
            waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}
        up = not waiting and 0 < known.ready_at <= self._now() and known.down_until <= self._now()
        if known.proxy is not None:
            up = up and known.proxy.ready
        elif labels_of(pod).get("app.kubernetes.io/component") == PROXY:
            up = False
        return _pod_status(pod, known, waiting, up=up)


def _pod_status(pod: Object, known: _Pod, waiting: Object, *, up: bool) -> Object:
    truth = "True" if up else "False"
    state: Object = {"waiting": waiting} if waiting else {"running": {}}
    container = main_container(pod)
    status: Object = {
        "phase": "Running" if not waiting else "Pending",
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Initialized", "status": "True"},
            {"type": "ContainersReady", "status": truth},
            {"type": "Ready", "status": truth},
        ],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": up,
                "restartCount": known.restarts + (3 if waiting.get("reason") == "CrashLoopBackOff" else 0),
                "state": state,
            }
        ],
    }
    before = {one["type"]: one for one in (pod.get("status") or {}).get("conditions") or ()}
    for one in status["conditions"]:
        old = before.get(one["type"], {})
        if old.get("status") == one["status"]:
            one.update(old)
    return status | ({"podIP": known.address, "podIPs": [{"ip": known.address}]} if known.address else {})


def _contents(config: Object) -> Mapping[str, bytes]:
    text = {name: value.encode() for name, value in (config.get("data") or {}).items()}
    return text | _decoded(config.get("binaryData") or {})


def _decoded(data: Mapping[str, str]) -> dict[str, bytes]:
    return {name: base64.b64decode(value) for name, value in data.items()}


def _write(folder: Path, files: Mapping[str, bytes], *, whole: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    gone = [path for path in folder.iterdir() if path.name not in files] if whole or files else []
    for name, content in files.items():
        new = folder / f".{name}"
        new.write_bytes(content)
        new.replace(folder / name)
    for path in gone:
        path.unlink()
