"""Edits one slice on a real API server and sees its status come: the user's side of a reconcile."""

import asyncio
import time
from dataclasses import dataclass, field

from resilientslice.kube.kinds import RESILIENT_SLICE, Kind, Object
from resilientslice.kube.session import Session
from resilientslice.kube.watch import Reflector

MERGE = "application/merge-patch+json"


@dataclass(slots=True)
class Statuses:
    """A sink of `Reflector`: when which generation and weight was first seen in the status."""

    name: str
    seen: dict[tuple[int, int], int] = field(default_factory=dict)
    latest: Object = field(default_factory=dict)

    def told(self, obj: Object) -> None:
        if obj["metadata"]["name"] != self.name:
            return
        self.latest = obj
        status = obj.get("status") or {}
        weight = (status.get("canary") or {}).get("weight")
        if weight is not None:
            self.seen.setdefault((int(status.get("observedGeneration", 0)), int(weight)), time.monotonic_ns())

    def gone(self, obj: Object) -> None:
        """Nobody deletes it."""

    def listed(self, kind: Kind, namespace: str | None, uids: set[str], resource_version: str) -> None:
        """A list brings nothing that a watch doesn't."""

    @property
    def status(self) -> Object:
        found: Object = self.latest.get("status") or {}
        return found


class SliceEditor:
    """Edits one slice and watches its status. Run `watch` beside it."""

    def __init__(self, session: Session, namespace: str, name: str) -> None:
        self.statuses = Statuses(name)
        self.session, self.namespace, self.name = session, namespace, name

    async def watch(self) -> None:
        turn = asyncio.Semaphore(1)
        await Reflector(self.session, RESILIENT_SLICE, self.namespace, "", self.statuses, turn, lambda: None).run()

    async def patch(self, spec: Object) -> Object:
        return await self.session.request(
            "PATCH",
            RESILIENT_SLICE.path(self.namespace, self.name),
            kind=RESILIENT_SLICE,
            what=self.name,
            body={"spec": spec},
            content_type=MERGE,
        )

    def said(self) -> str:
        return f"the status is {self.statuses.status}"
