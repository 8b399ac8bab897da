"""The sample slice on stage: a copy of its files, the runtime that serves it, and the levers that claims pull.

The sample itself is never edited. Every wait is for a condition, bounded, and says what it waited for when it gives up.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families

from resilientslice.api.services import StoreName
from resilientslice.demo.load import Client
from resilientslice.local.processes.report import ReplicaInfo, StoreInfo
from resilientslice.local.runtime import LocalRuntime
from resilientslice.render.names import Track

POLL = 0.05
"""Seconds between two looks at a condition."""

Spec = dict[str, Any]


class ClaimError(Exception):
    """A claim could not be measured. The message says what did not happen."""


async def until(condition: Callable[[], Awaitable[bool]], *, within: float, what: str) -> float:
    """Wait for `condition` and return the seconds it took; ClaimError after `within` seconds."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    while not await condition():
        if loop.time() - started > within:
            raise ClaimError(f"{what} did not happen within {within:g} s")
        await asyncio.sleep(POLL)
    return loop.time() - started


@dataclass(slots=True)
class Stage:
    runtime: LocalRuntime
    client: Client
    file: Path
    document: Spec
    orders: list[str] = field(default_factory=list)

    @property
    def status(self) -> Any:
        return self.runtime.status

    async def edit(self, change: Callable[[Spec], None]) -> str:
        """Edit the slice's file as a user would and have it read; returns the reason if it was refused."""
        document = copy.deepcopy(self.document)
        change(document["spec"])
        self.file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        reason = await self.runtime.reload()
        if not reason:
            self.document = document
        return reason

    async def change(self, change: Callable[[Spec], None]) -> None:
        """As `edit`, for an edit that must be taken; ClaimError if it is refused."""
        reason = await self.edit(change)
        if reason:
            raise ClaimError(f"the edit was refused: {reason}")

    async def restore(self) -> str:
        """Write the last accepted file back."""

        def nothing(spec: Spec) -> None:
            del spec

        return await self.edit(nothing)

    async def settled(self, within: float = 60) -> None:
        await self.runtime.settled(timeout=within)

    def replicas(self, service: str, track: Track = Track.STABLE) -> list[ReplicaInfo]:
        return [replica for replica in self.runtime.replicas(service) if replica.track is track]

    async def fault(self, replicas: Iterable[ReplicaInfo], kind: str, **parameters: Any) -> None:
        """Switch a fault on (`fail`, `slow`, `refuse`) by each replica's own admin port."""
        for replica in replicas:
            await self._admin("PUT", replica, f"/faults/{kind}", parameters)

    async def heal(self, replicas: Iterable[ReplicaInfo]) -> None:
        for replica in replicas:
            await self._admin("DELETE", replica, "/faults", None)

    async def _admin(self, method: str, replica: ReplicaInfo, path: str, body: Any) -> str:
        url = f"http://127.0.0.1:{replica.admin_port}{path}"
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
            session.request(method, url, json=body) as response,
        ):
            text = await response.text()
            if response.status >= 300:
                raise ClaimError(f"{method} {path} at {replica.name} answered {response.status}: {text}")
            return text

    def store(self, kind: StoreName) -> StoreInfo:
        return self.runtime.store(kind)

    def pid(self, kind: StoreName) -> int:
        pid = self.store(kind).pid
        if pid is None:
            raise ClaimError(f"{kind} is not running")
        return pid

    async def restarted(self, kind: StoreName, before: int, *, within: float) -> float:
        """Wait until another process than `before` serves as the store; the seconds it took."""

        async def back() -> bool:
            store = self.store(kind)
            return store.ready and store.pid not in (None, before)

        return await until(back, within=within, what=f"restart of {kind}")

    async def metric(self, replica: ReplicaInfo, name: str, **labels: str) -> float:
        """One number that a replica exports about itself, summed up over what `labels` leave open."""
        text = await self._admin("GET", replica, "/metrics", None)
        samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
        return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())

    async def ejected(self, replica: ReplicaInfo) -> bool:
        """Does Envoy hold this very replica ejected?"""
        snapshot = await self.runtime.snapshot()
        return any(ejection.host.endswith(f":{replica.port}") for ejection in snapshot.ejected)

    async def returned(self, replica: ReplicaInfo, *, within: float) -> float:
        """Wait until no Envoy holds the replica ejected; the seconds it took."""

        async def back() -> bool:
            return not await self.ejected(replica)

        return await until(back, within=within, what=f"return of {replica.name}")

    async def counter(self, cluster: str, name: str) -> int:
        """One counter of one Envoy cluster since Envoy started, such as (`payments-canary`, `upstream_rq_5xx`)."""
        snapshot = await self.runtime.snapshot()
        return int(snapshot.clusters.get(cluster, {}).get(name, 0))


@asynccontextmanager
async def on_stage(runtime: LocalRuntime, file: Path, document: Spec) -> AsyncIterator[Stage]:
    """A stage on a runtime that was entered already; `document` is what `file` holds."""
    async with Client(runtime.front_url) as client:
        yield Stage(runtime=runtime, client=client, file=file, document=document)
