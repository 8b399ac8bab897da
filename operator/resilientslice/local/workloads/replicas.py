"""One replica of a service, and the fleet of replicas that stands for a Deployment."""

import asyncio
import os
import secrets
import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from resilientslice.local.processes.background import all_of
from resilientslice.local.processes.descent import TOKEN_VARIABLE
from resilientslice.local.processes.environment import Hosts, inherited, resolve
from resilientslice.local.processes.folder import StateFolder
from resilientslice.local.processes.ledger import Ledger
from resilientslice.local.processes.ports import LOOPBACK, Ports
from resilientslice.local.processes.process import Command, CommandError
from resilientslice.local.processes.report import Journal, ReplicaInfo, ReplicaState
from resilientslice.local.processes.supervisor import Report, Supervised
from resilientslice.local.workloads.deployments import ADMIN_VARIABLE, Workload
from resilientslice.local.workloads.probes import Asker, ProbedHealth
from resilientslice.local.workloads.replacement import Member, next_steps
from resilientslice.local.workloads.volumes import machine_paths, make_folders, replace_paths
from resilientslice.render.tracks import Address

DEFAULTS = {
    # by then Envoy has acknowledged that it no longer sends here; what its workers had just sent still comes in
    "DRAIN_SECONDS": "0.25",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every replica needs of the runtime.

    `hosts` says where the slice's names are now; `released` returns once no Envoy sends to an address any more;
    `changed` is called for each change of a replica's state.
    """

    folder: StateFolder
    ledger: Ledger
    ports: Ports
    journal: Journal
    session: aiohttp.ClientSession
    hosts: Callable[[], Hosts]
    released: Callable[[Address], Awaitable[None]]
    changed: Callable[[], None]


class Replica:
    """Runs one process of a workload, on ports that stay its own over restarts."""

    def __init__(self, workload: Workload, index: int, around: Surroundings) -> None:
        self.workload = workload
        self.index = index
        self.name = f"{workload.name}-{index}"
        self.port = around.ports.take()
        self.admin_port = around.ports.take()
        self.log = around.folder.logs / f"{self.name}.log"
        self._around = around
        self._uid = secrets.token_hex(8)
        self._temporary = around.folder.path / "tmp" / self.name
        self._own = self._temporary / "volumes"
        self._paths = machine_paths(workload.mounts, around.folder.volumes, self._own)
        self._process = Supervised(
            self.name, self._command, self, ledger=around.ledger, journal=around.journal, changed=around.changed
        )

    @property
    def address(self) -> Address:
        return Address(LOOPBACK, self.port)

    @property
    def ready(self) -> bool:
        return self._process.ready

    @property
    def draining(self) -> bool:
        return self._process.state in (ReplicaState.DRAINING, ReplicaState.STOPPED)

    def start(self) -> None:
        self._process.start()

    def drain(self) -> None:
        self._process.drain()

    async def retire(self) -> None:
        """Leave the endpoints, wait until nobody sends any more, then end."""
        self._process.drain()
        if self.workload.port is not None:
            await self._around.released(self.address)
        await self.stop()

    async def stop(self) -> None:
        await self._process.stop()
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._around.ports.give_back(self.port)
        self._around.ports.give_back(self.admin_port)

    def kill(self) -> None:
        self._process.kill()

    async def watch(self, report: Report) -> str:
        """Health of the process, by its probes."""
        workload = self.workload
        # what a command of a probe leaves behind is ended with the replica
        environment = self._environment() | {TOKEN_VARIABLE: self._process.token}
        asker = Asker(self._around.session, environment, workload.directory)
        return await ProbedHealth(workload.probes(self.port, self.admin_port, self._paths), asker).watch(report)

    def info(self) -> ReplicaInfo:
        process = self._process
        return ReplicaInfo(
            service=self.workload.service,
            track=self.workload.track,
            index=self.index,
            name=self.name,
            pid=process.pid,
            port=self.port,
            admin_port=self.admin_port,
            state=process.state,
            version=self.workload.version,
            restarts=process.restarts,
            message=process.message,
            log=self.log,
        )

    def _command(self) -> Command:
        if not self.workload.argv:
            raise CommandError(f"no command for image {self.workload.image}; add a line to the procfile")
        self._temporary.mkdir(parents=True, exist_ok=True)
        make_folders(self.workload.mounts, self._around.folder.volumes, self._own)
        return Command(
            argv=tuple(word if word == sys.executable else self._here(word) for word in self.workload.argv),
            environment=self._environment(),
            directory=self.workload.directory,
            log=self.log,
            grace=self.workload.grace,
        )

    def _environment(self) -> dict[str, str]:
        """A container's variables, over what a shell gives, under the ports of this replica."""
        pod = self.workload.pod(self.name, self._uid)
        own = {"HOST": LOOPBACK, ADMIN_VARIABLE: str(self.admin_port), "POD_NAME": self.name}
        if self.workload.port is not None:
            own["PORT"] = str(self.port)
        resolved = resolve(self.workload.variables, pod, self._around.hosts())
        declared = {name: self._here(value) for name, value in resolved.items()}
        return inherited(os.environ) | DEFAULTS | {"TMPDIR": str(self._temporary)} | declared | own

    def _here(self, text: str) -> str:
        """A word of the container, with what it mounts where that is on this machine."""
        return replace_paths(text, self._paths)


class Fleet:
    """The replicas of one workload: kept at their number, and replaced one by one when the workload changes."""

    def __init__(self, workload: Workload, around: Surroundings) -> None:
        self.workload = workload
        self.removed = False
        self.replicas: list[Replica] = []
        self._around = around
        self._retiring: set[asyncio.Task[None]] = set()

    def want(self, workload: Workload | None) -> None:
        """What it should be from now on; None to drain and end all of it."""
        self.removed = workload is None
        self.workload = workload or self.workload
        self.converge()

    def converge(self) -> None:
        """Take the next steps that are allowed now; called again on each change, so it never waits."""
        members = [
            Member(r.index, r.workload.fingerprint == self.workload.fingerprint, r.ready) for r in self._serving()
        ]
        steps = next_steps(members, self.desired)
        for replica in [r for r in self._serving() if r.index in steps.retire]:
            replica.drain()
            self._retiring.add(task := asyncio.create_task(self._retire(replica)))
            task.add_done_callback(self._retiring.discard)
        for _ in range(steps.start):
            replica = Replica(self.workload, self._free_index(), self._around)
            self.replicas.append(replica)
            replica.start()

    @property
    def desired(self) -> int:
        return 0 if self.removed else self.workload.replicas

    @property
    def current(self) -> list[Replica]:
        """Replicas of the wanted kind that don't drain."""
        return [r for r in self._serving() if r.workload.fingerprint == self.workload.fingerprint]

    @property
    def outdated(self) -> list[Replica]:
        """Replicas of an older kind that don't drain."""
        return [r for r in self._serving() if r.workload.fingerprint != self.workload.fingerprint]

    @property
    def settled(self) -> bool:
        return len(self.replicas) == len(self.current) == self.desired and all(r.ready for r in self.replicas)

    @property
    def log_files(self) -> list[Path]:
        return [replica.log for replica in self.replicas]

    async def stop(self) -> None:
        """End every replica at once, each with its grace."""
        self.removed = True
        await all_of([*(r.stop() for r in self._serving()), *self._retiring])
        self.replicas.clear()

    def kill(self) -> None:
        for replica in self.replicas:
            replica.kill()

    def _serving(self) -> list[Replica]:
        return [r for r in self.replicas if not r.draining]

    def _free_index(self) -> int:
        """The lowest that no replica has, also none that still drains: names and logs are one replica's at a time."""
        taken = {r.index for r in self.replicas}
        return next(i for i in range(len(taken) + 1) if i not in taken)

    async def _retire(self, replica: Replica) -> None:
        try:
            await replica.retire()
        finally:
            self.replicas.remove(replica)
            self._around.changed()
