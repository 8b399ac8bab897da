"""What the rules see of a resource: the parts that fit the schema, so that one typing error doesn't hide the rest."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from resilientslice.api.base import Model
from resilientslice.api.policies import Canary, RateLimit, Resilience, Slo, effective_resilience
from resilientslice.api.problems import Path
from resilientslice.api.services import Service
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.stores import Backup, Front, Proxy, Stores

AnyModel = TypeVar("AnyModel", bound=Model)


@dataclass(frozen=True, slots=True)
class Entry:
    """A service that fits the schema, and its place in the list."""

    index: int
    spec: Service

    def at(self, *path: str | int) -> Path:
        return ("spec", "services", self.index, *path)


@dataclass(frozen=True, slots=True)
class Declared:
    """What can be told of any service, also of one that doesn't fit the schema. An unknown port counts as one."""

    index: int
    name: str
    has_port: bool


@dataclass(frozen=True, slots=True)
class Draft:
    """A resource as far as it can be read. A section is None when it is absent without a default, or unreadable."""

    name: str
    services: tuple[Entry, ...]
    declared: tuple[Declared, ...]
    store_names: frozenset[str] | None
    front: Front | None
    proxy: Proxy | None
    resilience: Resilience | None
    rate_limit: RateLimit | None
    canary: Canary | None
    stores: Stores | None
    backup: Backup | None
    slo: Slo | None

    def resilience_of(self, service: Service) -> Resilience | None:
        """The effective policy of a service; None when the slice's own can't be read."""
        return effective_resilience(self.resilience, service.resilience) if self.resilience else None


def draft_of(slice_: ResilientSlice) -> Draft:
    spec = slice_.spec
    return Draft(
        name=slice_.name,
        services=tuple(Entry(index, service) for index, service in enumerate(spec.services)),
        declared=tuple(Declared(index, s.name, s.port is not None) for index, s in enumerate(spec.services)),
        store_names=_store_names(spec.stores.model_dump(exclude_none=True)),
        front=spec.front,
        proxy=spec.proxy,
        resilience=spec.resilience,
        rate_limit=spec.rate_limit,
        canary=spec.canary,
        stores=spec.stores,
        backup=spec.backup,
        slo=spec.slo,
    )


def partial_draft(data: Mapping[str, Any], broken: frozenset[Path]) -> Draft:
    """The readable parts of a document that doesn't fit the schema. `broken` are the places that don't."""
    spec = data.get("spec")
    if not isinstance(spec, Mapping):
        spec = {}
    sections = _Sections(spec, frozenset(path[1] for path in broken if path[0] == "spec" and len(path) > 1))
    metadata = data.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    services = spec.get("services")
    listed = services if isinstance(services, list) else []
    unreadable = {path[2] for path in broken if path[:2] == ("spec", "services") and len(path) > 2}
    return Draft(
        name=name if isinstance(name, str) else "",
        services=tuple(
            Entry(index, _parse(Service, raw)) for index, raw in enumerate(listed) if index not in unreadable
        ),
        declared=tuple(_declared(listed, unreadable)),
        store_names=_store_names(spec.get("stores", {})),
        front=sections.read("front", Front) or sections.default("front", Front()),
        proxy=sections.read("proxy", Proxy) or sections.default("proxy", Proxy()),
        resilience=sections.read("resilience", Resilience) or sections.default("resilience", Resilience()),
        rate_limit=sections.read("rateLimit", RateLimit),
        canary=sections.read("canary", Canary),
        stores=sections.read("stores", Stores) or sections.default("stores", Stores()),
        backup=sections.read("backup", Backup),
        slo=sections.read("slo", Slo) or sections.default("slo", Slo()),
    )


@dataclass(frozen=True, slots=True)
class _Sections:
    spec: Mapping[str, Any]
    broken: frozenset[str | int]

    def read(self, name: str, model: type[AnyModel]) -> AnyModel | None:
        return _parse(model, self.spec[name]) if name in self.spec and name not in self.broken else None

    def default(self, name: str, value: AnyModel) -> AnyModel | None:
        return value if name not in self.spec else None


def _parse(model: type[AnyModel], raw: Any) -> AnyModel:
    return model.model_validate_json(json.dumps(raw), by_alias=True, by_name=False)


def _declared(services: list[Any], unreadable: set[str | int]) -> Iterator[Declared]:
    for index, raw in enumerate(services):
        if isinstance(raw, Mapping) and isinstance(raw.get("name"), str):
            yield Declared(index, raw["name"], "port" in raw or index in unreadable)


def _store_names(stores: Any) -> frozenset[str] | None:
    """Names of the stores that a spec has, whether or not they are readable; None when that can't be told."""
    return frozenset(map(str, stores)) if isinstance(stores, Mapping) else None
