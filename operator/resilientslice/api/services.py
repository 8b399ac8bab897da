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
    """Protocol of a service."""

    HTTP = "HTTP"
    GRPC = "GRPC"


class StoreName(StrEnum):
    """A store."""

    POSTGRES = "postgres"
    REDIS = "redis"


class Autoscaling(Model):
    """Bounds and target of the HorizontalPodAutoscaler."""

    min_replicas: Annotated[int, Field(ge=1, le=1000)] = 2
    """Minimum number of replicas."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)]
    """Maximum number of replicas."""
    target_cpu_utilization_percentage: Annotated[int, Field(ge=1, le=100)] = Field(
        default=70, alias="targetCPUUtilizationPercentage"
    )
    """Target average CPU utilization, in percent of the request."""


class Expose(Model):
    """External requests routed to this service."""

    path_prefix: PathPrefix = "/"
    """Path prefix of external requests routed to this service. The longest prefix wins."""


class Route(Model):
    """Policy of requests by path. The longest prefix wins."""

    path_prefix: PathPrefix
    """Path prefix of the requests."""
    timeout: Duration | None = None
    """Timeout of a request, retries included. `0s` disables it."""
    idle_timeout: PositiveDuration | None = None
    """Idle timeout: time without data in either direction before the stream is closed."""
    retries: RequestRetriesOverride | None = None
    """Overrides of the service's retries. The retry budget is always the service's."""
    websocket: bool = False
    """Allow upgrades to WebSocket. Such a stream has no timeout except the idle timeout."""


class Egress(Model):
    """Allowed egress to addresses outside the slice."""

    cidr: Cidr
    """Address range, such as `203.0.113.0/24`."""
    ports: Annotated[tuple[Port, ...], Field(max_length=32)] = ()
    """TCP ports. Default: all."""


class Service(Model):
    """A service: its pods, its dependencies and its policy."""

    name: ServiceName
    """Name, unique in the slice: a DNS label of at most 24 characters. Other services call it at `http://SLICE-NAME:PORT`."""
    image: Image
    """Container image."""
    command: Annotated[tuple[Argument, ...], Field(max_length=64)] = ()
    """Entrypoint. Default: the image's."""
    args: Annotated[tuple[Argument, ...], Field(max_length=64)] = ()
    """Arguments of the entrypoint."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=128)] = ()
    """Environment variables. They take precedence over those set by the operator."""
    env_from: Annotated[tuple[EnvFrom, ...], Field(max_length=16)] = ()
    """Secrets and ConfigMaps whose keys become environment variables."""
    resources: Resources = Field(default_factory=Resources)
    """CPU and memory. Defaults: requests of 50m and 64Mi, a memory limit of 256Mi."""
    probes: Probes = Field(default_factory=Probes)
    """Health checks."""
    volumes: Annotated[tuple[Volume, ...], Field(max_length=16)] = ()
    """Volumes and their mounts. `/tmp` is a writable emptyDir of 64Mi unless replaced."""
    image_pull_secrets: Annotated[tuple[PullSecret, ...], Field(max_length=8)] = ()
    """Secrets for pulling the image."""
    scheduling: Scheduling = Field(default_factory=Scheduling)
    """Scheduling constraints of the pods."""
    termination_grace_period: PositiveDuration = "30s"
    """Time a pod has to shut down after SIGTERM."""
    port: Port | None = None
    """Listening port, also in the variable PORT. Without it a service gets no requests and is updated at promotion."""
    protocol: Protocol = Protocol.HTTP
    """Protocol: HTTP (HTTP/1.1) or GRPC (HTTP/2)."""
    replicas: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Number of replicas. Default: 2, unless `autoscaling` is set."""
    autoscaling: Autoscaling | None = None
    """Scale the replicas by a HorizontalPodAutoscaler."""
    expose: Expose | None = None
    """Expose the service through the front listener."""
    routes: Annotated[tuple[Route, ...], Field(max_length=16)] = ()
    """Policy by path."""
    depends_on: Annotated[tuple[ServiceName, ...], Field(max_length=32)] = ()
    """Services that it calls. Each adds a NetworkPolicy rule and a variable, PAYMENTS_URL for `payments`."""
    stores: Annotated[tuple[StoreName, ...], Field(max_length=2)] = ()
    """Stores that this service uses. They add the variables DATABASE_URL and REDIS_URL."""
    egress: Annotated[tuple[Egress, ...], Field(max_length=32)] = ()
    """Allowed egress. All other egress is denied."""
    resilience: ResilienceOverride | None = None
    """Overrides of spec.resilience."""
