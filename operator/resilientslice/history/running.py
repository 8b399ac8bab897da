"""Revisions read off what runs, when nobody remembers what it was made from.

A Deployment carries the digest of its service's template. A stored revision that has the same digests is what runs; one
that has not is never guessed at: then the Deployment's own template stands for itself, and nothing restarts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from resilientslice.api.services import Protocol, Service, StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.render.environment import STORE_VARIABLES
from resilientslice.render.names import LABEL_TRACK, Track, allocate_ports, url_variable
from resilientslice.render.revision import Revision, ServiceRevision, digest


@dataclass(frozen=True, slots=True)
class Running:
    """The Deployment of one service on one track. `digest` is empty where it doesn't say."""

    service: str
    track: Track
    digest: str
    template: Mapping[str, Any]
    """Without the label of the track, as in a revision."""
    replicas: int
    internal_port: int | None = None
    """Port on the proxies that callers of the service are sent to."""


def running_of(deployment: Mapping[str, Any], service: str, track: Track, noted: str, port: int | None) -> Running:
    """Of a Deployment as the API server has it. `noted`: the digest in its annotation."""
    spec = deployment["spec"]
    found = {key: value for key, value in spec["template"]["metadata"].items() if value is not None}
    labels = {key: value for key, value in (found.get("labels") or {}).items() if key != LABEL_TRACK}
    template = {**spec["template"], "metadata": {**found, "labels": labels}}
    return Running(service, track, noted or digest(template), template, spec.get("replicas", 1), port)


def revision_that_runs(
    slice_: ResilientSlice, running: Sequence[Running], known: Iterable[Revision], base: Revision | None = None
) -> Revision:
    """The first of `known` that all of `running` are made from, or else one that is composed of them, service by
    service. It has the services that run and those of `base`; without `base` exactly those that run."""
    known = tuple(known)
    names = {found.service for found in running}
    for revision in known:
        if made_from(revision, running) and (base is not None or revision.services.keys() == names):
            return _with_ports(revision, running)
    return _with_ports(_composed(slice_, running, known, base), running)


def made_from(revision: Revision, running: Iterable[Running]) -> bool:
    digests = {name: service.digest for name, service in revision.services.items()}
    return all(digests.get(found.service) == found.digest for found in running)


def as_it_runs(revision: Revision, running: Iterable[Running]) -> Revision:
    """`revision`, rendered now, with the templates that services run already, where they were made from the same."""
    templates = {(found.service, found.digest): found.template for found in running}
    services = {
        name: replace(service, template=templates.get((name, service.digest), service.template))
        for name, service in revision.services.items()
    }
    return replace(revision, services=services)


def _composed(
    slice_: ResilientSlice, running: Sequence[Running], known: Sequence[Revision], base: Revision | None
) -> Revision:
    content: dict[str, Any] = dict(base.content) if base else {}
    services = dict(base.services) if base else {}
    for found in running:
        content[found.service], services[found.service] = _service(slice_, found, known)
    content = dict(sorted(content.items()))
    return Revision(f"{slice_.name}-{digest(content)}", content, dict(sorted(services.items())))


def _service(
    slice_: ResilientSlice, found: Running, known: Sequence[Revision]
) -> tuple[Mapping[str, Any], ServiceRevision]:
    """What the service was made from, as far as that is known, and the service."""
    for revision in known:
        service = revision.services.get(found.service)
        if service is not None and service.digest == found.digest:
            return revision.content[found.service], service
    spec = _spec(slice_, found, frozenset(name for revision in known for name in revision.services))
    return {"template": found.digest}, ServiceRevision(spec, found.digest, None, found.template)


def _spec(slice_: ResilientSlice, found: Running, names: frozenset[str]) -> Service:
    """Of a service of which nobody knows what it was made from: its calls and stores are read off its variables."""
    containers = found.template["spec"]["containers"]
    container = next((one for one in containers if one["name"] == found.service), containers[0])
    port: Mapping[str, Any] = next(iter(container.get("ports") or ()), {})
    variables = {variable["name"] for variable in container.get("env") or ()}
    base = slice_.service(found.service) or Service(name=found.service, image=container["image"])
    return base.model_copy(
        update={
            "image": container["image"],
            "port": port.get("containerPort"),
            "protocol": Protocol.GRPC if port.get("name") == "grpc" else Protocol.HTTP,
            "depends_on": tuple(sorted(name for name in names if url_variable(name) in variables)),
            "stores": tuple(store for store in StoreName if STORE_VARIABLES[store] in variables),
        }
    )


def _with_ports(revision: Revision, running: Iterable[Running]) -> Revision:
    """Listeners on the proxies stay where callers are sent."""
    sent = {found.service: found.internal_port for found in running if found.internal_port is not None}
    kept = {name: service.internal_port for name, service in revision.services.items()}
    before = {name: port for name, port in (kept | sent).items() if port is not None}
    ports = allocate_ports((name for name, service in revision.services.items() if service.port is not None), before)
    services = {name: replace(service, internal_port=ports.get(name)) for name, service in revision.services.items()}
    return replace(revision, services=services)
