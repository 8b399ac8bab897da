"""What stands around the services: stores, backups, the way in, and the slice's own proxies."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from resilientslice.api.base import Model
from resilientslice.api.cron import CRON_PATTERN
from resilientslice.api.pods import Resources
from resilientslice.api.scalars import ZONE_PATTERN, Cidr, Host, Image, ObjectName, Size


class ManagedPostgres(Model):
    """A single PostgreSQL instance run by the operator."""

    storage: Size = "1Gi"
    """Size of the volume, in bytes. It can grow, never shrink."""
    major_version: Annotated[int, Field(ge=14, le=99)] = 18
    """Major version of PostgreSQL. Immutable, because data files of one major version don't open in another."""
    image: Image | None = None
    """Image, with a tag that begins with the major version. Default: chosen by the operator."""
    storage_class_name: ObjectName | None = None
    """StorageClass of the volume. Default: the cluster's."""
    resources: Resources = Field(default_factory=Resources)
    """CPU and memory. Defaults: requests of 100m and 256Mi, a memory limit of 512Mi."""


class ManagedRedis(Model):
    """A single Redis instance run by the operator."""

    storage: Size = "1Gi"
    """Size of the volume, in bytes. It can grow, never shrink."""
    image: Image | None = None
    """Image. Default: chosen by the operator."""
    storage_class_name: ObjectName | None = None
    """StorageClass of the volume. Default: the cluster's."""
    resources: Resources = Field(default_factory=Resources)
    """CPU and memory. Defaults: requests of 50m and 64Mi, a memory limit of 256Mi."""


class ExternalStore(Model):
    """An existing store."""

    secret_name: ObjectName
    """Secret of the namespace whose key `url` is the connection URL."""


class CnpgPostgres(Model):
    """A cluster of CloudNativePG."""

    instances: Annotated[int, Field(ge=1, le=9)] = 3
    """Number of instances of the CloudNativePG cluster."""
    storage: Size = "1Gi"
    """Size of each instance's volume, in bytes. It can grow, never shrink."""


class Postgres(Model):
    """A store. Set exactly one variant; it is immutable."""

    managed: ManagedPostgres | None = None
    """A single PostgreSQL instance run by the operator."""
    external: ExternalStore | None = None
    """An existing instance."""
    cnpg: CnpgPostgres | None = None
    """A CloudNativePG cluster. Requires CloudNativePG."""


class Redis(Model):
    """A store. Set exactly one variant; it is immutable."""

    managed: ManagedRedis | None = None
    """A single Redis instance run by the operator."""
    external: ExternalStore | None = None
    """An existing instance."""


class Stores(Model):
    """Backing stores. Omitted ones are not provisioned."""

    postgres: Postgres | None = None
    """PostgreSQL. Services that list it get DATABASE_URL."""
    redis: Redis | None = None
    """Redis. Services that list it get REDIS_URL."""


class Retention(Model):
    """Retention of backups."""

    keep_last: Annotated[int, Field(ge=1, le=365)] = 7
    """Number of backups to keep. A verified backup is never removed before a newer verified one exists."""


class BackupVolume(Model):
    """Volume for backups."""

    storage: Size = "5Gi"
    """Size of the volume, in bytes. It can grow, never shrink."""
    storage_class_name: ObjectName | None = None
    """StorageClass of the volume. Default: the cluster's."""


class BackupDestination(Model):
    """Destination of backups."""

    volume: BackupVolume = Field(default_factory=BackupVolume)
    """Dedicated volume in the cluster."""


class Backup(Model):
    """Backups of the managed stores."""

    schedule: Annotated[str, Field(pattern=CRON_PATTERN, max_length=128)] = "0 3 * * *"
    """Cron expression of five fields, or a word such as `@daily`."""
    time_zone: Annotated[str, Field(pattern=ZONE_PATTERN, max_length=64)] = "UTC"
    """IANA time zone of the schedule."""
    retention: Retention = Field(default_factory=Retention)
    """Retention of backups."""
    destination: BackupDestination = Field(default_factory=BackupDestination)
    """Destination of backups."""


class FrontType(StrEnum):
    """Type of the front Service."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class FrontKind(StrEnum):
    """Resource in front of the front Service."""

    SERVICE = "Service"
    INGRESS = "Ingress"


class UnderscoreHeaders(StrEnum):
    """Handling of requests that have headers with an underscore in their name."""

    REJECT = "Reject"
    DROP = "Drop"
    ALLOW = "Allow"


class Tls(Model):
    """A TLS certificate."""

    secret_name: ObjectName
    """Secret of type kubernetes.io/tls."""


class Front(Model):
    """External entry point, shared by all exposed services."""

    type: FrontType = FrontType.CLUSTER_IP
    """Type of the front Service."""
    kind: FrontKind = FrontKind.SERVICE
    """`Ingress` creates an Ingress for the front Service; `Service` does not."""
    hosts: Annotated[tuple[Host, ...], Field(max_length=16)] = ()
    """Accepted host names. Default: all. An Ingress requires at least one."""
    class_name: ObjectName | None = Field(default=None, alias="class")
    """IngressClass. Default: the cluster's."""
    tls: Tls | None = None
    """Certificate of the Ingress."""
    trusted_proxies: Annotated[tuple[Cidr, ...], Field(max_length=32)] = ()
    """Address ranges trusted to set the tenant, canary and track headers. Default: all addresses are trusted."""
    underscore_headers: UnderscoreHeaders = UnderscoreHeaders.REJECT
    """Reject answers 400, Drop removes such headers. Allow passes them on: many frameworks then can't tell `x_tenant`
    from `x-tenant`, so that a client can set headers that the front removes."""


class Proxy(Model):
    """Envoy proxies of the slice."""

    replicas: Annotated[int, Field(ge=1, le=32)] = 2
    """Number of proxies. Limits are divided among them."""
    resources: Resources = Field(default_factory=Resources)
    """CPU and memory of one proxy. Defaults: requests of 100m and 128Mi, limits of 1 and 256Mi."""
    image: Image | None = None
    """Image of Envoy. Default: chosen by the operator."""
