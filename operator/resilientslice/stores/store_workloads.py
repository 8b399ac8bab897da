"""StatefulSets and CloudNativePG's clusters as the slice's stores."""

from collections.abc import Collection, Iterable

from resilientslice.api.services import StoreName
from resilientslice.kube.cache import Child
from resilientslice.kube.kinds import CNPG_CLUSTER, STATEFUL_SET
from resilientslice.planning.observed import Store
from resilientslice.render.metadata import Component
from resilientslice.render.names import LABEL_COMPONENT

_KINDS = (STATEFUL_SET.kind, CNPG_CLUSTER.kind)


def observe_stores(children: Iterable[Child], uid: str, remade: Collection[str] = ()) -> dict[StoreName, Store]:
    """Stores that the slice with this UID controls. `remade`: names of StatefulSets that are being created again."""
    found = {_store_of(name): Store(ready=0, remade=True) for name in remade}
    for child in children:
        if child.kind in _KINDS and child.owner_uid == uid and child.labels.get(LABEL_COMPONENT) == Component.STORE:
            known = child.name in remade and not counted(child)
            if not child.deleting or known:
                found[_store_of(child.name)] = _store(child, remade=known)
    return found


def counted(child: Child) -> bool:
    """Its controller has counted its pods since it was last written."""
    return not child.deleting and child.counts.observed_generation >= child.generation


def _store(child: Child, *, remade: bool) -> Store:
    if child.kind == CNPG_CLUSTER.kind:
        return Store(child.counts.ready)  # it counts no generations
    wanted = 1 if child.replicas is None else child.replicas
    return Store(child.counts.ready, rolling=not counted(child) or child.counts.updated < wanted, remade=remade)


def _store_of(name: str) -> StoreName:
    """Both are named `SLICE-STORE`."""
    return StoreName(name.rpartition("-")[2])
