"""The played cluster's own way to the API server, and a mirror of what is stored: nothing of the operator's is used, so
that a fault of its client or cache can't hide itself."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml

Object = dict[str, Any]
NAMESPACE = "chaos"

_PATHS = {
    "ResilientSlice": "/apis/resilientslice.dev/v1alpha1",
    "Pod": "/api/v1",
    "Secret": "/api/v1",
    "ConfigMap": "/api/v1",
    "Service": "/api/v1",
    "ServiceAccount": "/api/v1",
    "PersistentVolumeClaim": "/api/v1",
    "Deployment": "/apis/apps/v1",
    "ReplicaSet": "/apis/apps/v1",
    "StatefulSet": "/apis/apps/v1",
    "ControllerRevision": "/apis/apps/v1",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2",
    "PodDisruptionBudget": "/apis/policy/v1",
    "NetworkPolicy": "/apis/networking.k8s.io/v1",
    "Event": "/apis/events.k8s.io/v1",
}
_PLURALS = {"NetworkPolicy": "networkpolicies"}
MIRRORED = tuple(kind for kind in _PATHS if kind != "Event")


class ApiError(Exception):
    """An answer that is no success. `status` is HTTP's, 0 when there was no answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


def path_of(kind: str, name: str = "", subresource: str = "") -> str:
    plural = _PLURALS.get(kind, f"{kind.lower()}s")
    parts = (f"{_PATHS[kind]}/namespaces/{NAMESPACE}/{plural}", name, subresource)
    return "/".join(part for part in parts if part)


class Api:
    """One administrator's session. Use as an asynchronous context manager."""

    def __init__(self, kubeconfig: Path, manager: str) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        reached = config["clusters"][0]["cluster"]
        self.server, self.token = reached["server"], config["users"][0]["user"]["token"]
        self.authority = reached["certificate-authority"]
        self._manager = manager
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self.token}"}
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=self.authority), limit=0)
        self._http = aiohttp.ClientSession(self.server, headers=headers, connector=connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def call(self, method: str, path: str, body: Any = None, content: str = "", **query: str) -> Object:
        """ApiError for what is no success."""
        assert self._http is not None
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content or "application/json"}
        if method != "GET":
            query.setdefault("fieldManager", self._manager)
        if method == "DELETE":
            query.pop("fieldManager")
        timeout = aiohttp.ClientTimeout(total=60)
        try:
            async with self._http.request(
                method, path, data=data, params=query, headers=headers, timeout=timeout
            ) as answer:
                said = await answer.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ApiError(0, f"{method} {path}: {error!r}") from error
        if answer.status >= 300:
            raise ApiError(answer.status, f"{method} {path}: {_words(said)}")
        return json.loads(said) if said else {}

    async def get(self, kind: str, name: str) -> Object | None:
        try:
            return await self.call("GET", path_of(kind, name)) | {"kind": kind}
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(self, kind: str) -> tuple[list[Object], str]:
        answer = await self.call("GET", path_of(kind))
        return [item | {"kind": kind} for item in answer["items"]], answer["metadata"]["resourceVersion"]

    async def create(self, kind: str, obj: Object) -> Object:
        version = _PATHS[kind].partition("/api")[2].removeprefix("s/").removeprefix("/")
        return await self.call("POST", path_of(kind), {"apiVersion": version, **obj, "kind": kind}) | {"kind": kind}

    async def merge(self, kind: str, name: str, change: Object, subresource: str = "") -> Object:
        content = "application/merge-patch+json"
        return await self.call("PATCH", path_of(kind, name, subresource), change, content) | {"kind": kind}

    async def delete(self, kind: str, name: str, *, uid: str = "", grace: int | None = None, policy: str = "") -> None:
        """What is gone already is fine."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if policy:
            options["propagationPolicy"] = policy
        try:
            await self.call("DELETE", path_of(kind, name), options)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def watch(self, kind: str, version: str) -> AsyncIterator[tuple[str, Object]]:
        """Until the server ends it. ApiError also for what ends it early."""
        assert self._http is not None
        query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
        try:
            async with self._http.get(
                path_of(kind), params=query, timeout=aiohttp.ClientTimeout(total=None), read_bufsize=2**22
            ) as answer:
                if answer.status >= 300:
                    raise ApiError(answer.status, f"watch {kind}: {_words(await answer.read())}")
                async for line in answer.content:
                    event = json.loads(line)
                    yield event["type"], event["object"] | {"kind": event["object"].get("kind", kind)}
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ApiError(0, f"watch {kind}: {error!r}") from error


def _words(said: bytes) -> str:
    try:
        return str(json.loads(said).get("message", ""))
    except (ValueError, AttributeError):
        return said[:300].decode(errors="replace")


Heard = Callable[[str, Object], None]
"""Told of each event: ADDED, MODIFIED or DELETED, and the object."""


@dataclass
class Mirror:
    """What is stored, by kind and name, as far as the watches have told."""

    api: Api
    objects: dict[str, dict[str, Object]] = field(default_factory=lambda: {kind: {} for kind in MIRRORED})
    listeners: list[Heard] = field(default_factory=list)
    listed: set[str] = field(default_factory=set)
    news: int = 0
    """Grows with each change."""
    _gone: set[str] = field(default_factory=set)
    """UIDs of what was deleted: the answer to an earlier write may come after that."""

    def __getitem__(self, kind: str) -> Mapping[str, Object]:
        return self.objects[kind]

    def all(self) -> Iterator[Object]:
        for known in self.objects.values():
            yield from list(known.values())

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for kind in MIRRORED:
                group.create_task(self._follow(kind))

    def saw(self, obj: Object) -> None:
        """The answer to a write of our own."""
        if obj.get("metadata", {}).get("name"):
            self._keep("MODIFIED", obj)

    async def _follow(self, kind: str) -> None:
        while True:
            with suppress(ApiError):
                found, version = await self.api.list(kind)
                self._list(kind, found)
                while True:
                    async for event, obj in self.api.watch(kind, version):
                        if event == "ERROR":
                            raise ApiError(int(obj.get("code", 500)), str(obj.get("message")))
                        version = obj["metadata"]["resourceVersion"]
                        if event != "BOOKMARK":
                            self._keep(event, obj | {"kind": kind})
            await asyncio.sleep(0.1)

    def _list(self, kind: str, found: list[Object]) -> None:
        uids = {obj["metadata"]["uid"] for obj in found}
        for known in list(self.objects[kind].values()):
            if known["metadata"]["uid"] not in uids:
                self._keep("DELETED", known)
        for obj in found:
            self._keep("MODIFIED", obj)
        self.listed.add(kind)

    def _keep(self, event: str, obj: Object) -> None:
        known, metadata = self.objects[obj["kind"]], obj["metadata"]
        before = known.get(metadata["name"])
        if metadata["uid"] in self._gone:
            return
        if event == "DELETED":
            self._gone.add(metadata["uid"])
            if before is not None and before["metadata"]["uid"] == metadata["uid"]:
                del known[metadata["name"]]
                self._tell(event, obj)
            return
        if before is not None and int(before["metadata"]["resourceVersion"]) >= int(metadata["resourceVersion"]):
            return
        known[metadata["name"]] = obj
        self._tell(event, obj)

    def _tell(self, event: str, obj: Object) -> None:
        self.news += 1
        for listener in self.listeners:
            listener(event, obj)
