"""Rules of what stands around the services: stores, backups, the way in, and the objective."""

from collections.abc import Iterator

from resilientslice.api.cron import backward_ranges
from resilientslice.api.images import postgres_major
from resilientslice.api.problems import Path, Problem, missing, problem
from resilientslice.api.rules.calls import cidr
from resilientslice.api.rules.containers import exactly_one
from resilientslice.api.rules.draft import Draft
from resilientslice.api.rules.services import duplicates
from resilientslice.api.stores import Front, FrontKind, ManagedPostgres

POSTGRES_VARIANTS = ("managed", "external", "cnpg")
REDIS_VARIANTS = ("managed", "external")

OTHER_MAJOR = "the image's tag must begin with majorVersion, PostgreSQL's major version"
BACKUP_WITHOUT_STORE = "a backup needs a managed store"
INGRESS_WITHOUT_HOSTS = "an Ingress needs hosts"
TLS_WITHOUT_INGRESS = "tls needs kind Ingress"
CLASS_WITHOUT_INGRESS = "class needs kind Ingress"
BACKWARD_RANGE = "a range of the schedule must not run backwards"


def store_variants(draft: Draft) -> Iterator[Problem]:
    path: Path = ("spec", "stores")
    if draft.stores is None:
        return
    if draft.stores.postgres is not None:
        yield from exactly_one((*path, "postgres"), draft.stores.postgres, POSTGRES_VARIANTS)
        managed = draft.stores.postgres.managed
        if managed is not None:
            yield from _postgres_image((*path, "postgres", "managed", "image"), managed)
    if draft.stores.redis is not None:
        yield from exactly_one((*path, "redis"), draft.stores.redis, REDIS_VARIANTS)


def _postgres_image(path: Path, managed: ManagedPostgres) -> Iterator[Problem]:
    if managed.image is None or (major := postgres_major(managed.image)) == managed.major_version:
        return
    fix = f"such as postgres:{managed.major_version}"
    if major is not None:
        fix += f", or set majorVersion: {major} in a store that is new"
    yield problem(path, managed.image, OTHER_MAJOR, fix)


def backup(draft: Draft) -> Iterator[Problem]:
    if draft.backup is None:
        return
    stores = draft.stores
    if stores is not None and not any(store and store.managed for store in (stores.postgres, stores.redis)):
        yield missing(("spec", "backup"), BACKUP_WITHOUT_STORE, "remove it: other stores are not backed up from here")
    for backward in backward_ranges(draft.backup.schedule):
        path = ("spec", "backup", "schedule")
        yield problem(path, draft.backup.schedule, BACKWARD_RANGE, f"turn {backward} round, or list two ranges")


def front(draft: Draft) -> Iterator[Problem]:
    if draft.front is None:
        return
    path: Path = ("spec", "front")
    yield from duplicates((*path, "hosts"), "", list(draft.front.hosts))
    yield from duplicates((*path, "trustedProxies"), "", list(draft.front.trusted_proxies))
    for index, proxy in enumerate(draft.front.trusted_proxies):
        yield from cidr((*path, "trustedProxies", index), proxy)
    yield from _ingress(path, draft.front)


def _ingress(path: Path, given: Front) -> Iterator[Problem]:
    if given.kind is FrontKind.INGRESS:
        if not given.hosts:
            yield missing((*path, "hosts"), INGRESS_WITHOUT_HOSTS, "add the names that it answers")
        return
    if given.tls is not None:
        secret = given.tls.secret_name
        yield problem((*path, "tls"), secret, TLS_WITHOUT_INGRESS, "add kind: Ingress, or remove tls")
    if given.class_name is not None:
        yield problem((*path, "class"), given.class_name, CLASS_WITHOUT_INGRESS, "add kind: Ingress, or remove class")


RULES = (store_variants, backup, front)
