"""An API server of a few lines: objects are stored as they are sent, with a UID, a version and who applied what.

As text, so that whoever is given one shares nothing with the store, nor with others.
"""

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from resilientslice.api.slice import ResilientSlice
from resilientslice.envoys.port import Epoch, KeyNews
from resilientslice.kube.cache import ProxyPod
from resilientslice.kube.kinds import Kind, Object, SliceKey
from resilientslice.planning.observed import Envoys, Proxies
from resilientslice.render.envoy import EnvoyConfig

Place = tuple[str, str, str]
"""Kind, namespace and name."""

_UNOWNED = ("name", "namespace", "uid", "resourceVersion")
_COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")


class StoreClient:
    """Of `KubeClient` what a pass asks for. Workloads are ready as soon as they are applied."""

    def __init__(self) -> None:
        self.texts: dict[Place, str] = {}
        self.writes: Counter[str] = Counter()
        self._numbers = itertools.count(100_000)

    async def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        text = self.texts.get((kind.kind, namespace, name))
        return json.loads(text) if text else None

    async def create(self, obj: Object) -> Object:
        return self._stored(obj, "Update", "resilientslice")

    async def apply(self, obj: Object, *, manager: str, force: bool = False) -> Object:
        return self._stored(obj, "Apply", manager)

    async def patch_status(
        self, kind: Kind, namespace: str, name: str, status: Mapping[str, Any], **_: object
    ) -> Object:
        self.writes["status"] += 1
        before = json.loads(self.texts[kind.kind, namespace, name])
        metadata = before["metadata"] | {"resourceVersion": str(next(self._numbers))}
        return self._put((kind.kind, namespace, name), before | {"status": status, "metadata": metadata})

    async def event(self, regarding: Mapping[str, Any], **_: object) -> Object:
        return {}

    def _stored(self, obj: Object, operation: str, manager: str) -> Object:
        self.writes[obj["kind"]] += 1
        metadata = obj["metadata"]
        place = (obj["kind"], metadata["namespace"], metadata["name"])
        number = next(self._numbers)
        before = json.loads(self.texts.get(place, "{}")).get("metadata", {})
        bare = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}
        bare["metadata"] = {key: value for key, value in metadata.items() if key not in _UNOWNED}
        known = {
            "uid": before.get("uid", f"{number:08x}-0000-4000-8000-000000000000"),
            "resourceVersion": str(number),
            "generation": 1,
            "managedFields": [{"manager": manager, "operation": operation, "fieldsV1": _fields(bare)}],
        }
        made = obj | {"metadata": metadata | known}
        if obj["kind"] in ("Deployment", "StatefulSet"):
            ready = dict.fromkeys(_COUNTS, obj["spec"].get("replicas", 1))
            made["status"] = {"observedGeneration": 1, **ready}
        return self._put(place, made)

    def _put(self, place: Place, obj: Object) -> Object:
        text = self.texts[place] = json.dumps(obj)
        found: Object = json.loads(text)
        return found


class WillingAgents:
    """One Envoy of each slice, which runs what it was handed last."""

    def __init__(self) -> None:
        self._running: dict[SliceKey, str] = {}

    async def follow(self, key: SliceKey, pods: Sequence[ProxyPod], slice_: ResilientSlice, rotation: str = "") -> None:
        """It is there whatever the pods are."""

    def seen(self, key: SliceKey, canary: Sequence[str]) -> Envoys:
        digest = self._running.get(key)
        return Envoys(Proxies(1, {"proxy": digest} if digest else {}), active=0)

    def look_again(self, key: SliceKey) -> None:
        raise AssertionError("they know all hosts")

    async def push(self, key: SliceKey, config: EnvoyConfig) -> Epoch:
        self._running[key] = config.digest
        return 1, 1

    async def tend_key(self, key: SliceKey, slice_: ResilientSlice, rotation: str, now: float) -> KeyNews:
        return KeyNews()

    def forget(self, key: SliceKey) -> None:
        del self._running[key]


def _fields(value: Any) -> Object:
    return {f"f:{key}": _fields(inner) for key, inner in value.items()} if isinstance(value, dict) else {}


@pytest.fixture
def client() -> StoreClient:
    return StoreClient()


@pytest.fixture
def agents() -> WillingAgents:
    return WillingAgents()
