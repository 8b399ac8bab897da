"""The local runtime: the same plan as the operator's, as processes on loopback.

Used in-process by `rslice run`, `rslice demo` and the tests:

    async with LocalRuntime(RunSettings(file=Path("samples/shop.yaml"), port=0)) as runtime:
        await runtime.settled(timeout=60)
        print(runtime.front_url)
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from resilientslice.agent.answers import Snapshot
from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.status import Status
from resilientslice.files import SliceFileError
from resilientslice.local.engine import SLICE_FILE, Engine
from resilientslice.local.errors import LocalError, NotSettledError
from resilientslice.local.guard import Guard
from resilientslice.local.housekeeping import Housekeeping
from resilientslice.local.processes.background import cancelled, kept_going
from resilientslice.local.processes.environment import inherited, replace_hosts
from resilientslice.local.processes.folder import StateFolder, explained
from resilientslice.local.processes.ledger import Ledger, reap
from resilientslice.local.processes.logs import keep_log
from resilientslice.local.processes.place import PortBook, placed
from resilientslice.local.processes.ports import LOOPBACK, Ports
from resilientslice.local.processes.report import Event, Journal, ReplicaInfo, StoreInfo
from resilientslice.local.proxy.envoy import Proxy
from resilientslice.local.settings import RunSettings
from resilientslice.local.source import Source, read_source
from resilientslice.local.stores.datastores import Datastores
from resilientslice.local.view.scene import Scene
from resilientslice.local.watch import edits
from resilientslice.local.workloads.probes import probing_session
from resilientslice.local.workloads.volumes import remove_contents
from resilientslice.render.names import store_name
from resilientslice.render.revision import revision_of
from resilientslice.render.stores import STORE_PORTS
from resilientslice.render.tracks import Address

LOG_FILE = "runtime.log"


class Killable(Protocol):
    def kill(self) -> None: ...


class LocalRuntime:
    """A slice that runs on this machine for as long as the `async with` block lasts.

    Entering raises LocalError or SliceFileError when it can't start (port in use, another runtime on the folder, a
    resource that is wrong …); it returns once the stores and the proxy run, before the services are ready.
    Leaving drains and stops everything: services, then Envoy, then the stores.
    """

    def __init__(self, settings: RunSettings) -> None:
        self.settings = settings
        self.rejected = ""
        """Why the last edit of the files was refused; empty while they are in force."""
        self.entered = False
        self.journal = Journal()
        self._stack = contextlib.AsyncExitStack()
        self._reading = asyncio.Lock()
        self._woken = asyncio.Event()
        self._generation = 0
        self._killable: list[Killable] = []
        self._guard: Guard | None = None
        self._engine: Engine
        self._datastores: Datastores
        self._proxy: Proxy
        self._folder: StateFolder
        self._ledger: Ledger
        self._book: PortBook
        self._housekeeping: Housekeeping

    async def __aenter__(self) -> Self:
        source = read_source(self.settings)
        # in a thread: it may have to wait for the guard of a runtime that was killed
        self._folder = await asyncio.to_thread(StateFolder, self.settings.state_path(source.slice_.name))
        self._stack.enter_context(keep_log(self._folder.logs / LOG_FILE))
        self._stack.push_async_callback(self._dismiss_guard)
        self._stack.callback(self._folder.close)
        try:
            with explained(self._folder.path):
                await self._start(source)
        except BaseException:
            await self._stack.__aexit__(*sys.exc_info())
            raise
        self.entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def settled(self, timeout: float = 60) -> None:  # noqa: ASYNC109 - a limit with a message of its own
        """Return when the last edit is in force: every wanted replica ready, no rollout or promotion under way, and
        Envoy has acknowledged the configuration. NotSettledError after `timeout` seconds, saying what is missing.

        A canary that rests at its pinned weight is settled. Call `reload()` first when the file was just edited.
        """
        try:
            async with asyncio.timeout(timeout):
                while self._unsettled():
                    await self._engine.passed.wait()
        except TimeoutError:
            missing = "\n  ".join(self._unsettled()) or "it came to rest just now"
            raise NotSettledError(f"not settled within {timeout:g} s:\n  {missing}") from None

    async def reload(self) -> str:
        """Read the resource and the procfile now, without waiting for the watcher. Returns "" when the edit was taken
        (also when nothing differs), else the reason it was refused; what ran continues."""
        async with self._reading:
            try:
                source = read_source(self.settings, old=self._engine.source.slice_)
                with explained(self._folder.path):
                    await self._datastores.start(source.slice_)
            except (SliceFileError, LocalError) as error:
                if str(error) != self.rejected:
                    self.journal.warning("EditRefused", f"what ran before continues: {error}")
                self.rejected = str(error)
                return self.rejected
            if self.rejected or self._is_new(source):
                self.journal.normal("EditTaken", f"{self.settings.file} is in force")
            self.rejected = ""
            if self._is_new(source):
                await self._engine.take(self._numbered(source))
            return ""

    def kill(self) -> None:
        """End every process at once, without draining: what a second Ctrl-C does. Leaving the block is quick then, also
        while it is still being entered."""
        for part in self._killable:
            part.kill()

    @property
    def front_url(self) -> str:
        """`http://127.0.0.1:PORT` of the front listener."""
        return f"http://{self._book.front.host}:{self._book.front.port}"

    @property
    def status(self) -> Status:
        """What the operator would write to the resource's status."""
        return self._engine.status

    def replicas(self, service: str | None = None) -> list[ReplicaInfo]:
        """Every replica, in order of service, track (stable first) and index; also those that drain or crash."""
        found = [replica.info() for fleet in self._engine.fleets.values() for replica in fleet.replicas]
        ordered = sorted(found, key=lambda one: (one.service, one.track != "stable", one.index))
        return [one for one in ordered if service in (None, one.service)]

    def store(self, kind: StoreName) -> StoreInfo:
        """The server of a managed store, and a URL that reaches it. KeyError when the slice has none of that kind."""
        name = store_name(self._engine.source.slice_.name, kind)
        server = {one.name: one for one in self._datastores.servers}[name]
        url = self._datastores.secrets[name, "url"]
        hosts = {(name, STORE_PORTS[kind]): Address(LOOPBACK, self._datastores.ports[name])}
        here = replace_hosts(url, hosts, self._engine.source.slice_.namespace)
        return StoreInfo(name, server.pid, server.ready, server.message, here)

    @property
    def events(self) -> list[Event]:
        """What happened, oldest first (the last 500). `runtime.journal.listeners` get each as it happens."""
        return list(self.journal.events)

    def internal_url(self, service: str) -> str:
        """`http://127.0.0.1:PORT` of a service's own listener in Envoy: what other services call. KeyError for a
        service without a port."""
        address = self._engine.internal(service)
        return f"http://{address.host}:{address.port}"

    async def snapshot(self) -> Snapshot:
        """The agent's snapshot: counters and ejected hosts. AgentError when the agent doesn't answer."""
        return await self._proxy.snapshot()

    def scene(self) -> Scene:
        """What the live view shows now; numbers of the traffic are at most a second old."""
        return self._housekeeping.scene(self.front_url, self.rejected)

    @property
    def envoy_admin_socket(self) -> Path:
        """Unix socket of Envoy's admin interface."""
        return self._proxy.admin_socket

    @property
    def access_log(self) -> Path:
        """Envoy's access log: one JSON object a line, written every half second."""
        return self._proxy.access_log

    @property
    def state(self) -> Path:
        """The state folder: logs/, credentials/, status.json, …"""
        return self._folder.path

    def pids(self) -> list[int]:
        """Every process that was started and still runs: services, stores, agent, Envoy."""
        return self._ledger.pids()

    async def _start(self, source: Source) -> None:
        """Everything started here is taken down in the opposite order by the stack."""
        folder, journal = self._folder, self.journal
        source = self._check_against_before(source)
        left = await asyncio.to_thread(reap, folder)
        if left:
            journal.warning("CleanedUp", f"ended {len(left)} processes that a killed runtime had left")
        folder.remove_temporaries()
        remove_contents(folder.volumes)
        self._stack.callback(folder.remove_temporaries)
        self._stack.callback(remove_contents, folder.volumes)
        self._ledger, ports = Ledger(folder), Ports()
        self._guard = Guard(folder, inherited(os.environ))
        self._book = PortBook(folder, ports, front=self.settings.port)
        session = await self._stack.enter_async_context(probing_session())
        self._datastores = Datastores(folder, self._ledger, journal, self._book, changed=self._woken.set)
        self._killable.append(self._datastores)
        self._stack.push_async_callback(self._datastores.stop)
        await self._datastores.start(source.slice_)
        self._proxy = Proxy(folder, self._ledger, journal, self._woken.set, sockets=folder.socket_folder())
        self._engine = Engine(
            source=self._numbered(source),
            folder=folder,
            ledger=self._ledger,
            ports=ports,
            book=self._book,
            proxy=self._proxy,
            stores=self._datastores.ports,
            servers=self._datastores.servers,
            journal=journal,
            session=session,
            woken=self._woken,
        )
        self._housekeeping = Housekeeping(
            engine=self._engine,
            proxy=self._proxy,
            stores=self._datastores.servers,
            folder=folder,
            ledger=self._ledger,
            journal=journal,
        )
        self._killable += [self._proxy, self._engine]
        await self._start_proxy(source.slice_)
        for hint in source.hints:
            journal.normal("Hint", hint)
        self._stack.push_async_callback(self._engine.stop)
        self._background("the loop", self._engine.run)
        self._background("housekeeping", lambda: self._housekeeping.run(self.front_url))
        if self.settings.watch:
            self._background("watching the files", self._follow_edits)
        self._engine.wake()

    async def _start_proxy(self, slice_: ResilientSlice) -> None:
        place = placed(
            self._book,
            self._book.internal(s.name for s in slice_.spec.services if s.port is not None),
            {},
            sockets=self._proxy.sockets,
            access_log=self._proxy.access_log,
        )
        self._stack.push_async_callback(self._proxy.stop)
        self._proxy.start(place(slice_, revision_of(slice_), None))

    def _background(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self._stack.push_async_callback(cancelled, asyncio.ensure_future(kept_going(name, work, self.journal)))

    async def _dismiss_guard(self) -> None:
        """The last thing that happens: what could not be ended until now is the guard's to end."""
        if self._guard is not None:
            if self._ledger.pids():
                self.kill()
            else:
                self._guard.dismiss()
            await self._guard.close()

    async def _follow_edits(self) -> None:
        settings = self.settings
        files = (settings.file, settings.procfile_path, settings.env_file_path)
        async for _ in edits(files, asyncio.Event()):
            await self.reload()

    def _check_against_before(self, source: Source) -> Source:
        """An earlier runtime on this folder is what this one continues from: the same rules hold as for an edit."""
        before = self._folder.read_as(SLICE_FILE, lambda data: ResilientSlice.model_validate(data, strict=False))
        if before is None:
            return source
        self._check_name(source.slice_, before.name)
        return read_source(self.settings, old=before)

    def _check_name(self, slice_: ResilientSlice, before: str) -> None:
        if slice_.name != before:
            raise LocalError(
                f"{self.settings.file}: metadata.name is {slice_.name}, but {self._folder.path} holds the slice"
                f" {before}; change it back, or run the other one with its own --state"
            )

    def _is_new(self, source: Source) -> bool:
        now = self._engine.source
        before = now.slice_.spec, now.slice_.metadata.labels, now.procfile, now.values.env_file
        after = source.slice_.spec, source.slice_.metadata.labels, source.procfile, source.values.env_file
        return before != after

    def _numbered(self, source: Source) -> Source:
        """With a generation, which an API server would count up."""
        self._generation += 1
        metadata = source.slice_.metadata.model_copy(update={"generation": self._generation})
        slice_ = source.slice_.model_copy(update={"metadata": metadata})
        return replace(source, slice_=slice_).with_stored(dict(self._datastores.secrets))

    def _unsettled(self) -> list[str]:
        stores = [f"{one.name}: {one.message}" for one in self._datastores.servers if not one.ready]
        return stores + self._engine.moving()
