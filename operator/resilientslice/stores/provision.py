"""The managed stores of a slice: first their credentials, then their volumes."""

from collections.abc import Mapping

from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.controller.held import Held
from resilientslice.kube.client import KubeClient
from resilientslice.planning.observed import Store, Trouble
from resilientslice.render.names import store_name
from resilientslice.render.stores import managed_stores
from resilientslice.stores.credentials import Credentials
from resilientslice.stores.volume_claims import StoreVolumes


class ManagedStores:
    def __init__(self, client: KubeClient) -> None:
        self._credentials = Credentials(client)
        self._volumes = StoreVolumes(client)

    async def ensure(
        self, slice_: ResilientSlice, held: Held, stores: Mapping[StoreName, Store], now: float
    ) -> tuple[Trouble, ...]:
        """Makes what is missing and grows what is too small. `stores` as they were last seen. What may pass by itself
        ends up in `held.failed`."""
        running = [name for name, store in stores.items() if store.ready]
        missing = await self._credentials.ensure(slice_, held, now, running=running)
        held.volumes = await self._volumes.ensure(slice_, held.volumes, stores, now, failed=held.failed)
        return (*missing, *(found for known in held.volumes.values() for found in known.troubles))


def stores_to_wait(slice_: ResilientSlice, held: Held) -> set[str]:
    """Names of StatefulSets that are left as they are: without credentials, or nobody knows of their volume."""
    return {
        store_name(slice_.name, store)
        for store in managed_stores(slice_)
        if store_name(slice_.name, store) not in held.credentials or store not in held.volumes
    }
