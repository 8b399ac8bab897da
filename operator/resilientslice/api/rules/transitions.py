"""What may not change in a slice that exists: the kind of its stores, and what their volumes can't do."""

from collections.abc import Iterator

from resilientslice.api.problems import Path, Problem, problem
from resilientslice.api.scalars import quantity_value
from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.stores import (
    BackupVolume,
    CnpgPostgres,
    ManagedPostgres,
    ManagedRedis,
    Postgres,
    Redis,
)

VARIANT_CHANGED = "the variant of a store can't be changed"
STORAGE_SHRUNK = "storage can only grow"
"""Or be taken back as far as the volume has not grown."""
CLASS_CHANGED = "storageClassName can't be changed"
MAJOR_CHANGED = "the major version of PostgreSQL can't be changed: it was pinned at creation"
NAME_CHANGED = "not the same slice"

Volume = ManagedPostgres | ManagedRedis | CnpgPostgres | BackupVolume


def forbidden_changes(old: ResilientSlice, new: ResilientSlice) -> Iterator[Problem]:
    """Every change from `old` to `new` that can't be made. A store that is new or gone is no change of one.

    The status of `old` says what volumes have: a size that was asked for and never came to be can be taken back.
    """
    yield from lasting_changes(old, new)
    if old.name == new.name:
        yield from shrunk_volumes(old, new)


def shrunk_volumes(old: ResilientSlice, new: ResilientSlice) -> Iterator[Problem]:
    """Volumes of managed stores that are to be smaller than they were asked to be, and than they are."""
    for store in StoreName:
        before, after = _managed(old, store), _managed(new, store)
        if before is None or after is None or quantity_value(after.storage) >= quantity_value(before.storage):
            continue
        has = next((found.storage for found in old.status.stores if found.name == store), None)
        if has is None or (has and quantity_value(after.storage) < quantity_value(has)):
            path = ("spec", "stores", store.value, "managed", "storage")
            fix = f"it is {has or before.storage}: volumes never shrink"
            yield problem(path, after.storage, STORAGE_SHRUNK, fix)


def lasting_changes(old: ResilientSlice, new: ResilientSlice) -> Iterator[Problem]:
    """The same without sizes of managed stores' volumes."""
    if old.name != new.name:
        yield problem(("metadata", "name"), new.name, NAME_CHANGED, f"the old one is called {old.name}")
        return
    before, after = old.spec.stores, new.spec.stores
    if before.postgres and after.postgres:
        yield from _postgres(("spec", "stores", "postgres"), before.postgres, after.postgres)
    if before.redis and after.redis:
        yield from _store(("spec", "stores", "redis"), before.redis, after.redis)
    if old.spec.backup and new.spec.backup:
        path: Path = ("spec", "backup", "destination", "volume")
        yield from _volume(path, old.spec.backup.destination.volume, new.spec.backup.destination.volume)


def _postgres(path: Path, old: Postgres, new: Postgres) -> Iterator[Problem]:
    yield from _store(path, old, new)
    if old.managed and new.managed:
        yield from _major((*path, "managed", "majorVersion"), old.managed.major_version, new.managed.major_version)
    if old.cnpg and new.cnpg:
        yield from _volume((*path, "cnpg"), old.cnpg, new.cnpg)


def _store(path: Path, old: Postgres | Redis, new: Postgres | Redis) -> Iterator[Problem]:
    before, after = _variant(old), _variant(new)
    if before != after:
        fix = f"it is {before}; for another, make a new slice and move the data"
        yield problem((*path, after), after, VARIANT_CHANGED, fix)
    elif old.managed and new.managed:
        yield from _volume((*path, "managed"), old.managed, new.managed)


def _managed(slice_: ResilientSlice, store: StoreName) -> ManagedPostgres | ManagedRedis | None:
    stores = slice_.spec.stores
    found = stores.postgres if store is StoreName.POSTGRES else stores.redis
    return found.managed if found else None


def _variant(store: Postgres | Redis) -> str:
    return next((name for name in type(store).model_fields if getattr(store, name) is not None), "")


def _volume(path: Path, old: Volume, new: Volume) -> Iterator[Problem]:
    only_grows = isinstance(old, CnpgPostgres | BackupVolume)
    if only_grows and quantity_value(new.storage) < quantity_value(old.storage):
        yield problem((*path, "storage"), new.storage, STORAGE_SHRUNK, f"it is {old.storage}: volumes never shrink")
    before, after = getattr(old, "storage_class_name", None), getattr(new, "storage_class_name", None)
    if before != after:
        fix = f"it is {before}" if before else "it is the cluster's default: remove this"
        yield problem((*path, "storageClassName"), after, CLASS_CHANGED, fix)


def _major(path: Path, old: int, new: int) -> Iterator[Problem]:
    if old != new:
        fix = f"stay with {old}, or dump into a new slice: data files of one don't open in the other"
        yield problem(path, new, MAJOR_CHANGED, fix)
