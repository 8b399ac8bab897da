"""The managed stores that run: started in time for the services, stopped after them."""

from collections.abc import Callable

from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.local.processes.background import all_of
from resilientslice.local.processes.environment import replace_hosts
from resilientslice.local.processes.machine import Machine
from resilientslice.local.processes.ports import LOOPBACK
from resilientslice.local.processes.report import StoreInfo
from resilientslice.local.processes.supervisor import Supervised
from resilientslice.local.stores.managed import PingHealth, Store, redis_store, store_credentials
from resilientslice.local.stores.postgres import postgres_store
from resilientslice.render.names import store_name
from resilientslice.render.store_settings import STORE_PORTS, managed_stores
from resilientslice.render.tracks import Address


class Datastores:
    """`ports` by Service name, `secrets` by Secret and key, `servers` in the order in which they were started."""

    def __init__(self, machine: Machine, *, changed: Callable[[], None]) -> None:
        self.ports: dict[str, int] = {}
        self.secrets: dict[tuple[str, str], str] = {}
        self.servers: list[Supervised] = []
        self._stores: list[Store] = []
        self._machine = machine
        self._changed = changed

    async def start(self, slice_: ResilientSlice) -> None:
        """Start what doesn't run yet. What is no longer wanted runs on: it holds data. Returns before they are ready.

        LocalError when a store can't be prepared, OSError when the state folder can't be written.
        """
        for kind in managed_stores(slice_):
            if store_name(slice_.name, kind) not in self.ports:
                await self._start(slice_, kind)

    async def stop(self) -> None:
        try:
            await all_of(server.stop() for server in self.servers)
        finally:
            for store in self._stores:
                store.close()

    def info(self, slice_: ResilientSlice, kind: StoreName) -> StoreInfo:
        """KeyError when no store of that kind runs."""
        name = store_name(slice_.name, kind)
        server = {one.name: one for one in self.servers}[name]
        hosts = {(name, STORE_PORTS[kind]): Address(LOOPBACK, self.ports[name])}
        url = replace_hosts(self.secrets[name, "url"], hosts, slice_.namespace)
        return StoreInfo(name, server.pid, server.ready, server.message, url)

    def kill(self) -> None:
        for server in self.servers:
            server.kill()

    async def _start(self, slice_: ResilientSlice, kind: StoreName) -> None:
        machine, name = self._machine, store_name(slice_.name, kind)
        port, credentials = machine.book.store(kind.value), store_credentials(machine.folder, slice_, kind, name)
        make: Callable[..., Store] = postgres_store if kind is StoreName.POSTGRES else redis_store
        store = make(machine.folder, name, port, credentials)
        self._stores.append(store)
        await store.prepare(machine.ledger)
        server = Supervised(
            name,
            store.command,
            PingHealth(store.ping),
            ledger=machine.ledger,
            journal=machine.journal,
            changed=self._changed,
        )
        self.servers.append(server)
        self.ports[name] = port
        self.secrets |= {(name, key): value for key, value in credentials.secret.items()}
        server.start()
