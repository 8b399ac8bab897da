"""The resource itself: `ResilientSlice`, its spec, and where its names come from."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from resilientslice.api.base import Model
from resilientslice.api.policies import Canary, RateLimit, Resilience, Slo, effective_resilience
from resilientslice.api.scalars import DNS_LABEL_PATTERN, Timestamp
from resilientslice.api.services import Service
from resilientslice.api.status import Status
from resilientslice.api.stores import Backup, Front, Proxy, Stores

GROUP = "resilientslice.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ResilientSlice"
PLURAL = "resilientslices"
SINGULAR = "resilientslice"
SHORT_NAME = "rslice"

MAX_SLICE_NAME = 30
"""`SLICE-SERVICE-canary` must fit the 63 characters of a Service name: 30 + 1 + 24 + 7."""

BAD_NAME = f"a slice's name must be a DNS label of at most {MAX_SLICE_NAME} characters"


class DeletionPolicy(StrEnum):
    """What becomes of the data of a slice that is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class Spec(Model):
    """What is wanted of the slice."""

    services: Annotated[tuple[Service, ...], Field(min_length=1, max_length=64)]
    """The services, as they should become."""
    front: Front = Field(default_factory=Front)
    """The way in."""
    proxy: Proxy = Field(default_factory=Proxy)
    """The slice's Envoys."""
    resilience: Resilience = Field(default_factory=Resilience)
    """How calls to the services survive; each service may differ."""
    rate_limit: RateLimit | None = None
    """Limits by tenant; absent: none."""
    canary: Canary | None = None
    """How a new revision gets its traffic; absent: a plain rolling update."""
    stores: Stores = Field(default_factory=Stores)
    """PostgreSQL and Redis."""
    backup: Backup | None = None
    """Backups of the managed stores; absent: none."""
    slo: Slo = Field(default_factory=Slo)
    """The objective."""
    suspend: bool = False
    """Stop reconciling, keep serving."""
    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    """Whether volumes, credentials and backups outlive the slice."""
    restarted_at: Timestamp = ""
    """A moment as in RFC 3339, empty for never. A new value restarts every service: it is part of the revision."""


class Metadata(Model):
    """The part of Kubernetes' metadata that matters here; the rest is passed by."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(pattern=DNS_LABEL_PATTERN, min_length=1, max_length=MAX_SLICE_NAME)]
    """Name of the slice: a DNS label of at most 30 characters."""
    namespace: Annotated[str, Field(max_length=63)] = "default"
    """Namespace."""
    uid: str = ""
    """Given by the API server; empty offline."""
    generation: int = 0
    """Given by the API server; 0 offline."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations."""


class ResilientSlice(Model):
    """A vertical slice of an application: its services, and how they must survive."""

    api_version: Literal["resilientslice.dev/v1alpha1"]
    kind: Literal["ResilientSlice"]
    metadata: Metadata
    spec: Spec
    status: Status = Field(default_factory=Status)

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    def service(self, name: str) -> Service | None:
        """The service of that name in the wanted state, or None: it may live on in the stable revision."""
        return next((service for service in self.spec.services if service.name == name), None)

    def resilience_of(self, service: Service) -> Resilience:
        """The policy of a service: its own fields over the slice's."""
        return effective_resilience(self.spec.resilience, service.resilience)
