"""The Kubernetes objects of a slice's stores, each with the policy that lets its services in."""

from collections.abc import Iterable, Iterator

from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.stores import ManagedPostgres, ManagedRedis
from resilientslice.render.accounts import render_store_account
from resilientslice.render.images import Images
from resilientslice.render.metadata import Object
from resilientslice.render.network import render_store_policy
from resilientslice.render.presence import Presence
from resilientslice.render.store_settings import managed
from resilientslice.render.stores.postgres import postgres_workload, render_cnpg_cluster
from resilientslice.render.stores.redis import redis_workload
from resilientslice.render.stores.workload import (
    Workload,
    render_configuration,
    render_stateful_set,
    render_store_service,
)


def render_store_objects(
    slice_: ResilientSlice, present: tuple[Presence, ...], images: Images
) -> Iterator[Object | None]:
    """None stands for what a store's settings leave out."""
    for store in StoreName:
        yield from _of_store(slice_, store, present, images)


def _of_store(
    slice_: ResilientSlice, store: StoreName, present: tuple[Presence, ...], images: Images
) -> Iterable[Object | None]:
    yield render_store_policy(slice_, store, present)
    settings = managed(slice_, store)
    if settings is not None:
        workload = _workload(settings, images)
        yield render_store_account(slice_, store)
        yield render_configuration(slice_, workload)
        yield render_store_service(slice_, store)
        yield render_stateful_set(slice_, workload)
    postgres = slice_.spec.stores.postgres
    if store is StoreName.POSTGRES and postgres and postgres.cnpg:
        yield render_cnpg_cluster(slice_, postgres.cnpg)


def _workload(settings: ManagedPostgres | ManagedRedis, images: Images) -> Workload:
    if isinstance(settings, ManagedRedis):
        return redis_workload(settings, images)
    return postgres_workload(settings, images)
