"""The part of a service that ends up in its pods: the fields of a container and a pod that users may set.

A deliberate subset of the Kubernetes pod: what is missing here (host namespaces, privileges, capabilities) is missing
because a slice's pods are restricted.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from resilientslice.api.base import Model
from resilientslice.api.scalars import (
    ENV_NAME_PATTERN,
    FIELD_PATH_PATTERN,
    KEY_PATTERN,
    DnsLabel,
    LabelKey,
    LabelValue,
    ObjectName,
    Path,
    PathPrefix,
    Port,
    Quantity,
    RelativePath,
    ResourceName,
    Size,
)

Text = Annotated[str, Field(max_length=4096)]
Argument = Annotated[str, Field(max_length=4096)]
Key = Annotated[str, Field(min_length=1, max_length=253, pattern=KEY_PATTERN)]


class KeyRef(Model):
    """One key of a Secret or ConfigMap of the slice's namespace."""

    name: ObjectName
    """Name of the Secret or ConfigMap."""
    key: Key
    """Key in it."""
    optional: bool = False
    """Start the pod even if the object or the key is missing."""


class FieldRef(Model):
    """A field of the pod, as the source of a variable."""

    field_path: Annotated[str, Field(pattern=FIELD_PATH_PATTERN, min_length=1, max_length=256)]
    """Field of the pod, as in the downward API: `metadata.name`, `status.podIP`."""


class EnvValueFrom(Model):
    """Source of a variable's value. Set exactly one."""

    secret_key_ref: KeyRef | None = None
    """A key of a Secret."""
    config_map_key_ref: KeyRef | None = None
    """A key of a ConfigMap."""
    field_ref: FieldRef | None = None
    """A field of the pod itself."""


class EnvVar(Model):
    """An environment variable. Set exactly one of `value` and `valueFrom`."""

    name: Annotated[str, Field(pattern=ENV_NAME_PATTERN, min_length=1, max_length=128)]
    """Name of the variable."""
    value: Text | None = None
    """Literal value. For secrets use `valueFrom.secretKeyRef`."""
    value_from: EnvValueFrom | None = None
    """Source of the value, instead of `value`."""


class ObjectRef(Model):
    """A Secret or ConfigMap of the slice's namespace."""

    name: ObjectName
    """Name of the object."""
    optional: bool = False
    """Start the pod even if the object is missing."""


class PullSecret(Model):
    """A Secret of the slice's namespace with credentials of a registry."""

    name: ObjectName
    """Name of the Secret, of type kubernetes.io/dockerconfigjson."""


class EnvFrom(Model):
    """All keys of an object as variables. Set exactly one of `secretRef` and `configMapRef`."""

    prefix: Annotated[str, Field(max_length=64)] = ""
    """Prefix of each variable's name."""
    secret_ref: ObjectRef | None = None
    """A Secret."""
    config_map_ref: ObjectRef | None = None
    """A ConfigMap."""


class Resources(Model):
    """Resources of a container. Omitted values get defaults, within the values that are set."""

    requests: Annotated[dict[ResourceName, Quantity], Field(max_length=8)] = Field(default_factory=dict)
    """Requested resources: `cpu` in cores (`100m`), `memory` in bytes (`128Mi`)."""
    limits: Annotated[dict[ResourceName, Quantity], Field(max_length=8)] = Field(default_factory=dict)
    """Maximum resources, in the same units."""


class HttpGet(Model):
    """An HTTP GET request to the pod."""

    path: Path = "/"
    """Path of the request. A status code below 400 is a success."""
    port: Port | None = None
    """Port of the request. Default: the service's port."""


class TcpSocket(Model):
    """A TCP connection to the pod."""

    port: Port | None = None
    """Port of the connection. Default: the service's port."""


class GrpcCheck(Model):
    """A request to the gRPC health service of the pod."""

    port: Port | None = None
    """Port of the gRPC health service. Default: the service's port."""
    service: Annotated[str, Field(max_length=253)] = ""
    """Service name in the health request."""


class ExecCommand(Model):
    """A command in the container."""

    command: Annotated[tuple[Argument, ...], Field(min_length=1, max_length=64)]
    """Command to run in the container. Exit code 0 is a success."""


class Probe(Model):
    """A health check of a container. Set exactly one of the four handlers."""

    http_get: HttpGet | None = None
    """An HTTP GET."""
    tcp_socket: TcpSocket | None = None
    """A TCP connection."""
    grpc: GrpcCheck | None = None
    """The gRPC health service."""
    exec: ExecCommand | None = None
    """A command in the container."""
    initial_delay_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    """Seconds after the start before the first check."""
    period_seconds: Annotated[int, Field(ge=1, le=3600)] = 5
    """Seconds between two checks."""
    timeout_seconds: Annotated[int, Field(ge=1, le=300)] = 2
    """Timeout of a check, in seconds."""
    success_threshold: Annotated[int, Field(ge=1, le=100)] = 1
    """Consecutive successes before the container is healthy."""
    failure_threshold: Annotated[int, Field(ge=1, le=100)] = 3
    """Consecutive failures before the container is unhealthy."""


class Probes(Model):
    """Health checks. Defaults use the service's port: `GET /readyz` for readiness, TCP for liveness and startup."""

    readiness: Probe | None = None
    """Whether the pod receives traffic."""
    liveness: Probe | None = None
    """Whether the container is restarted."""
    startup: Probe | None = None
    """Whether the container has started. The other two checks wait for it."""


class EmptyDir(Model):
    """A directory with the lifetime of the pod."""

    size_limit: Size = "64Mi"
    """Maximum size, in bytes, before the pod is evicted."""
    medium: Literal["", "Memory"] = ""
    """Storage medium: `Memory` for a tmpfs, empty for the node's disk."""


class ClaimRef(Model):
    """A PersistentVolumeClaim of the slice's namespace."""

    claim_name: ObjectName
    """Name of the PersistentVolumeClaim."""


class Volume(Model):
    """A volume and its mount. Set exactly one source."""

    name: DnsLabel
    """Name of the volume, unique in the service; not beginning with `rslice-`."""
    mount_path: PathPrefix
    """Mount path, unique in the service. Only an emptyDir may replace `/tmp`."""
    sub_path: RelativePath | None = None
    """Path in the volume to mount instead of its root."""
    read_only: bool = True
    """Mount it read-only; an emptyDir is always writable."""
    secret: ObjectRef | None = None
    """A Secret, with one file for each key."""
    config_map: ObjectRef | None = None
    """A ConfigMap, with one file for each key."""
    empty_dir: EmptyDir | None = None
    """A directory with the lifetime of the pod."""
    persistent_volume_claim: ClaimRef | None = None
    """An existing claim."""


class Toleration(Model):
    """A toleration."""

    key: Annotated[str, Field(max_length=317)] = ""
    """Taint key; empty with operator `Exists` matches all."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Relation of key and value: `Equal` or `Exists`."""
    value: LabelValue = ""
    """Taint value, for `Equal`; empty by default."""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    """Effect to tolerate; empty for all."""
    toleration_seconds: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """Seconds for which a `NoExecute` taint is tolerated. Default: without limit."""


class Scheduling(Model):
    """Scheduling constraints of the pods."""

    node_selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] = Field(default_factory=dict)
    """Required labels of the node."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    """Tolerated taints."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the pods."""
    affinity: dict[str, Any] | None = None
    """Kubernetes affinity, passed through unchanged. Default: spread over nodes and zones."""
