"""Reads and writes objects at the Kubernetes API as plain JSON. Decides nothing and retries nothing: callers do.

Everything has a time-out. Each write asks `guard` when all that is left is to send it, so that a process that was
frozen while it led writes nothing when it wakes up.
"""

import datetime
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from resilientslice.kube.errors import ConflictError, InvalidError, KubeError, NotFoundError
from resilientslice.kube.events import EventType, event_object
from resilientslice.kube.kinds import Kind, Object, described, kind_of
from resilientslice.kube.session import Guard, Session, unguarded

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
CHUNK = 100
"""Objects of one page of a list. Parsed they take some 50 KB each, and memory once taken is seldom given back."""

_VERSION = Kind("", "", "Version", "version", namespaced=False)


class KubeClient:
    """Raises KubeError's kinds (kube/errors.py), each saying which object."""

    def __init__(self, session: Session, *, guard: Guard = unguarded) -> None:
        self._session = session
        self._guard = guard

    async def version(self) -> tuple[int, int]:
        """Of the API server: (1, 30)."""
        said = await self._session.request("GET", "/version", kind=_VERSION, what="the version of the API server")
        major, minor = (re.match(r"\d+", str(said.get(part, ""))) for part in ("major", "minor"))
        if major is None or minor is None:  # minor is `30+` on some clouds
            raise KubeError("the version of the API server", message=f"not understood: {said}")
        return int(major.group()), int(minor.group())

    async def serves(self, kind: Kind) -> bool:
        """Whether the API server has the kind. Any authenticated client may ask."""
        what = f"the kinds of {kind.api_version}"
        try:
            said = await self._session.request("GET", kind.root, kind=kind, verb="discover", what=what)
        except NotFoundError:
            return False
        return any(found.get("name") == kind.plural for found in said.get("resources") or ())

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object:
        return await self._session.request(
            "GET", kind.path(namespace, name), kind=kind, what=_what(kind, namespace, name)
        )

    async def find(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """None when it isn't there."""
        try:
            return await self.get(kind, namespace, name)
        except NotFoundError:
            return None

    async def find_metadata(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """The same without anything but its metadata: what is in a Secret stays where it is."""
        what = _what(kind, namespace, name)
        try:
            return await self._session.request("GET", kind.path(namespace, name), kind=kind, what=what, accept=METADATA)
        except NotFoundError:
            return None

    async def list_all(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = CHUNK,
    ) -> list[Object]:
        """All of them, each with apiVersion and kind. `namespace` None: of all namespaces."""
        pages = self.pages(kind, namespace, label_selector=label_selector, field_selector=field_selector, limit=limit)
        return [obj async for page, _ in pages for obj in page]

    async def pages(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = CHUNK,
    ) -> AsyncIterator[tuple[list[Object], str]]:
        """Pages of at most `limit` objects, each with the resource version that a watch may continue from.

        Raises ExpiredError when the pages took so long that the API server forgot where they began (minutes).
        """
        follow = ""
        while True:
            selected = _given(labelSelector=label_selector, fieldSelector=field_selector, continue_=follow)
            query = {"limit": str(limit), **selected}
            answer = await self._session.request(
                "GET", kind.path(namespace), kind=kind, verb="list", what=_what(kind, namespace), query=query
            )
            items = answer.get("items") or []
            for item in items:
                item["apiVersion"], item["kind"] = kind.api_version, kind.kind
            yield items, str(answer["metadata"]["resourceVersion"])
            follow = answer["metadata"].get("continue") or ""
            if not follow:
                return

    async def apply(self, obj: Object, *, manager: str, force: bool = False) -> Object:
        """Server-side apply; returns the object as stored. The fields given become `manager`'s, those it gave before
        and doesn't now go. With a `uid` in the metadata only that very object is changed, and none is made.

        Raises ConflictError with `conflicts` when fields belong to others and not `force`.
        """
        kind = kind_of(obj)
        metadata = obj["metadata"]
        return await self._session.request(
            "PATCH",
            kind.path(metadata.get("namespace"), metadata["name"]),
            kind=kind,
            verb="apply",
            what=described(obj),
            query={"fieldManager": manager, "force": "true" if force else "false"},
            body=obj,
            content_type=APPLY,
            guard=self._guard,
        )

    async def create(self, obj: Object, *, manager: str = "") -> Object:
        """Raises AlreadyExistsError. Without `manager` the fields are the program's."""
        kind = kind_of(obj)
        return await self._session.request(
            "POST",
            kind.path(obj["metadata"].get("namespace")),
            kind=kind,
            verb="create",
            what=described(obj),
            query=_given(fieldManager=manager),
            body=obj,
            guard=self._guard,
        )

    async def replace(self, obj: Object) -> Object:
        """The whole object, as of the resource version in it. Raises ConflictError when it changed since."""
        kind = kind_of(obj)
        metadata = obj["metadata"]
        path = kind.path(metadata.get("namespace"), metadata["name"])
        return await self._session.request(
            "PUT", path, kind=kind, verb="update", what=described(obj), body=obj, guard=self._guard
        )

    async def merge(
        self, kind: Kind, namespace: str | None, name: str, change: Mapping[str, Any], *, manager: str
    ) -> Object:
        """Change the fields given and remove those that are None, whatever set them; returns the object as stored.

        With a resource version in its metadata raises ConflictError when the object has changed since.
        """
        return await self._session.request(
            "PATCH",
            kind.path(namespace, name),
            kind=kind,
            what=_what(kind, namespace, name),
            query={"fieldManager": manager},
            body=change,
            content_type=MERGE_PATCH,
            guard=self._guard,
        )

    async def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        propagation: str = "Background",
    ) -> bool:
        """False when it was gone already. With `uid` only that very object: ConflictError if another has the name."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            await self._session.request(
                "DELETE",
                kind.path(namespace, name),
                kind=kind,
                what=_what(kind, namespace, name),
                body=options,
                guard=self._guard,
            )
        except NotFoundError:
            return False
        return True

    async def patch_status(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        status: Mapping[str, Any],
        *,
        manager: str,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> Object:
        """Put `status` in place of the whole status; returns the object as stored.

        With `uid` or `resource_version` raises ConflictError when the object is another one, or has changed since.
        """
        operations: list[Object] = [{"op": "add", "path": "/status", "value": status}]
        if uid is not None:
            operations.insert(0, {"op": "test", "path": "/metadata/uid", "value": uid})
        if resource_version is not None:
            operations.append({"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version})
        what = _what(kind, namespace, name)
        try:
            return await self._session.request(
                "PATCH",
                kind.path(namespace, name, "status"),
                kind=kind,
                verb="patch_status",
                what=what,
                query={"fieldManager": manager},
                body=operations,
                content_type=JSON_PATCH,
                guard=self._guard,
            )
        except InvalidError as error:
            # the API server doesn't say which operation failed
            if uid is None or (await self.get(kind, namespace, name))["metadata"]["uid"] == uid:
                raise
            raise ConflictError(what, status=409, message=f"its UID is not {uid} any more") from error

    async def event(
        self,
        regarding: Mapping[str, Any],
        *,
        reason: str,
        note: str,
        action: str,
        type_: EventType = "Normal",
        controller: str,
        instance: str,
        at: datetime.datetime | None = None,
    ) -> Object:
        """One `events.k8s.io` Event about an object. `at`: when it happened; else now."""
        happened = at or datetime.datetime.now(datetime.UTC)
        return await self.create(
            event_object(
                regarding,
                reason=reason,
                note=note,
                action=action,
                type_=type_,
                controller=controller,
                instance=instance,
                at=happened,
            )
        )


def _what(kind: Kind, namespace: str | None, name: str = "") -> str:
    place = f"{namespace}/" if namespace else ""
    return f"{kind} {place}{name}" if place or name else f"all {kind.plural}"


def _given(**parameters: str) -> dict[str, str]:
    """Without the empty ones."""
    return {name.removesuffix("_"): value for name, value in parameters.items() if value}
