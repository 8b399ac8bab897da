"""What the operator observed. Nothing here is wanted; everything here was seen."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from resilientslice.api.base import Model
from resilientslice.api.reasons import Reason
from resilientslice.api.scalars import Percent

Name = Annotated[str, Field(max_length=253)]
Message = Annotated[str, Field(max_length=4096)]
Time = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]
Amount = Annotated[int, Field(ge=0, le=1_000_000)]

NEVER = "1970-01-01T00:00:00Z"
"""Time of conditions that nobody has found yet: the API server sets them when a slice is created."""


class Phase(StrEnum):
    """Summary of the slice in one word."""

    PENDING = "Pending"
    READY = "Ready"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    STALLED = "Stalled"
    SUSPENDED = "Suspended"


class ConditionType(StrEnum):
    """The conditions that the operator writes."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    CONFIG_ACCEPTED = "ConfigAccepted"
    CANARY_HEALTHY = "CanaryHealthy"
    NAME_CONFLICT = "NameConflict"
    FIELD_CONFLICT = "FieldConflict"
    OPERATOR_CONFLICT = "OperatorConflict"
    FIELDS_IGNORED = "FieldsIgnored"


Truth = Literal["True", "False", "Unknown"]
TRUE: Truth = "True"
FALSE: Truth = "False"
UNKNOWN: Truth = "Unknown"


class Condition(Model):
    """A condition, as in the Kubernetes API conventions."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    """Type of the condition: Ready, Reconciling, Stalled, ConfigAccepted, …"""
    status: Truth
    """Status of the condition: True, False or Unknown."""
    reason: Annotated[str, Field(max_length=128)] = ""
    """Reason in one word."""
    message: Message = ""
    """Explanation, and what to do."""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    """Generation of the resource that the condition was computed for."""
    last_transition_time: Time
    """Time of the last change of `status`."""


class RevisionStatus(Model):
    """Revisions of the tracks."""

    stable: Name = ""
    """Revision of the stable track."""
    canary: Name = ""
    """Revision of the canary track. Empty without a canary."""


class Pin(Model):
    """A pinned weight and its revision."""

    weight: Percent
    """Pinned weight, in percent."""
    revision: Name
    """Revision that was current when the weight last changed. The weight applies only to it."""


class CanaryStatus(Model):
    """State of the canary."""

    phase: Annotated[str, Field(max_length=32)] = ""
    """Phase: Idle, Starting, Progressing, Paused, Promoting, Draining or Aborted."""
    weight: Percent = 0
    """Share of the traffic that every proxy sends to the canary, in percent."""
    step: Annotated[int, Field(ge=0, le=32)] = 0
    """Current step, from 1; 0 outside the steps."""
    pin: Pin | None = None
    """Pinned weight and its revision."""
    message: Message = ""
    """What the canary is waiting for, or why it stopped, and what to do."""
    since: Time | None = None
    """Start of this phase."""


class ConfigStatus(Model):
    """Configuration of the proxies."""

    digest: Annotated[str, Field(max_length=128)] = ""
    """Digest of the desired configuration."""
    acked: Amount = 0
    """Number of proxies that acknowledged it."""
    total: Amount = 0
    """Number of proxies."""
    rejected: Message = ""
    """Envoy's error, if a proxy rejected it."""


class BurnRate(Model):
    """Burn rate of the error budget in a window."""

    window: Annotated[str, Field(max_length=16)]
    """Window, such as `1h`."""
    rate: Annotated[str, Field(max_length=16)]
    """Burn rate, a decimal: 1 spends the budget exactly over the window of the objective."""


class SloStatus(Model):
    """Objective and error budget."""

    objective: Annotated[str, Field(max_length=8)] = ""
    """Objective that the values were computed for."""
    sli: Annotated[str, Field(max_length=16)] = ""
    """Share of successful requests in the window, in percent."""
    budget_remaining: Annotated[str, Field(max_length=16)] = ""
    """Remaining error budget, in percent."""
    burn_rates: Annotated[tuple[BurnRate, ...], Field(max_length=16)] = ()
    """Burn rates by window."""
    state: Annotated[str, Field(max_length=16)] = ""
    """State: Met, Burning, Exhausted, NoTraffic or NoData."""


class Ejection(Model):
    """An ejected host."""

    service: Name
    """Service of the host."""
    host: Name
    """Address of the host."""
    pod: Name = ""
    """Pod of the host."""
    since: Time | None = None
    """Time when the ejection was first observed."""
    envoys: Annotated[str, Field(max_length=16)]
    """Proxies that eject the host, out of all: `1/2`."""


class ServiceStatus(Model):
    """Replicas of a service."""

    name: Name
    """Name of the service."""
    ready: Amount = 0
    """Number of ready stable replicas."""
    desired: Amount = 0
    """Number of desired stable replicas."""
    canary_ready: Amount = 0
    """Number of ready canary replicas."""


class StoreStatus(Model):
    """A store run by the slice."""

    name: Name
    """Name of the store: postgres or redis."""
    ready: Amount = 0
    """Number of ready instances."""
    desired: Amount = 0
    """Number of desired instances."""
    storage: Annotated[str, Field(max_length=64)] = ""
    """Capacity of the volume. Empty without a volume. Managed stores only."""
    requested_storage: Annotated[str, Field(max_length=64)] = ""
    """Size requested by the volume claim."""


class BackupStatus(Model):
    """Last backups that were verified."""

    last_successful_time: Time | None = None
    """Time of the last backup that was written and read back."""
    last_verified_restore: Time | None = None
    """Time of the last restore that was verified."""


class Status(Model):
    """Observed state of the slice."""

    observed_generation: Annotated[int, Field(ge=0)] = 0
    """Generation of the resource that the status was computed for."""
    phase: Phase = Phase.PENDING
    """Summary in one word. Tools should read the conditions."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=32)] = ()
    """Conditions, compatible with kstatus."""
    revision: RevisionStatus = Field(default_factory=RevisionStatus)
    """Revisions of the tracks."""
    canary: CanaryStatus = Field(default_factory=CanaryStatus)
    """State of the canary."""
    config: ConfigStatus = Field(default_factory=ConfigStatus)
    """Configuration of the proxies."""
    slo: SloStatus = Field(default_factory=SloStatus)
    """Objective and error budget."""
    ejections: Annotated[tuple[Ejection, ...], Field(max_length=256)] = ()
    """Ejected hosts."""
    ejected: Amount = 0
    """Number of ejected hosts."""
    services: Annotated[tuple[ServiceStatus, ...], Field(max_length=128)] = ()
    """Replicas by service."""
    stores: Annotated[tuple[StoreStatus, ...], Field(max_length=8)] = ()
    """Instances and volumes by store."""
    backup: BackupStatus = Field(default_factory=BackupStatus)
    """Verified backups."""


WAITING = Status(
    conditions=tuple(
        Condition(
            type=kind.value,
            status=truth,
            reason=Reason.PENDING.value,
            message="Waiting for the operator.",
            last_transition_time=NEVER,
        )
        for kind, truth in ((ConditionType.READY, UNKNOWN), (ConditionType.RECONCILING, TRUE))
    )
)
"""Status of a slice that the operator has not looked at. Without it, tools take a new slice for one that is done."""
