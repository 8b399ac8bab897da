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
    """Handling of data when the slice is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class Spec(Model):
    """Desired state of the slice."""

    services: Annotated[tuple[Service, ...], Field(min_length=1, max_length=64)]
    """Desired services."""
    front: Front = Field(default_factory=Front)
    """External entry point."""
    proxy: Proxy = Field(default_factory=Proxy)
    """Envoy proxies of the slice."""
    resilience: Resilience = Field(default_factory=Resilience)
    """Resilience of calls to services. A service can override it."""
    rate_limit: RateLimit | None = None
    """Rate limits by tenant. Default: none."""
    canary: Canary | None = None
    """Rollout of new revisions by canary. Default: a rolling update."""
    stores: Stores = Field(default_factory=Stores)
    """Backing stores."""
    backup: Backup | None = None
    """Backups of the managed stores. Default: none."""
    slo: Slo = Field(default_factory=Slo)
    """Service level objective."""
    suspend: bool = False
    """Stop reconciling. Running pods and proxies are left unchanged."""
    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    """Whether volumes, credentials and backups are retained or deleted with the slice."""
    restarted_at: Timestamp = ""
    """Timestamp in RFC 3339. A new value makes a new revision, which restarts every service."""


class Metadata(Model):
    """Object metadata, as far as it is used."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(pattern=DNS_LABEL_PATTERN, min_length=1, max_length=MAX_SLICE_NAME)]
    """Name of the slice: a DNS label of at most 30 characters."""
    namespace: Annotated[str, Field(max_length=63)] = "default"
    """Namespace."""
    uid: str = ""
    """Set by the API server; empty offline."""
    generation: int = 0
    """Set by the API server; 0 offline."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations."""


class ResilientSlice(Model):
    """A vertical slice of an application: its services, their stores and their resilience."""

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
