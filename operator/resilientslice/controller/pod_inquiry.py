"""Asks why pods don't come up. The services' pods are not watched, there are too many; only while some are missing is
the API server asked, now and then. The same of stores, and of the volumes that their pods wait for."""

from dataclasses import dataclass

from resilientslice.api.reasons import Reason
from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.status import ConditionType, Status
from resilientslice.controller.troubles import claim_trouble, pod_troubles
from resilientslice.kube.cache import ChildKey, Children, controller
from resilientslice.kube.client import KubeClient
from resilientslice.kube.kinds import DEPLOYMENT, EVENT, POD, REPLICA_SET, VOLUME_CLAIM, Object, SliceKey
from resilientslice.planning.observed import Trouble
from resilientslice.render.names import LABEL_SLICE, store_name
from resilientslice.render.store_settings import managed
from resilientslice.render.stores.workload import claim_name

PATIENCE_SECONDS = 5.0
"""A pod that starts within this time is nothing to ask about."""
AGAIN_SECONDS = 15.0
_PODS = frozenset(
    {
        Reason.PODS_NOT_READY,
        Reason.STORE_NOT_READY,
        Reason.PROXIES_NOT_READY,
        Reason.ROLLING_OUT,
        Reason.PROGRESS_DEADLINE_EXCEEDED,
        Reason.CANARY_STARTING,
        Reason.CANARY_PROMOTING,
    }
)


@dataclass(slots=True)
class PodTroubles:
    """Why pods of one slice don't start."""

    found: tuple[Trouble, ...] = ()
    due: float | None = None
    """When to ask (again), in seconds since the epoch; None while they start."""


class PodInquiry:
    def __init__(self, client: KubeClient, children: Children) -> None:
        self._client = client
        self._children = children

    async def ask(self, uid: str, known: PodTroubles, status: Status, slice_: ResilientSlice, now: float) -> bool:
        """Update `known`, of the slice with this UID. True if something else was found than before."""
        if not _missing(status, known.found):
            known.found, known.due = (), None
        elif known.due is None:
            known.due = now + PATIENCE_SECONDS
        elif known.due <= now:
            known.due = now + AGAIN_SECONDS
            key = SliceKey(slice_.namespace, slice_.name)
            stores = [StoreName(store.name) for store in status.stores if store.ready < store.desired]
            found = (*await self._pods(key, uid), *await self._of_stores(key, slice_, stores))
            changed, known.found = found != known.found, found
            return changed
        return False

    async def _pods(self, key: SliceKey, uid: str) -> tuple[Trouble, ...]:
        """Of pods that workloads of the slice with this UID have made."""
        found = await self._client.list_all(POD, key.namespace, label_selector=f"{LABEL_SLICE}={key.name}")
        own = {child.key for child in self._children.of(key).values() if child.owner_uid == uid}
        return pod_troubles(pod for pod in found if _workload(pod) in own)

    async def _of_stores(self, key: SliceKey, slice_: ResilientSlice, stores: list[StoreName]) -> tuple[Trouble, ...]:
        found: list[Trouble] = []
        for store in stores:
            if managed(slice_, store) is None:
                selector = f"cnpg.io/cluster={store_name(key.name, store)}"
                found += pod_troubles(await self._client.list_all(POD, key.namespace, label_selector=selector))
            elif (trouble := await self._volume(key, store)) is not None:
                found.append(trouble)
        return tuple(found)

    async def _volume(self, key: SliceKey, store: StoreName) -> Trouble | None:
        claim = await self._client.find(VOLUME_CLAIM, key.namespace, claim_name(key.name, store))
        if claim is None or claim.get("status", {}).get("phase") == "Bound":
            return None
        about = f"regarding.kind={VOLUME_CLAIM.kind},regarding.name={claim['metadata']['name']}"
        return claim_trouble(claim, await self._client.list_all(EVENT, key.namespace, field_selector=about))


def _workload(pod: Object) -> ChildKey:
    """The workload that a pod is of, by the name that its ReplicaSet has from it: a label alone is anyone's."""
    owner = controller(pod)
    if owner.kind != REPLICA_SET.kind:
        return owner.kind, owner.name
    hashed = (pod["metadata"].get("labels") or {}).get("pod-template-hash", "")
    return DEPLOYMENT.kind, owner.name.removesuffix(f"-{hashed}")


def _missing(status: Status, found: tuple[Trouble, ...]) -> bool:
    reasons = {condition.reason for condition in status.conditions if condition.type in _TYPES}
    named = {trouble.reason for trouble in found}
    return bool(reasons & (_PODS | named))


_TYPES = frozenset({ConditionType.READY.value, ConditionType.RECONCILING.value})
