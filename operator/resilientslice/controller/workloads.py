"""Deployments as replicas of services, and whether their counts are of the newest template for sure."""

from collections.abc import Iterable

from resilientslice.kube.cache import Child
from resilientslice.kube.children import REVISION_ANNOTATION, note_of
from resilientslice.kube.kinds import DEPLOYMENT
from resilientslice.planning.observed import Workload
from resilientslice.render.names import LABEL_SERVICE, LABEL_TRACK, Track

WorkloadKey = tuple[str, Track]


def observe_workloads(children: Iterable[Child], uid: str) -> dict[WorkloadKey, Workload]:
    """Of the Deployments that the slice with this UID controls. One that is being deleted is not there any more."""
    found = (_workload(child) for child in children if _counts(child, uid))
    return dict(entry for entry in found if entry is not None)


def _counts(child: Child, uid: str) -> bool:
    return child.kind == DEPLOYMENT.kind and child.owner_uid == uid and not child.deleting


def _workload(child: Child) -> tuple[WorkloadKey, Workload] | None:
    """None for a Deployment that is no service's: the proxies'."""
    service, track = child.labels.get(LABEL_SERVICE), child.labels.get(LABEL_TRACK)
    if not service or track not in set(Track):
        return None
    counts = child.counts
    current = counts.observed_generation >= child.generation
    return (service, Track(track)), Workload(
        desired=1 if child.replicas is None else child.replicas,
        ready=counts.ready,
        updated=counts.updated,
        digest=child.annotations.get(REVISION_ANNOTATION, ""),
        outdated=max(0, counts.replicas - counts.updated),
        stuck=current and note_of(child).stuck,
        counted=counts.observed_generation >= child.template_generation,
        current=current,
    )
