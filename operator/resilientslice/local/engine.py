"""The loop: gather → plan → apply, whenever something happened or the plan's deadline came. At rest it does nothing."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Mapping, Sequence

import aiohttp

from resilientslice.api.reasons import EventType
from resilientslice.api.status import WAITING, Status
from resilientslice.canary.state import Event as PlanEvent
from resilientslice.canary.state import Phase
from resilientslice.local.errors import LocalError
from resilientslice.local.observe import TrackKey, observe, ready_hosts
from resilientslice.local.processes.background import Pulse, all_of
from resilientslice.local.processes.environment import Hosts
from resilientslice.local.processes.folder import reason
from resilientslice.local.processes.machine import Machine
from resilientslice.local.processes.place import dns, placed
from resilientslice.local.processes.supervisor import Supervised
from resilientslice.local.proxy.envoy import Proxy
from resilientslice.local.saved import Saved
from resilientslice.local.source import Source, contents_mounted, workloads_of
from resilientslice.local.workloads.replicas import Fleet, Surroundings
from resilientslice.local.workloads.volumes import write_contents
from resilientslice.planning.desired import Desired
from resilientslice.planning.memory import Memory
from resilientslice.planning.plan import Plan, plan
from resilientslice.render.tracks import Address

_log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""After a pass that failed: a full disk, an agent that is being restarted."""
DRAIN_POLL_SECONDS = 0.2
"""While requests leave a canary: Envoy counts them and tells nobody."""
RELEASE_SECONDS = 5.0
"""How long a replica that is to end waits for Envoy's word that nothing is sent to it any more."""
MOVING = frozenset({Phase.STARTING, Phase.PROMOTING, Phase.DRAINING})


