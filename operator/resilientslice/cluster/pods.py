"""Asks why pods don't come up. The services' pods are not watched, there are too many; only while some are missing is
the API server asked, now and then."""

from resilientslice.api.status import ConditionType, Status
from resilientslice.cluster.held import Held
from resilientslice.kube.client import KubeClient
from resilientslice.kube.kinds import POD, SliceKey
from resilientslice.observe.troubles import pod_troubles
from resilientslice.render.names import LABEL_SLICE

PATIENCE_SECONDS = 5.0
"""A pod that starts within this time is nothing to ask about."""
AGAIN_SECONDS = 15.0
_PODS = frozenset({"PodsNotReady", "NoProxies", "RollingOut", "CanaryStarting", "CanaryPromoting"})


class PodInquiry:
    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def ask(self, key: SliceKey, held: Held, status: Status, now: float) -> None:
        if not _missing(status, held):
            held.pods, held.pods_due = (), None
            return
        if held.pods_due is None:
            held.pods_due = now + PATIENCE_SECONDS
        elif held.pods_due <= now:
            held.pods_due = now + AGAIN_SECONDS
            pods = await self._client.list_all(POD, key.namespace, label_selector=f"{LABEL_SLICE}={key.name}")
            found = pod_troubles(pods)
            held.again = held.again or found != held.pods
            held.pods = found


def _missing(status: Status, held: Held) -> bool:
    reasons = {condition.reason for condition in status.conditions if condition.type in _TYPES}
    named = {trouble.reason for trouble in held.pods}
    return bool(reasons & (_PODS | named))


_TYPES = frozenset({ConditionType.READY.value, ConditionType.RECONCILING.value})
