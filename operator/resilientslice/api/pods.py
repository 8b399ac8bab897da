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
    """Key inside it."""
    optional: bool = False
    """Start the pod also when the object or the key is missing."""


class FieldRef(Model):
    """A field of the pod that the variable is read from."""

    field_path: Annotated[str, Field(pattern=FIELD_PATH_PATTERN, min_length=1, max_length=256)]
    """Field of the pod, as in the downward API: `metadata.name`, `status.podIP`."""


class EnvValueFrom(Model):
    """Where a variable's value comes from; exactly one is set."""

    secret_key_ref: KeyRef | None = None
    """A key of a Secret."""
    config_map_key_ref: KeyRef | None = None
    """A key of a ConfigMap."""
    field_ref: FieldRef | None = None
    """A field of the pod itself."""


class EnvVar(Model):
    """One variable; exactly one of `value` and `valueFrom` is set."""

    name: Annotated[str, Field(pattern=ENV_NAME_PATTERN, min_length=1, max_length=128)]
    """Name of the variable."""
    value: Text | None = None
    """The value itself. Not for secrets: use `valueFrom.secretKeyRef`."""
    value_from: EnvValueFrom | None = None
    """Where the value comes from, instead of `value`."""


class ObjectRef(Model):
    """A Secret or ConfigMap of the slice's namespace."""

    name: ObjectName
    """Name of the object."""
    optional: bool = False
    """Start the pod also when the object is missing."""


class PullSecret(Model):
    """A Secret of the slice's namespace that opens a registry."""

    name: ObjectName
    """Name of the Secret, of type kubernetes.io/dockerconfigjson."""


class EnvFrom(Model):
    """Every key of one object as a variable; exactly one of `secretRef` and `configMapRef` is set."""

    prefix: Annotated[str, Field(max_length=64)] = ""
    """Put before each key."""
    secret_ref: ObjectRef | None = None
    """A Secret."""
    config_map_ref: ObjectRef | None = None
    """A ConfigMap."""


class Resources(Model):
    """What a container gets of its node. What is absent is filled in, within what is given."""

    requests: Annotated[dict[ResourceName, Quantity], Field(max_length=8)] = Field(default_factory=dict)
    """What the scheduler sets aside: `cpu` in cores (`100m`), `memory` in bytes (`128Mi`)."""
    limits: Annotated[dict[ResourceName, Quantity], Field(max_length=8)] = Field(default_factory=dict)
    """What the container may not exceed, in the same units."""


class HttpGet(Model):
    """A GET over HTTP to the pod's own address."""

    path: Path = "/"
    """Path to ask for; any answer below 400 is a success."""
    port: Port | None = None
    """Port to ask; the service's own port when absent."""


class TcpSocket(Model):
    """A TCP connection to the pod's own address."""

    port: Port | None = None
    """Port to connect to; the service's own port when absent."""


class GrpcCheck(Model):
    """A question to the gRPC health service of the pod."""

    port: Port | None = None
    """Port of the gRPC health service; the service's own port when absent."""
    service: Annotated[str, Field(max_length=253)] = ""
    """Name asked of the gRPC health service."""


class ExecCommand(Model):
    """A command in the container."""

    command: Annotated[tuple[Argument, ...], Field(min_length=1, max_length=64)]
    """Command run inside the container; exit code 0 is a success."""


class Probe(Model):
    """How to ask a container for its health; exactly one of the four ways is set."""

    http_get: HttpGet | None = None
    """An HTTP GET."""
    tcp_socket: TcpSocket | None = None
    """A TCP connection."""
    grpc: GrpcCheck | None = None
    """The gRPC health service."""
    exec: ExecCommand | None = None
    """A command in the container."""
    initial_delay_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    """Seconds before the first question."""
    period_seconds: Annotated[int, Field(ge=1, le=3600)] = 5
    """Seconds between questions."""
    timeout_seconds: Annotated[int, Field(ge=1, le=300)] = 2
    """Seconds an answer may take."""
    success_threshold: Annotated[int, Field(ge=1, le=100)] = 1
    """Successes in a row that make it healthy."""
    failure_threshold: Annotated[int, Field(ge=1, le=100)] = 3
    """Failures in a row that make it unhealthy."""


class Probes(Model):
    """Absent ones are made from the service's port: readiness `GET /readyz`, liveness and startup a TCP connection."""

    readiness: Probe | None = None
    """May this pod be sent traffic?"""
    liveness: Probe | None = None
    """Must this container be restarted?"""
    startup: Probe | None = None
    """Has it started? The other two wait for this one."""


class EmptyDir(Model):
    """A directory that lives as long as the pod."""

    size_limit: Size = "64Mi"
    """Bytes it may hold before the pod is evicted."""
    medium: Literal["", "Memory"] = ""
    """`Memory` for a tmpfs, empty for the node's disk."""


class ClaimRef(Model):
    """A PersistentVolumeClaim of the slice's namespace."""

    claim_name: ObjectName
    """Name of the PersistentVolumeClaim."""


class Volume(Model):
    """A volume and where it is mounted; exactly one source is set."""

    name: DnsLabel
    """Name of the volume, unique in the service; not beginning with `rslice-`."""
    mount_path: PathPrefix
    """Where the container sees it, unique in the service. Only an emptyDir may take the place of `/tmp`."""
    sub_path: RelativePath | None = None
    """Path inside the volume to mount instead of its root."""
    read_only: bool = True
    """Mount it read-only; an emptyDir is always writable."""
    secret: ObjectRef | None = None
    """A Secret, one file a key."""
    config_map: ObjectRef | None = None
    """A ConfigMap, one file a key."""
    empty_dir: EmptyDir | None = None
    """A directory that lives as long as the pod."""
    persistent_volume_claim: ClaimRef | None = None
    """A claim that exists already."""


class Toleration(Model):
    """A taint that the pods put up with."""

    key: Annotated[str, Field(max_length=317)] = ""
    """Taint key; empty with operator `Exists` matches all."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """`Equal` or `Exists`."""
    value: LabelValue = ""
    """Taint value, for `Equal`; empty by default."""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    """Effect to tolerate; empty for all."""
    toleration_seconds: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """Seconds a `NoExecute` taint is tolerated; absent: for ever."""


class Scheduling(Model):
    """Where the pods may run."""

    node_selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] = Field(default_factory=dict)
    """Labels a node must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    """Taints that are tolerated."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the pods."""
    affinity: dict[str, Any] | None = None
    """Kubernetes affinity, passed on as it is; spread over nodes and zones is the default."""
