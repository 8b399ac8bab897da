"""The volumes of managed stores: read when there is something to learn, and grown when the slice asks for more.

A claim is only ever asked for by its name. Its StatefulSet is rendered with the size that is in force, which is not the
one that is asked for while the claim can't have that: everything else of an edit acts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.applying.refusals import RETRY_SECONDS, Collected, refusal_of
from resilientslice.kube.children import MANAGER
from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import ForbiddenError, InvalidError, KubeError
from resilientslice.kube.kinds import VOLUME_CLAIM, Object
from resilientslice.planning.observed import Store, Trouble, Volume
from resilientslice.render.store_settings import managed, managed_stores
from resilientslice.render.stores.kept import protection
from resilientslice.render.stores.workload import claim_name
from resilientslice.stores.volume_sizes import (
    Claim,
    Sizing,
    claim_of,
    grows,
    not_resized,
    other_class,
    sizing_of,
    volume_of,
)

GROWTH_SECONDS = 15.0
"""Until a volume that grows is looked at again: claims are not watched."""

Basis = tuple[str, str | None, bool]


@dataclass(frozen=True, slots=True)
class KnownVolume:
    """`basis`: what it was read for. `due`: when to read it again (seconds since the epoch), None if nothing moves."""

    basis: Basis
    in_force: str
    volume: Volume | None = None
    troubles: tuple[Trouble, ...] = ()
    due: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class StoreVolumes:
    client: KubeClient

    async def ensure(
        self,
        slice_: ResilientSlice,
        known: Mapping[StoreName, KnownVolume],
        stores: Mapping[StoreName, Store],
        now: float,
        *,
        failed: list[KubeError],
    ) -> dict[StoreName, KnownVolume]:
        """What is known by now, each claim asked to be as large as the slice says. `stores` as they were last seen.

        What may pass by itself ends up in `failed`; of that store is known what was known before.
        """
        found: dict[StoreName, KnownVolume] = {}
        for store in managed_stores(slice_):
            basis, before = _basis(slice_, store, stores), known.get(store)
            current = before is not None and before.basis == basis and (before.due is None or before.due > now)
            if before is not None:
                found[store] = before
            if not current:
                with Collected(failed):
                    found[store] = await self._looked_at(slice_, store, basis, now)
        return found

    async def _looked_at(self, slice_: ResilientSlice, store: StoreName, basis: Basis, now: float) -> KnownVolume:
        asked, wanted_class, _ = basis
        stored = await self.client.find(VOLUME_CLAIM, slice_.namespace, claim_name(slice_.name, store))
        claim = claim_of(stored) if stored is not None else None
        refused = await self._keep(slice_, store, stored, now) if stored is not None else None
        sizing = sizing_of(store, asked, claim)
        if claim is not None and sizing.request:
            claim, sizing = await self._resize(slice_, store, sizing, claim)
        troubles = tuple(found for found in (sizing.trouble, other_class(store, wanted_class, claim), refused) if found)
        return KnownVolume(
            basis=basis,
            in_force=sizing.in_force,
            volume=volume_of(store, slice_.name, claim) if claim else None,
            troubles=troubles,
            due=_due(claim, troubles, now),
        )

    async def _keep(self, slice_: ResilientSlice, store: StoreName, stored: Object, now: float) -> Trouble | None:
        """From tools that remove what they don't know. A claim comes to be after its store was started."""
        change, name = protection(slice_, store, stored), stored["metadata"]["name"]
        if change is None:
            return None
        try:
            await self.client.merge(VOLUME_CLAIM, slice_.namespace, name, change, manager=MANAGER)
        except KubeError as error:
            refusal = refusal_of((VOLUME_CLAIM.kind, name), "", error, now)
            if refusal is None:
                raise
            return refusal.trouble
        return None

    async def _resize(
        self, slice_: ResilientSlice, store: StoreName, sizing: Sizing, claim: Claim
    ) -> tuple[Claim, Sizing]:
        change = {"spec": {"resources": {"requests": {"storage": sizing.request}}}}
        try:
            stored = await self.client.merge(VOLUME_CLAIM, slice_.namespace, claim.name, change, manager=MANAGER)
        except (ForbiddenError, InvalidError) as error:
            return claim, not_resized(store, sizing.request, claim, error.message or str(error))
        return claim_of(stored), sizing


def _basis(slice_: ResilientSlice, store: StoreName, stores: Mapping[StoreName, Store]) -> Basis:
    """A claim gets its volume when its pod is scheduled, so one that becomes ready has news of it."""
    settings, seen = managed(slice_, store), stores.get(store)
    if settings is None:
        raise KeyError(store)
    return settings.storage, settings.storage_class_name, bool(seen and seen.ready)


def _due(claim: Claim | None, troubles: tuple[Trouble, ...], now: float) -> float | None:
    if claim is not None and grows(claim):
        return now + GROWTH_SECONDS
    return now + RETRY_SECONDS if troubles else None
