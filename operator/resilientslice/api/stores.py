"""What stands around the services: stores, backups, the way in, and the slice's own proxies."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from resilientslice.api.base import Model
from resilientslice.api.cron import CRON_PATTERN
from resilientslice.api.pods import Resources
from resilientslice.api.scalars import ZONE_PATTERN, Cidr, Host, Image, ObjectName, Size


class ManagedPostgres(Model):
    """A single PostgreSQL that the operator runs."""

    storage: Size = "1Gi"
    """Size of its volume, in bytes; it may grow, never shrink."""
    major_version: Annotated[int, Field(ge=14, le=99)] = 18
    """PostgreSQL's major version, pinned at creation: data files of one don't open in another."""
    image: Image | None = None
    """Image, whose tag begins with the major version; the operator's choice when absent."""
    storage_class_name: ObjectName | None = None
    """StorageClass of the volume; the cluster's default when absent."""
    resources: Resources = Field(default_factory=Resources)
    """CPU and memory; requests of 100m and 256Mi and a memory limit of 512Mi where absent."""


class ManagedRedis(Model):
    """A single Redis that the operator runs."""

    storage: Size = "1Gi"
    """Size of its volume, in bytes; it may grow, never shrink."""
    image: Image | None = None
    """Image; the operator's choice when absent."""
    storage_class_name: ObjectName | None = None
    """StorageClass of the volume; the cluster's default when absent."""
    resources: Resources = Field(default_factory=Resources)
    """CPU and memory; requests of 50m and 64Mi and a memory limit of 256Mi where absent."""


class ExternalStore(Model):
    """A store that exists already."""

    secret_name: ObjectName
    """Secret of this namespace whose key `url` is the connection URL."""


class CnpgPostgres(Model):
    """A cluster of CloudNativePG."""

    instances: Annotated[int, Field(ge=1, le=9)] = 3
    """Instances of the CloudNativePG cluster."""
    storage: Size = "1Gi"
    """Size of each instance's volume, in bytes; it may grow, never shrink."""


class Postgres(Model):
    """Exactly one variant is set, and stays."""

    managed: ManagedPostgres | None = None
    """A single PostgreSQL that the operator runs."""
    external: ExternalStore | None = None
    """One that exists already."""
    cnpg: CnpgPostgres | None = None
    """A cluster of CloudNativePG, where that runs."""


class Redis(Model):
    """Exactly one variant is set, and stays."""

    managed: ManagedRedis | None = None
    """A single Redis that the operator runs."""
    external: ExternalStore | None = None
    """One that exists already."""


class Stores(Model):
    """The slice's stores; absent ones are not there."""

    postgres: Postgres | None = None
    """PostgreSQL; gives DATABASE_URL to the services that list it."""
    redis: Redis | None = None
    """Redis; gives REDIS_URL to the services that list it."""


class Retention(Model):
    """How many backups are kept."""

    keep_last: Annotated[int, Field(ge=1, le=365)] = 7
    """Backups that are kept; a verified one is never removed before a newer verified one exists."""


class BackupVolume(Model):
    """The volume that backups are written to."""

    storage: Size = "5Gi"
    """Size of the volume, in bytes; it may grow, never shrink."""
    storage_class_name: ObjectName | None = None
    """StorageClass of the volume; the cluster's default when absent."""


class BackupDestination(Model):
    """Where backups go."""

    volume: BackupVolume = Field(default_factory=BackupVolume)
    """A volume of its own in the cluster."""


class Backup(Model):
    """Backups of the managed stores."""

    schedule: Annotated[str, Field(pattern=CRON_PATTERN, max_length=128)] = "0 3 * * *"
    """Cron expression of five fields, or a word such as `@daily`."""
    time_zone: Annotated[str, Field(pattern=ZONE_PATTERN, max_length=64)] = "UTC"
    """IANA time zone of the schedule."""
    retention: Retention = Field(default_factory=Retention)
    """How many are kept."""
    destination: BackupDestination = Field(default_factory=BackupDestination)
    """Where they go."""


class FrontType(StrEnum):
    """Type of the Service that is the way in."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class FrontKind(StrEnum):
    """What stands before the front Service."""

    SERVICE = "Service"
    INGRESS = "Ingress"


class Tls(Model):
    """A certificate and its key."""

    secret_name: ObjectName
    """Secret of type kubernetes.io/tls."""


class Front(Model):
    """The way in. All services that are exposed share it."""

    type: FrontType = FrontType.CLUSTER_IP
    """Type of the front Service."""
    kind: FrontKind = FrontKind.SERVICE
    """`Ingress` puts an Ingress before the front Service; `Service` leaves it at that."""
    hosts: Annotated[tuple[Host, ...], Field(max_length=16)] = ()
    """Host names that are answered; empty for all. An Ingress needs one."""
    class_name: ObjectName | None = Field(default=None, alias="class")
    """IngressClass; the cluster's default when absent."""
    tls: Tls | None = None
    """Certificate of the Ingress."""
    trusted_proxies: Annotated[tuple[Cidr, ...], Field(max_length=32)] = ()
    """Who may set the tenant, canary and track headers; empty trusts everyone."""


class Proxy(Model):
    """The slice's own Envoys."""

    replicas: Annotated[int, Field(ge=1, le=32)] = 2
    """How many Envoys. Limits are divided by them."""
    resources: Resources = Field(default_factory=Resources)
    """CPU and memory of one Envoy; requests of 100m and 128Mi and limits of 1 and 256Mi where absent."""
    image: Image | None = None
    """Image of Envoy; the operator's choice when absent."""
