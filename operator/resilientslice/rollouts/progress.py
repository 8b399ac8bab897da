"""The Deployment of a slice's proxies as a rollout: whether it has ended, and whether it is known that it won't."""

from collections.abc import Mapping

from resilientslice.kube.cache import Child, ChildKey
from resilientslice.kube.children import note_of
from resilientslice.kube.kinds import DEPLOYMENT, SliceKey
from resilientslice.render.metadata import Component
from resilientslice.render.names import LABEL_COMPONENT, proxy_name

Known = Mapping[ChildKey, Child]


def proxy_deployment(key: SliceKey, children: Known) -> Child | None:
    """None while there is none, or it is on its way out, or nobody's."""
    child = children.get((DEPLOYMENT.kind, proxy_name(key.name)))
    return child if child is not None and child.owner_uid and not child.deleting else None


def is_proxies(child: Child, uid: str) -> bool:
    """The Deployment of the proxies of the slice with this UID."""
    ours = child.kind == DEPLOYMENT.kind and child.owner_uid == uid and not child.deleting
    return ours and child.labels.get(LABEL_COMPONENT) == Component.PROXY


def rolls(child: Child | None) -> bool:
    """Not every pod that there is to be runs the newest template and is available, or older ones are left.

    What was written a moment ago rolls: its controller has not counted since.
    """
    if child is None:
        return False
    counts, wanted = child.counts, 1 if child.replicas is None else child.replicas
    settled = counts.updated == counts.replicas == wanted and counts.available >= wanted
    return counts.observed_generation < child.generation or not settled


def short(child: Child) -> bool:
    """It rolls only because pods are not available: all of them had become so before, as its controller says."""
    counts, wanted = child.counts, 1 if child.replicas is None else child.replicas
    counted = counts.observed_generation >= child.generation and counts.updated == counts.replicas
    return rolls(child) and counted and counts.replicas <= wanted and note_of(child).complete


def stuck(child: Child | None) -> bool:
    """It has rolled for longer than its `progressDeadlineSeconds`, as its controller says of the newest generation."""
    if child is None or child.counts.observed_generation < child.generation:
        return False
    return rolls(child) and note_of(child).stuck


def since(child: Child | None) -> str:
    """When its rollout ended or was found to be stuck, as the API writes times; empty if nobody says."""
    return note_of(child).since if child is not None else ""
