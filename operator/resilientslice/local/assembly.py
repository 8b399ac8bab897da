"""The parts of a runtime: put together in the order in which they need each other, taken down in the opposite one."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from resilientslice.api.slice import ResilientSlice
from resilientslice.local.engine import Engine
from resilientslice.local.guard import Guard
from resilientslice.local.housekeeping import Housekeeping
from resilientslice.local.processes.background import cancelled, kept_going
from resilientslice.local.processes.environment import inherited
from resilientslice.local.processes.folder import StateFolder
from resilientslice.local.processes.ledger import Ledger, reap
from resilientslice.local.processes.machine import Machine
from resilientslice.local.processes.place import PortBook, placed
from resilientslice.local.processes.ports import Ports
from resilientslice.local.processes.report import Journal
from resilientslice.local.proxy.envoy import Proxy
from resilientslice.local.source import Source
from resilientslice.local.stores.datastores import Datastores
from resilientslice.local.workloads.probes import probing_session
from resilientslice.local.workloads.volumes import remove_contents
from resilientslice.render.revision import revision_of


class Killable(Protocol):
    def kill(self) -> None: ...


class Assembly:
    """What runs of one slice. `machine`, `datastores`, `proxy`, `engine` and `housekeeping` are there once `start` has
    returned; `kill` may be called at any time."""

    machine: Machine
    datastores: Datastores
    proxy: Proxy
    engine: Engine
    housekeeping: Housekeeping

    def __init__(self, folder: StateFolder, journal: Journal, stack: contextlib.AsyncExitStack) -> None:
        """`stack` takes everything down; what the caller has put on it by now goes last."""
        self._folder = folder
        self._journal = journal
        self._stack = stack
        self._woken = asyncio.Event()
        self._generation = 0
        self._killable: list[Killable] = []
        self._guard: Guard | None = None
        self._ledger: Ledger | None = None
        stack.push_async_callback(self._dismiss_guard)

    async def start(self, source: Source, *, port: int) -> None:
        """`port` of the front, 0 for any. Raises LocalError and OSError."""
        folder, journal, stack = self._folder, self._journal, self._stack
        left = await asyncio.to_thread(reap, folder)
        if left:
            journal.warning("CleanedUp", f"ended {len(left)} processes that a killed runtime had left")
        folder.remove_temporaries()
        remove_contents(folder.volumes)
        stack.callback(folder.remove_temporaries)
        stack.callback(remove_contents, folder.volumes)
        self._ledger, ports = Ledger(folder), Ports()
        self._guard = Guard(folder, inherited(os.environ))
        self.machine = Machine(folder, self._ledger, ports, PortBook(folder, ports, front=port), journal)
        session = await stack.enter_async_context(probing_session())
        self.datastores = Datastores(self.machine, changed=self._woken.set)
        self._killable.append(self.datastores)
        stack.push_async_callback(self.datastores.stop)
        await self.datastores.start(source.slice_)
        self.proxy = Proxy(self.machine, self._woken.set, sockets=folder.socket_folder())
        servers = self.datastores.servers
        self.engine = Engine(
            source=self.numbered(source),
            machine=self.machine,
            proxy=self.proxy,
            stores=self.datastores.ports,
            servers=servers,
            session=session,
            woken=self._woken,
        )
        self.housekeeping = Housekeeping(engine=self.engine, proxy=self.proxy, stores=servers, machine=self.machine)
        self._killable += [self.proxy, self.engine]
        self._start_proxy(source.slice_)
        for hint in source.hints:
            journal.normal("Hint", hint)
        stack.push_async_callback(self.engine.stop)
        self.background("the loop", self.engine.run)

    def background(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Have `work` done beside everything else until the slice is stopped. An error in it is said, and it starts
        again."""
        task = asyncio.ensure_future(kept_going(name, work, self._journal))
        self._stack.push_async_callback(cancelled, task)

    def numbered(self, source: Source) -> Source:
        """With the next generation, which an API server would count up, and the stores' credentials."""
        self._generation += 1
        metadata = source.slice_.metadata.model_copy(update={"generation": self._generation})
        slice_ = source.slice_.model_copy(update={"metadata": metadata})
        return replace(source, slice_=slice_).with_stored(dict(self.datastores.secrets))

    def kill(self) -> None:
        """End every process at once, without draining."""
        for part in self._killable:
            part.kill()

    def _start_proxy(self, slice_: ResilientSlice) -> None:
        book, proxy = self.machine.book, self.proxy
        listeners = book.internal(s.name for s in slice_.spec.services if s.port is not None)
        place = placed(book, listeners, {}, sockets=proxy.sockets, access_log=proxy.access_log)
        self._stack.push_async_callback(proxy.stop)
        proxy.start(place(slice_, revision_of(slice_), None))

    async def _dismiss_guard(self) -> None:
        """The last thing that happens: what could not be ended until now is the guard's to end."""
        if self._guard is None:
            return
        if self._ledger is not None and self._ledger.pids():
            self.kill()
        else:
            self._guard.dismiss()
        await self._guard.close()
