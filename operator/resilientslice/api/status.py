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
    """One word for the whole slice."""

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
    """One thing that was observed, as Kubernetes writes conditions."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    """Kind of the condition: Ready, Reconciling, Stalled, ConfigAccepted, …"""
    status: Truth
    """True, False or Unknown."""
    reason: Annotated[str, Field(max_length=128)] = ""
    """One word why."""
    message: Message = ""
    """A sentence why, and what to do."""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    """Generation of the resource this was said of."""
    last_transition_time: Time
    """When the status last changed."""


class RevisionStatus(Model):
    """What the tracks run."""

    stable: Name = ""
    """Revision that the stable track runs."""
    canary: Name = ""
    """Revision that the canary track runs; empty when there is none."""


class Pin(Model):
    """A weight pinned by hand, and what it belongs to."""

    weight: Percent
    """Pinned weight."""
    revision: Name
    """Revision that was current when the value last changed: the only one it acts on."""


class CanaryStatus(Model):
    """Where the canary stands."""

    phase: Annotated[str, Field(max_length=32)] = ""
    """Where the canary is: Idle, Starting, Progressing, Paused, Promoting, Draining, Aborted."""
    weight: Percent = 0
    """Percent that the proxies draw for the canary."""
    step: Annotated[int, Field(ge=0, le=32)] = 0
    """Step under way, from 1; 0 outside the steps."""
    pin: Pin | None = None
    """Weight pinned by hand and its revision."""
    message: Message = ""
    """What it waits for, or why it stopped, and what to do."""
    since: Time | None = None
    """When this phase began."""


class ConfigStatus(Model):
    """What every Envoy says it runs."""

    digest: Annotated[str, Field(max_length=128)] = ""
    """Digest of the configuration that is wanted."""
    acked: Amount = 0
    """Envoys that run it."""
    total: Amount = 0
    """Envoys there are."""
    rejected: Message = ""
    """Why an Envoy refused it, in Envoy's words."""


class BurnRate(Model):
    """How fast the error budget was spent in a window."""

    window: Annotated[str, Field(max_length=16)]
    """Window, `1h`."""
    rate: Annotated[str, Field(max_length=16)]
    """Budget spent in it, as a multiple of what would just last: a decimal."""


class SloStatus(Model):
    """The objective and what is left of its budget."""

    objective: Annotated[str, Field(max_length=8)] = ""
    """Objective this was computed for."""
    sli: Annotated[str, Field(max_length=16)] = ""
    """Percent of the requests that succeeded in the window."""
    budget_remaining: Annotated[str, Field(max_length=16)] = ""
    """Percent of the error budget that is left."""
    burn_rates: Annotated[tuple[BurnRate, ...], Field(max_length=16)] = ()
    """How fast the budget burns."""
    state: Annotated[str, Field(max_length=16)] = ""
    """Met, Burning, Exhausted, NoTraffic or NoData."""


class Ejection(Model):
    """A host that Envoys leave out."""

    service: Name
    """Service the host belongs to."""
    host: Name
    """Its address."""
    pod: Name = ""
    """Its pod."""
    since: Time | None = None
    """When it was first seen ejected."""
    envoys: Annotated[str, Field(max_length=16)]
    """How many Envoys agree: `1/2`."""


class ServiceStatus(Model):
    """Replicas of one service."""

    name: Name
    """Service."""
    ready: Amount = 0
    """Ready stable replicas."""
    desired: Amount = 0
    """Wanted stable replicas."""
    canary_ready: Amount = 0
    """Ready canary replicas."""


class StoreStatus(Model):
    """One store that the slice runs."""

    name: Name
    """Store: postgres or redis."""
    ready: Amount = 0
    """Ready instances."""
    desired: Amount = 0
    """Desired instances."""
    storage: Annotated[str, Field(max_length=64)] = ""
    """Size of the volume as it is; empty while there is none. Managed stores only."""
    requested_storage: Annotated[str, Field(max_length=64)] = ""
    """Size that the volume claim asks for."""


class BackupStatus(Model):
    """When backups were last seen to work."""

    last_successful_time: Time | None = None
    """When the last backup was written and read back."""
    last_verified_restore: Time | None = None
    """When a restore was last tried and compared."""


class Status(Model):
    """What the operator observed."""

    observed_generation: Annotated[int, Field(ge=0)] = 0
    """Generation of the resource this status was computed for."""
    phase: Phase = Phase.PENDING
    """One word for people; machines read the conditions."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=32)] = ()
    """Ready, Reconciling, Stalled and more, as kstatus reads them."""
    revision: RevisionStatus = Field(default_factory=RevisionStatus)
    """Revisions of both tracks."""
    canary: CanaryStatus = Field(default_factory=CanaryStatus)
    """The canary."""
    config: ConfigStatus = Field(default_factory=ConfigStatus)
    """Which Envoys run which configuration."""
    slo: SloStatus = Field(default_factory=SloStatus)
    """The objective and its budget."""
    ejections: Annotated[tuple[Ejection, ...], Field(max_length=256)] = ()
    """Hosts that are ejected now."""
    ejected: Amount = 0
    """How many they are: kubectl prints a number, it can't count."""
    services: Annotated[tuple[ServiceStatus, ...], Field(max_length=128)] = ()
    """Replicas of each service."""
    stores: Annotated[tuple[StoreStatus, ...], Field(max_length=8)] = ()
    """Instances and volumes of each store that the slice runs."""
    backup: BackupStatus = Field(default_factory=BackupStatus)
    """Backups."""


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
