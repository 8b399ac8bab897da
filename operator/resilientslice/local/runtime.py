"""The local runtime: the same plan as the operator's, as processes on loopback.

Used in-process by `rslice run`, `rslice demo` and the tests:

    async with LocalRuntime(RunSettings(file=Path("samples/shop.yaml"), port=0)) as runtime:
        await runtime.settled(timeout=60)
        print(runtime.front_url)
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from resilientslice.agent.answers import Snapshot
from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.status import Status
from resilientslice.files import SliceFileError
from resilientslice.local.assembly import Assembly
from resilientslice.local.errors import LocalError, NotSettledError
from resilientslice.local.processes.folder import StateFolder, explained
from resilientslice.local.processes.logs import keep_log
from resilientslice.local.processes.report import Event, Journal, ReplicaInfo, StoreInfo
from resilientslice.local.saved import slice_before
from resilientslice.local.settings import RunSettings
from resilientslice.local.source import Source, read_source
from resilientslice.local.view.scene import Scene
from resilientslice.local.watch import edits

LOG_FILE = "runtime.log"


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
        self._kill: Callable[[], None] = lambda: None
        self._folder: StateFolder
        self._parts: Assembly

    async def __aenter__(self) -> Self:
        source = read_source(self.settings)
        # in a thread: it may have to wait for the guard of a runtime that was killed
        self._folder = await asyncio.to_thread(StateFolder, self.settings.state_path(source.slice_.name))
        self._stack.enter_context(keep_log(self._folder.logs / LOG_FILE))
        self._parts = Assembly(self._folder, self.journal, self._stack)
        self._kill = self._parts.kill
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
                    await self._parts.engine.passed.wait()
        except TimeoutError:
            missing = "\n  ".join(self._unsettled()) or "it came to rest just now"
            raise NotSettledError(f"not settled within {timeout:g} s:\n  {missing}") from None

    async def reload(self) -> str:
        """Read the resource and the procfile now, without waiting for the watcher. Returns "" when the edit was taken
        (also when nothing differs), else the reason it was refused; what ran continues."""
        async with self._reading:
            try:
                source = read_source(self.settings, old=self._parts.engine.source.slice_)
                with explained(self._folder.path):
                    await self._parts.datastores.start(source.slice_)
            except (SliceFileError, LocalError) as error:
                if str(error) != self.rejected:
                    self.journal.warning("EditRefused", f"what ran before continues: {error}")
                self.rejected = str(error)
                return self.rejected
            if self.rejected or self._is_new(source):
                self.journal.normal("EditTaken", f"{self.settings.file} is in force")
            self.rejected = ""
            if self._is_new(source):
                await self._parts.engine.take(self._parts.numbered(source))
            return ""

    def kill(self) -> None:
        """End every process at once, without draining: what a second Ctrl-C does. Leaving the block is quick then, also
        while it is still being entered."""
        self._kill()

    @property
    def front_url(self) -> str:
        """`http://127.0.0.1:PORT` of the front listener."""
        return f"http://{self._parts.machine.book.front.host}:{self._parts.machine.book.front.port}"

    @property
    def status(self) -> Status:
        """What the operator would write to the resource's status."""
        return self._parts.engine.status

    def replicas(self, service: str | None = None) -> list[ReplicaInfo]:
        """Every replica, in order of service, track (stable first) and index; also those that drain or crash."""
        found = [replica.info() for fleet in self._parts.engine.fleets.values() for replica in fleet.replicas]
        ordered = sorted(found, key=lambda one: (one.service, one.track != "stable", one.index))
        return [one for one in ordered if service in (None, one.service)]

    def store(self, kind: StoreName) -> StoreInfo:
        """The server of a managed store, and a URL that reaches it. KeyError when the slice has none of that kind."""
        return self._parts.datastores.info(self._parts.engine.source.slice_, kind)

    @property
    def events(self) -> list[Event]:
        """What happened, oldest first (the last 500). `runtime.journal.listeners` get each as it happens."""
        return list(self.journal.events)

    def internal_url(self, service: str) -> str:
        """`http://127.0.0.1:PORT` of a service's own listener in Envoy: what other services call. KeyError for a
        service without a port."""
        address = self._parts.engine.internal(service)
        return f"http://{address.host}:{address.port}"

    async def snapshot(self) -> Snapshot:
        """The agent's snapshot: counters and ejected hosts. AgentError when the agent doesn't answer."""
        return await self._parts.proxy.snapshot()

    def scene(self) -> Scene:
        """What the live view shows now; numbers of the traffic are at most a second old."""
        return self._parts.housekeeping.scene(self.front_url, self.rejected)

    @property
    def envoy_admin_socket(self) -> Path:
        """Unix socket of Envoy's admin interface."""
        return self._parts.proxy.admin_socket

    @property
    def access_log(self) -> Path:
        """Envoy's access log: one JSON object a line, written every half second."""
        return self._parts.proxy.access_log

    @property
    def state(self) -> Path:
        """The state folder: logs/, credentials/, status.json, …"""
        return self._folder.path

    def pids(self) -> list[int]:
        """Every process that was started and still runs: services, stores, agent, Envoy."""
        return self._parts.machine.ledger.pids()

    async def _start(self, source: Source) -> None:
        source, parts = self._check_against_before(source), self._parts
        await parts.start(source, port=self.settings.port)
        parts.background("housekeeping", lambda: parts.housekeeping.run(self.front_url))
        if self.settings.watch:
            parts.background("watching the files", self._follow_edits)
        parts.engine.wake()

    async def _follow_edits(self) -> None:
        settings = self.settings
        files = (settings.file, settings.procfile_path, settings.env_file_path)
        async for _ in edits(files, asyncio.Event()):
            await self.reload()

    def _check_against_before(self, source: Source) -> Source:
        """An earlier runtime on this folder is what this one continues from: the same rules hold as for an edit."""
        before = slice_before(self._folder)
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
        now = self._parts.engine.source
        before = now.slice_.spec, now.slice_.metadata.labels, now.procfile, now.values.env_file
        after = source.slice_.spec, source.slice_.metadata.labels, source.procfile, source.values.env_file
        return before != after

    def _unsettled(self) -> list[str]:
        stores = [f"{one.name}: {one.message}" for one in self._parts.datastores.servers if not one.ready]
        return stores + self._parts.engine.moving()
