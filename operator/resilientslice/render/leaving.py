"""Former stable revisions whose pods may still run: what of them has to stay until the last of those has ended.

A rolling update takes a while, and the pods that it replaces keep calling what their revision told them to. So a
service, a call, a store or a port that the newest stable revision lacks stays reachable until nothing that knows of it
is left.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from resilientslice.render.revision import Revision, ServiceRevision
from resilientslice.render.transit import Former, Stage, Target, Transit, target_of

MOST_LEAVING = 3
"""Revisions that are kept. Of more, the oldest stays, because its pods are the ones that serve, and the newest ones."""


def kept(stable: Revision, candidates: Iterable[Revision]) -> tuple[Revision, ...]:
    """Those of `candidates`, newest first, with anything that neither `stable` nor a newer one has."""
    known, found = _facts(stable), list[Revision]()
    for revision in candidates:
        facts = _facts(revision)
        if not facts <= known:
            known |= facts
            found.append(revision)
    return tuple(found if len(found) <= MOST_LEAVING else [*found[: MOST_LEAVING - 1], found[-1]])


def grace_seconds(leaving: Iterable[Revision]) -> float:
    """Longest time that one of their pods may take to end."""
    templates = (service.template for revision in leaving for service in revision.services.values())
    return max((float(template["spec"]["terminationGracePeriodSeconds"]) for template in templates), default=0.0)


def removed_services(stable: Revision, leaving: Iterable[Revision]) -> frozenset[str]:
    """Services that only former revisions have."""
    return frozenset(name for revision in leaving for name in revision.services) - stable.services.keys()


def in_transit(
    stable: Revision,
    leaving: Sequence[Revision],
    *,
    stage: Stage = Stage.ROLLING,
    aims: Mapping[str, Target] | None = None,
    floors: Mapping[str, int] | None = None,
) -> Revision:
    """`stable` as it is to be rendered: with the services of `leaving` (newest first) that it lacks, and with what pods
    of former revisions still need. Names and templates are those of the revisions."""
    aims, floors = aims or {}, floors or {}
    if not (leaving or aims or floors):
        return stable
    newest: dict[str, ServiceRevision] = {}
    for revision in (*leaving[::-1], stable):
        newest |= revision.services
    return replace(
        stable,
        services={
            name: replace(
                service,
                transit=Transit(
                    former=_former(service, name, leaving),
                    aim=aims.get(name),
                    floor=floors.get(name, 0),
                    stage=stage,
                    removed=name not in stable.services,
                ),
            )
            for name, service in sorted(newest.items())
        },
    )


def _former(service: ServiceRevision, name: str, leaving: Iterable[Revision]) -> tuple[Former, ...]:
    found = (revision.services[name] for revision in leaving if name in revision.services)
    return tuple(Former(old.spec, old.internal_port) for old in found if old.digest != service.digest)


def _facts(revision: Revision) -> frozenset[tuple[object, ...]]:
    """All that other pods, proxies or policies rely on."""
    return frozenset(fact for name, service in revision.services.items() for fact in _facts_of(name, service))


def _facts_of(name: str, service: ServiceRevision) -> Iterable[tuple[object, ...]]:
    yield ("service", name)
    yield from (("call", name, callee) for callee in service.spec.depends_on)
    yield from (("store", name, store) for store in service.spec.stores)
    target = target_of(service.spec)
    if target is not None:
        yield ("target", name, target)
