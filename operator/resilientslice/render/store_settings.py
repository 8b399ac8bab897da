"""PostgreSQL and Redis of a slice: which of them it has, and where their credentials are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.stores import ManagedPostgres, ManagedRedis
from resilientslice.render.names import store_name

STORE_PORTS: Mapping[StoreName, int] = {StoreName.POSTGRES: 5432, StoreName.REDIS: 6379}

APPLICATION = "app"
"""Role and database that services get. Never the superuser: what breaks into a service must not own the server."""


@dataclass(frozen=True, slots=True)
class SecretKey:
    name: str
    key: str


def managed(slice_: ResilientSlice, store: StoreName) -> ManagedPostgres | ManagedRedis | None:
    """The settings of a store that the operator runs itself."""
    variants: Any = getattr(slice_.spec.stores, store.value)
    found: ManagedPostgres | ManagedRedis | None = variants.managed if variants else None
    return found


def managed_stores(slice_: ResilientSlice) -> tuple[StoreName, ...]:
    return tuple(store for store in StoreName if managed(slice_, store) is not None)


def with_storage(slice_: ResilientSlice, sizes: Mapping[StoreName, str]) -> ResilientSlice:
    """The slice with other sizes of its managed stores' volumes; the same one where nothing differs."""
    changed: dict[str, Any] = {}
    for store, size in sizes.items():
        settings = managed(slice_, store)
        if settings is not None and settings.storage != size:
            variants = getattr(slice_.spec.stores, store.value)
            resized = settings.model_copy(update={"storage": size})
            changed[store.value] = variants.model_copy(update={"managed": resized})
    if not changed:
        return slice_
    stores = slice_.spec.stores.model_copy(update=changed)
    return slice_.model_copy(update={"spec": slice_.spec.model_copy(update={"stores": stores})})


def url_secret(slice_: ResilientSlice, store: StoreName) -> SecretKey | None:
    """Where the connection URL is; None when the slice has no such store."""
    variants: Any = getattr(slice_.spec.stores, store.value)
    if variants is None:
        return None
    if variants.external:
        return SecretKey(variants.external.secret_name, "url")
    if getattr(variants, "cnpg", None):
        # made by CloudNativePG for the database's owner
        return SecretKey(f"{store_name(slice_.name, store)}-app", "uri")
    return SecretKey(store_name(slice_.name, store), "url")
