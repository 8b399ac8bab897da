"""What is looked after once a second, beside the loop: bounded logs, the status file, the numbers of the view."""

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any

from resilientslice.agent.answers import AgentError, Snapshot
from resilientslice.local.engine import Engine
from resilientslice.local.processes.folder import reason
from resilientslice.local.processes.logs import bound
from resilientslice.local.processes.machine import Machine
from resilientslice.local.processes.supervisor import Supervised
from resilientslice.local.proxy.envoy import Proxy
from resilientslice.local.proxy.traffic import AccessLog, Answers, Rates, TrackKey
from resilientslice.local.view.scene import Scene, TrackRow
from resilientslice.local.workloads.replicas import Fleet
from resilientslice.render.names import Track

STATUS_FILE = "status.json"
PERIOD_SECONDS = 1.0


class Housekeeping:
    """`stores` are the servers of the managed stores. `trouble`: what a person must know of the state folder."""

    def __init__(
        self,
        *,
        engine: Engine,
        proxy: Proxy,
        stores: Sequence[Supervised],
        machine: Machine,
    ) -> None:
        self.trouble = ""
        self._engine = engine
        self._proxy = proxy
        self._stores = stores
        self._folder = machine.folder
        self._ledger = machine.ledger
        self._journal = machine.journal
        self._access = AccessLog(proxy.access_log)
        self._rates = Rates()
        self._answers: dict[TrackKey, Answers] = {}
        self._ejected: dict[TrackKey, tuple[str, ...]] = {}
        self._written: dict[str, Any] = {}

    async def run(self, front_url: str) -> None:
        """For ever."""
        while True:
            await self._look_at_traffic()
            try:
                self._access.read()
                bound(self._log_files())
                self._write_status(front_url)
                self._ledger.retry()
                self._say(self._ledger.problem)
            except OSError as error:
                self._say(f"{self._folder.path}: {reason(error)}; what runs continues")
            await asyncio.sleep(PERIOD_SECONDS)

    def scene(self, front_url: str, rejected: str) -> Scene:
        engine, status = self._engine, self._engine.status
        ready = next((c.message for c in status.conditions if c.type == "Ready"), "")
        canary = status.canary
        rows = [self._row(fleet) for _, fleet in sorted(engine.fleets.items(), key=_by_service)]
        return Scene(
            slice=engine.source.slice_.name,
            phase=status.phase.value,
            message=ready,
            front_url=front_url,
            rows=rows,
            stores=[(store.name, store.ready) for store in self._stores],
            canary=f"canary {status.revision.canary} {canary.phase} {canary.weight}%" if status.revision.canary else "",
            rejected=rejected,
            trouble=engine.trouble or self.trouble,
            limited=self._access.limited.most_common(),
            events=self._journal.events[-20:],
            hints=self._hints(front_url),
        )

    def _row(self, fleet: Fleet) -> TrackRow:
        key = fleet.workload.service, fleet.workload.track
        infos = [replica.info() for replica in fleet.replicas]
        return TrackRow(
            service=key[0],
            track=key[1],
            ready=sum(info.ready for info in infos),
            desired=fleet.desired,
            versions=sorted({info.version for info in infos} or {fleet.workload.version}),
            weight=self._weight(fleet),
            answers=self._answers.get(key, Answers()),
            rate=self._rates.by_track.get(key, 0.0),
            ejected=self._ejected.get(key, ()),
            restarts=sum(info.restarts for info in infos),
            problem=next((info.message for info in infos if not info.ready and info.message), ""),
        )

    def _weight(self, fleet: Fleet) -> int | None:
        """The share of the requests that this track draws; None for what nobody calls, or where there is no canary."""
        memory = self._engine.memory
        service, track = fleet.workload.service, fleet.workload.track
        if memory is None or memory.canary is None or fleet.workload.port is None:
            return None
        if service not in memory.state.services:
            return None
        weight = memory.state.traffic.weight
        return weight if track is Track.CANARY else 100 - weight

    async def _look_at_traffic(self) -> None:
        try:
            snapshot = await self._proxy.snapshot()
        except AgentError:
            return  # it starts or is restarted, which its own line says
        self._answers = answers_of(snapshot)
        self._rates.update(self._answers, time.monotonic())
        ejected = ejected_of(snapshot)
        if ejected != self._ejected:
            self._ejected = ejected
            self._engine.wake()

    def _log_files(self) -> list[Any]:
        fleets = [log for fleet in self._engine.fleets.values() for log in fleet.log_files]
        return [*fleets, *self._proxy.log_files, *(self._folder.logs / f"{store.name}.log" for store in self._stores)]

    def _write_status(self, front_url: str) -> None:
        engine = self._engine
        status = {
            "pid": os.getpid(),
            "slice": engine.source.slice_.name,
            "frontUrl": front_url,
            "status": engine.status.model_dump(mode="json", by_alias=True, exclude_none=True),
            "replicas": [
                {
                    "name": info.name,
                    "pid": info.pid,
                    "port": info.port,
                    "adminPort": info.admin_port,
                    "state": info.state.value,
                    "version": info.version,
                    "restarts": info.restarts,
                    "message": info.message,
                }
                for fleet in engine.fleets.values()
                for info in (replica.info() for replica in fleet.replicas)
            ],
        }
        if status != self._written:
            self._folder.write_json(STATUS_FILE, status)
            self._written = status

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            self._journal.warning("Trouble", trouble)
        self.trouble = trouble

    def _hints(self, front_url: str) -> list[str]:
        exposed = [s for s in self._engine.source.slice_.spec.services if s.expose]
        call = [f"curl -i {front_url}{s.expose.path_prefix}" for s in exposed[:1] if s.expose]
        return [*call, f"logs: {self._folder.logs}", "edit the file to change the slice; Ctrl-C stops it"]


def answers_of(snapshot: Snapshot) -> dict[TrackKey, Answers]:
    """The agent's counters of the clusters `SERVICE-TRACK`. A canary's are those of its hosts, of now: what comes to it
    by its weight goes through an aggregate, and its cluster's own counters miss that."""
    found: dict[TrackKey, Answers] = {}
    for cluster, counters in snapshot.clusters.items():
        service, _, track = cluster.rpartition("-")
        if track == Track.CANARY:
            found[service, Track.CANARY] = Answers(
                ok=counters.get("hosts_rq_success", 0), server_error=counters.get("hosts_rq_error", 0)
            )
        elif track == Track.STABLE:
            found[service, Track.STABLE] = Answers(
                ok=counters.get("upstream_rq_2xx", 0),
                client_error=counters.get("upstream_rq_4xx", 0),
                server_error=counters.get("upstream_rq_5xx", 0),
            )
    return found


def ejected_of(snapshot: Snapshot) -> dict[TrackKey, tuple[str, ...]]:
    found: dict[TrackKey, tuple[str, ...]] = {}
    for ejection in snapshot.ejected:
        service, _, track = ejection.cluster.rpartition("-")
        if track in set(Track):
            key = service, Track(track)
            found[key] = (*found.get(key, ()), ejection.host)
    return found


def _by_service(item: tuple[str, Fleet]) -> tuple[str, bool]:
    workload = item[1].workload
    return workload.service, workload.track is not Track.STABLE
