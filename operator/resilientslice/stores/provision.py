"""The managed stores of a slice: first their credentials, then their volumes."""

from collections.abc import Collection, Mapping

from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import KubeError
from resilientslice.planning.observed import Store, Trouble
from resilientslice.stores.credentials import Credentials
from resilientslice.stores.provisioned import Provisioned
from resilientslice.stores.volume_claims import StoreVolumes


class ManagedStores:
    def __init__(self, client: KubeClient) -> None:
        self._credentials = Credentials(client)
        self._volumes = StoreVolumes(client)

    async def ensure(
        self,
        slice_: ResilientSlice,
        known: Provisioned,
        stores: Mapping[StoreName, Store],
        now: float,
        *,
        failed: list[KubeError],
        before: Collection[Trouble] = (),
    ) -> tuple[Trouble, ...]:
        """Make what is missing and grow what is too small. `stores` as they were last seen, `failed` and `before` as in
        `Credentials.ensure`."""
        running = [name for name, store in stores.items() if store.ready]
        missing = await self._credentials.ensure(slice_, known, now, failed=failed, before=before, running=running)
        known.volumes = await self._volumes.ensure(slice_, known.volumes, stores, now, failed=failed)
        return (*missing, *(found for volume in known.volumes.values() for found in volume.troubles))
