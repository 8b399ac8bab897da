"""The record of what was provisioned for the stores of one slice. All of it can be read again from the cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from resilientslice.api.services import StoreName
from resilientslice.api.slice import DeletionPolicy, ResilientSlice
from resilientslice.planning.desired import Desired, sized
from resilientslice.planning.observed import Volume
from resilientslice.render.names import store_name
from resilientslice.render.store_settings import managed_stores
from resilientslice.stores.volume_claims import KnownVolume


@dataclass(slots=True)
class Provisioned:
    """Times are seconds since the epoch."""

    credentials: dict[str, DeletionPolicy | None] = field(default_factory=dict)
    """Stores whose Secret is known to be there, and which policy it and the volume follow; None: not both of them."""
    secrets: dict[str, str] = field(default_factory=dict)
    """Resource versions of those Secrets as they were read last."""
    secrets_due: float | None = None
    """When to look whether they are still there; None before the first time."""
    volumes: Mapping[StoreName, KnownVolume] = field(default_factory=dict)
    """Of managed stores, as they were read last."""

    def sized(self, desired: Desired) -> Desired:
        """Return `desired` with the volumes that are in force, where they can't be as the slice asks."""
        return sized(desired, {store: known.in_force for store, known in self.volumes.items()})

    def seen_volumes(self) -> dict[StoreName, Volume]:
        return {store: known.volume for store, known in self.volumes.items() if known.volume}

    def unready(self, slice_: ResilientSlice) -> set[str]:
        """Return names of StatefulSets to leave as they are: their credentials are missing, or their volume is not
        known."""
        return {
            store_name(slice_.name, store)
            for store in managed_stores(slice_)
            if store_name(slice_.name, store) not in self.credentials or store not in self.volumes
        }

    def deadlines(self) -> list[float]:
        times = (self.secrets_due, *(known.due for known in self.volumes.values()))
        return [at for at in times if at is not None]
