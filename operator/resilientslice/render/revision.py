"""A revision: what of a slice ends up in its services' pods, frozen under a name.

Revisions are compared by the user's own words (`content`), never by what was rendered from them, and fields left at
their default are not part of it. So an operator that renders differently, or knows more fields, makes no new revision
and restarts no pod: the templates of a revision are applied as they were first rendered.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from resilientslice.api.policies import CanaryHeader, RateLimit
from resilientslice.api.services import Service
from resilientslice.api.slice import ResilientSlice, Spec
from resilientslice.render.environment import charges_tenants
from resilientslice.render.names import allocate_ports
from resilientslice.render.pods import render_pod_template
from resilientslice.render.transit import AT_REST, Transit, target_of

POD_FIELDS = frozenset(
    {
        "image",
        "command",
        "args",
        "env",
        "env_from",
        "resources",
        "probes",
        "volumes",
        "image_pull_secrets",
        "scheduling",
        "termination_grace_period",
        "port",
        "protocol",
        "depends_on",
        "stores",
    }
)
"""The fields of a service that its pods are made from. A change to any other field acts at once, without a revision."""


@dataclass(frozen=True, slots=True)
class ServiceRevision:
    """One service in a revision. `spec` is complete, also where it is not compared; `template` is as first rendered.

    `transit` is nothing of the revision: see there.
    """

    spec: Service
    digest: str
    internal_port: int | None
    template: Mapping[str, Any]
    transit: Transit = AT_REST

    @property
    def port(self) -> int | None:
        return self.spec.port

    @property
    def specs(self) -> tuple[Service, ...]:
        """Its own, and those that former pods were made from, newest first."""
        return self.spec, *(former.spec for former in self.transit.former)

    @property
    def called(self) -> Service | None:
        """The newest of these with a port; None if none has one."""
        return next((spec for spec in self.specs if spec.port is not None), None)


@dataclass(frozen=True, slots=True)
class Revision:
    name: str
    content: Mapping[str, Any]
    services: Mapping[str, ServiceRevision]


def revision_of(
    slice_: ResilientSlice,
    *,
    after: Revision | None = None,
    taken: Sequence[Revision] = (),
    sleep_action: bool = True,
) -> Revision:
    """The revision that a slice's spec asks for.

    `after` is an earlier one whose internal ports are kept; those of `taken`, newest first, are in use as well.
    `sleep_action` says that the cluster knows the preStop action `sleep` (Kubernetes 1.30 and later; 1.29 only behind a
    feature gate). None of them is part of the content.
    """
    content = {name: _content(slice_.spec, service) for name, service in _by_name(slice_.spec).items()}
    previous = _internal_ports(after, taken)
    ports = allocate_ports((s.name for s in slice_.spec.services if s.port is not None), previous)
    services = {
        name: ServiceRevision(
            spec=service,
            digest=digest(content[name]),
            internal_port=ports.get(name),
            template=render_pod_template(slice_, service, digest=digest(content[name]), sleep_action=sleep_action),
        )
        for name, service in _by_name(slice_.spec).items()
    }
    return Revision(name=f"{slice_.name}-{digest(content)}", content=content, services=services)


def refreshed(kept: Revision, wanted: Revision) -> Revision:
    """`kept` with what is not compared (replicas, routes, egress …) taken from `wanted`, which has the same content."""
    services = {name: replace(old, spec=wanted.services[name].spec) for name, old in kept.services.items()}
    return replace(kept, services=services)


def changed_services(stable: Revision, wanted: Revision) -> frozenset[str]:
    """Services of `wanted` with a port that are new or differ: those that get a canary track."""
    return frozenset(
        name
        for name, service in wanted.services.items()
        if service.port is not None and (name not in stable.services or stable.services[name].digest != service.digest)
    )


def moved_services(stable: Revision, wanted: Revision) -> frozenset[str]:
    """Services of both that listen on another port in `wanted`, speak another protocol, or are called in one only."""
    return frozenset(
        name
        for name, service in wanted.services.items()
        if name in stable.services and target_of(stable.services[name].spec) != target_of(service.spec)
    )


def revision_to_json(revision: Revision) -> dict[str, Any]:
    """What a ControllerRevision, or a state file, holds."""
    return {
        "name": revision.name,
        "content": dict(revision.content),
        "services": {
            name: {
                "spec": spec_to_json(service),
                "digest": service.digest,
                "internalPort": service.internal_port,
                "template": dict(service.template),
            }
            for name, service in revision.services.items()
        },
    }


def spec_to_json(service: ServiceRevision) -> dict[str, Any]:
    return service.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def revision_from_json(data: Mapping[str, Any]) -> Revision:
    """Fields that the API has lost since are left out: they don't make a revision unreadable."""
    return Revision(
        name=data["name"],
        content=data["content"],
        services={
            name: ServiceRevision(
                spec=Service.model_validate_json(json.dumps(entry["spec"]), extra="ignore"),
                digest=entry["digest"],
                internal_port=entry["internalPort"],
                template=entry["template"],
            )
            for name, entry in data["services"].items()
        },
    )


def digest(value: Any) -> str:
    """Ten hexadecimal digits of the canonical JSON: short enough for a name, 40 bits against an accident."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:10]


def _internal_ports(after: Revision | None, taken: Sequence[Revision]) -> dict[str, int]:
    """Newest last, so that the ports of `after` hold."""
    ports: dict[str, int] = {}
    for revision in (*taken[::-1], *([after] if after else [])):
        ports |= {name: service.internal_port for name, service in revision.services.items() if service.internal_port}
    return ports


def _by_name(spec: Spec) -> dict[str, Service]:
    return {service.name: service for service in sorted(spec.services, key=lambda s: s.name)}


def _content(spec: Spec, service: Service) -> dict[str, Any]:
    """What the user said that reaches the pods: own fields, ports of what it calls, places of its stores, headers."""
    ports = {other.name: other.port for other in spec.services}
    content: dict[str, Any] = service.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, include=set(POD_FIELDS)
    )
    calls = {name: ports.get(name) for name in sorted(service.depends_on)}
    stores = {store.value: _store_source(spec, store.value) for store in sorted(service.stores)}
    extra = {
        "calls": calls,
        "storeSources": stores,
        "headers": _headers(spec),
        # that its pods get limits, not which: those change while they run
        "limits": "Middleware" if charges_tenants(spec, service) else "",
        "restartedAt": spec.restarted_at,
    }
    return content | {key: value for key, value in extra.items() if value}


def _headers(spec: Spec) -> dict[str, str]:
    """Headers that services pass on, where they aren't the usual ones. A service that keeps passing the old ones
    would lose the tenant, or the tester, at the next hop."""
    tenant = spec.rate_limit.tenant_header if spec.rate_limit else RateLimit().tenant_header
    canary = spec.canary.header.name if spec.canary else CanaryHeader().name
    given = {"tenant": tenant, "canary": canary}
    usual = {"tenant": RateLimit().tenant_header, "canary": CanaryHeader().name}
    return {key: name for key, name in given.items() if name != usual[key]}


def _store_source(spec: Spec, store: str) -> str:
    variants = getattr(spec.stores, store)
    if variants is None:
        return ""
    if variants.external:
        return str(variants.external.secret_name)
    return "cnpg" if getattr(variants, "cnpg", None) else "managed"