class Engine:
    """Owns the fleets. Everything else it gets, or reads from the proxy."""

    def __init__(
        self,
        *,
        source: Source,
        machine: Machine,
        proxy: Proxy,
        stores: Mapping[str, int],
        servers: Sequence[Supervised],
        session: aiohttp.ClientSession,
        woken: asyncio.Event,
    ) -> None:
        """`stores`: ports by Service name; `servers` are theirs. `woken` is set by a change of something that a
        pass must see.

        LocalError when the memory in the folder can't be read.
        """
        self.source = source
        self.fleets: dict[str, Fleet] = {}
        self.status: Status = WAITING
        self.trouble = ""
        self.passed = Pulse()
        self._folder = machine.folder
        self._book = machine.book
        self._journal = machine.journal
        self._proxy = proxy
        self._stores = stores
        self._servers = servers
        self._dns: Hosts = {}
        self._wake = woken
        self._stopping = False
        self._begun = self._done = 0
        self._deadline: float | None = None
        self._offered: Mapping[TrackKey, tuple[Address, ...]] = {}
        self._acked: Mapping[TrackKey, tuple[Address, ...]] = {}
        self._config = ""
        self._internal: dict[str, Address] = {}
        self._saved = Saved(self._folder)
        self.memory = self._saved.memory
        self._around = Surroundings(
            folder=machine.folder,
            ledger=machine.ledger,
            ports=machine.ports,
            journal=machine.journal,
            session=session,
            hosts=lambda: self._dns,
            released=self._released,
            changed=self.wake,
        )

    def wake(self) -> None:
        """Something happened: take another pass."""
        self._wake.set()

    async def run(self) -> None:
        """For ever. A pass that fails leaves everything as it is and is tried again."""
        while True:
            await self._until_woken()
            self._wake.clear()
            self._begun += 1
            try:
                await self._pass()
                self._say("")
            except OSError as error:
                self._say(f"{self._folder.path}: {reason(error)}; what runs continues")
                self._deadline = time.time() + RETRY_SECONDS
            except LocalError as error:
                self._say(str(error))
                self._deadline = time.time() + RETRY_SECONDS
            except Exception as error:
                _log.exception("a pass failed")
                self._say(f"internal error, what runs continues: {error!r}")
                self._deadline = time.time() + RETRY_SECONDS
            self._done = self._begun
            self.passed.beat()

    async def take(self, source: Source) -> None:
        """Go by another version of the resource and the procfile; returns after the first pass with it."""
        self.source = source
        needed = self._begun + 1
        self.wake()
        while self._done < needed:
            await self.passed.wait()

    def moving(self) -> list[str]:
        """What is still under way, in words; empty when the slice is at rest."""
        what = [_rollout(fleet) for fleet in self.fleets.values() if not fleet.settled]
        if self._wake.is_set() or self._begun != self._done:
            what.append("a change is being applied")
        if self.source.slice_.spec.suspend:
            return what
        if self.memory is None or self._config != self.memory.config:
            what.append(f"Envoy has not acknowledged its configuration {self._proxy.rejected}".strip())
        if self.memory and (self.memory.state.phase in MOVING or self._weight_moves(self.memory)):
            what.append(f"canary: {self.status.canary.phase} {self.status.canary.message}".strip())
        return what

    def internal(self, service: str) -> Address:
        """The listener of a service in Envoy. KeyError for a service that has none."""
        return self._internal[service]

    async def stop(self) -> None:
        """End all services at once, each with its grace; what drains waits for nobody any more."""
        self._stopping = True
        self.passed.beat()
        await all_of(fleet.stop() for fleet in self.fleets.values())

    def kill(self) -> None:
        for fleet in self.fleets.values():
            fleet.kill()

    async def _until_woken(self) -> None:
        wait = None if self._deadline is None else max(0.0, self._deadline - time.time())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):  # wait_for of Python 3.11 can swallow a cancellation
                await self._wake.wait()

    async def _pass(self) -> None:
        slice_ = self.source.slice_.model_copy(update={"status": self.status})
        self._internal = self._book.internal(self._named_services())
        memory, fleets = self.memory, self.fleets.values()
        canary = sorted(memory.state.services) if memory and memory.canary else []
        envoys = await self._proxy.observe(self._config, canary)
        observed = observe(slice_, memory, fleets, self._servers, envoys)
        hosts = ready_hosts(fleets)
        place = placed(
            self._book, self._internal, hosts, sockets=self._proxy.sockets, access_log=self._proxy.access_log
        )
        planned = plan(slice_, observed, time.time(), place=place)
        self._take_over(planned)
        if planned.desired:
            self._apply(planned.desired)
            await self._push(planned.desired, hosts)
        self._saved.save(self.source.slice_, self.memory)

    def _named_services(self) -> set[str]:
        """Every service with a port that a plan could name: of the resource and of all revisions that may run."""
        memory = self.memory
        revisions = [r for r in (memory.stable, memory.canary, *memory.leaving) if r] if memory else []
        known = [service for revision in revisions for service in revision.services.values()]
        wanted = self.source.slice_.spec.services
        return {s.name for s in wanted if s.port is not None} | {s.spec.name for s in known if s.port is not None}

    def _take_over(self, planned: Plan) -> None:
        for event in planned.events:
            self._tell(event)
        if planned.memory != self.memory:
            self.wake()
        self.memory, self.status, self._deadline = planned.memory, planned.status, planned.next_deadline
        if self.memory and self.memory.state.phase is Phase.DRAINING:
            self._look_again(DRAIN_POLL_SECONDS)

    def _tell(self, event: PlanEvent) -> None:
        (self._journal.warning if event.type is EventType.WARNING else self._journal.normal)(
            event.reason, event.message
        )

    def _apply(self, desired: Desired) -> None:
        self._dns = dns(self.source.slice_, desired.objects, self._book, self._internal, self._stores)
        wanted = workloads_of(desired, self.source)
        write_contents(contents_mounted(wanted, desired, self.source, self._dns), self._folder.volumes)
        for name, workload in wanted.items():
            if name in self.fleets:
                self.fleets[name].want(workload)
            else:
                self.fleets[name] = Fleet(workload, self._around)
                self.fleets[name].converge()
        for name in [name for name in self.fleets if name not in wanted]:
            self.fleets[name].want(None)
            if not self.fleets[name].replicas:
                del self.fleets[name]

    async def _push(self, desired: Desired, hosts: Mapping[TrackKey, tuple[Address, ...]]) -> None:
        if desired.envoy.digest == self._config or desired.envoy.digest in self._proxy.refused:
            return
        self._offered = hosts
        before = self._proxy.rejected
        if await self._proxy.push(desired.envoy):
            self._acked, self._config = hosts, desired.envoy.digest
            self.wake()
        elif self._proxy.rejected:
            if self._proxy.rejected != before:
                self._journal.warning("ConfigRejected", f"Envoy keeps its last configuration: {self._proxy.rejected}")
                self.wake()
        else:
            self._look_again(RETRY_SECONDS)

    def _look_again(self, seconds: float) -> None:
        """Within this time, if not before."""
        self._deadline = min(self._deadline or math.inf, time.time() + seconds)

    async def _released(self, address: Address) -> None:
        """Returns once Envoy has acknowledged a configuration without the address, or doesn't answer in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                while not self._stopping and any(
                    address in known for hosts in (self._offered, self._acked) for known in hosts.values()
                ):
                    await self.passed.wait()

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            self._journal.warning("Trouble", trouble)
        self.trouble = trouble

    @staticmethod
    def _weight_moves(memory: Memory) -> bool:
        state = memory.state
        return state.phase is Phase.PROGRESSING and state.live and state.weight != state.observed


def _rollout(fleet: Fleet) -> str:
    ready = sum(replica.ready for replica in fleet.current)
    words = [f"{fleet.workload.name}: {ready} of {fleet.desired} replicas ready"]
    words += [replica.info().message for replica in fleet.current if not replica.ready]
    return "; ".join(words)
