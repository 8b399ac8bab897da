"""One service of a slice: what runs, what it may call, and where its own policy differs from the slice's."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from resilientslice.api.base import Model
from resilientslice.api.pods import (
    Argument,
    EnvFrom,
    EnvVar,
    Probes,
    PullSecret,
    Resources,
    Scheduling,
    Volume,
)
from resilientslice.api.policies import RequestRetriesOverride, ResilienceOverride
from resilientslice.api.scalars import Cidr, Duration, Image, PathPrefix, Port, PositiveDuration, ServiceName

DEFAULT_REPLICAS = 2


class Protocol(StrEnum):
    """What a service speaks."""

    HTTP = "HTTP"
    GRPC = "GRPC"


class StoreName(StrEnum):
    """A store that a service may reach."""

    POSTGRES = "postgres"
    REDIS = "redis"


class Autoscaling(Model):
    """Bounds and aim of the HorizontalPodAutoscaler."""

    min_replicas: Annotated[int, Field(ge=1, le=1000)] = 2
    """Fewest replicas."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)]
    """Most replicas."""
    target_cpu_utilization_percentage: Annotated[int, Field(ge=1, le=100)] = Field(
        default=70, alias="targetCPUUtilizationPercentage"
    )
    """Average CPU, in percent of the request, that the autoscaler aims at."""


class Expose(Model):
    """What of the outside's requests goes to the service."""

    path_prefix: PathPrefix = "/"
    """Requests from outside whose path starts with this go to the service; the longest prefix wins."""


class Route(Model):
    """Requests for which the service's own policy doesn't fit; the longest prefix wins."""

    path_prefix: PathPrefix
    """Path prefix the exception is for."""
    timeout: Duration | None = None
    """Time for the whole request, retries included; `0s` for none."""
    idle_timeout: PositiveDuration | None = None
    """Time without a byte in either direction before the stream is ended."""
    retries: RequestRetriesOverride | None = None
    """Retries of these requests, field by field. The budget is the service's."""
    websocket: bool = False
    """Allow upgrades to WebSocket; such a stream has no time-out but the idle one."""


class Egress(Model):
    """Addresses outside the slice that may be called."""

    cidr: Cidr
    """Addresses that may be called, `203.0.113.0/24`."""
    ports: Annotated[tuple[Port, ...], Field(max_length=32)] = ()
    """TCP ports that may be called; empty for all."""


class Service(Model):
    """One service: what runs, what it may call, and where its own policy differs from the slice's."""

    name: ServiceName
    """Name, unique in the slice: a DNS label of at most 24 characters. Others call it as `http://SLICE-NAME:PORT`."""
    image: Image
    """Container image."""
    command: Annotated[tuple[Argument, ...], Field(max_length=64)] = ()
    """Replaces the image's entrypoint."""
    args: Annotated[tuple[Argument, ...], Field(max_length=64)] = ()
    """Arguments of the entrypoint."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=128)] = ()
    """Environment variables. They win over the ones that the operator sets."""
    env_from: Annotated[tuple[EnvFrom, ...], Field(max_length=16)] = ()
    """Secrets and ConfigMaps whose keys become variables."""
    resources: Resources = Field(default_factory=Resources)
    """CPU and memory; requests of 50m and 64Mi and a memory limit of 256Mi where absent."""
    probes: Probes = Field(default_factory=Probes)
    """Health checks."""
    volumes: Annotated[tuple[Volume, ...], Field(max_length=16)] = ()
    """Volumes and where they are mounted. `/tmp` is a writable emptyDir of 64Mi where none takes its place."""
    image_pull_secrets: Annotated[tuple[PullSecret, ...], Field(max_length=8)] = ()
    """Secrets to pull the image with."""
    scheduling: Scheduling = Field(default_factory=Scheduling)
    """Where the pods may run."""
    termination_grace_period: PositiveDuration = "30s"
    """Time a pod has to end by itself after it was asked to."""
    port: Port | None = None
    """Port it listens on, also in the variable PORT. Absent: nobody calls it, no weight, updated at promotion."""
    protocol: Protocol = Protocol.HTTP
    """What it speaks: HTTP (1.1) or GRPC (HTTP/2)."""
    replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How many; 2 when neither this nor `autoscaling` is given."""
    autoscaling: Autoscaling | None = None
    """Let a HorizontalPodAutoscaler choose the replicas."""
    expose: Expose | None = None
    """Reachable from outside through the front listener."""
    routes: Annotated[tuple[Route, ...], Field(max_length=16)] = ()
    """Exceptions by path."""
    depends_on: Annotated[tuple[ServiceName, ...], Field(max_length=32)] = ()
    """Services it may call. Gives a NetworkPolicy edge each, and PAYMENTS_URL for `payments`."""
    stores: Annotated[tuple[StoreName, ...], Field(max_length=2)] = ()
    """Stores it may reach; gives DATABASE_URL and REDIS_URL."""
    egress: Annotated[tuple[Egress, ...], Field(max_length=32)] = ()
    """What else it may call; everything else is denied."""
    resilience: ResilienceOverride | None = None
    """Where it differs from spec.resilience, field by field."""
