"""The agents of one slice, as a pass needs them: which pods they run in, and when their key is replaced."""

from dataclasses import dataclass

from resilientslice.api.slice import ResilientSlice
from resilientslice.controller.slice_state import Pass, SliceState
from resilientslice.envoys.key_rotation import ROTATE_ANNOTATION
from resilientslice.envoys.port import Agents
from resilientslice.kube.cache import Children, ProxyPod
from resilientslice.kube.kinds import DEPLOYMENT, REPLICA_SET, Object, SliceKey
from resilientslice.render.names import proxy_name

_ENDED = frozenset({"Failed", "Succeeded"})


@dataclass(frozen=True, slots=True)
class AgentAccess:
    agents: Agents
    children: Children

    async def follow(self, key: SliceKey, raw: Object, state: SliceState, slice_: ResilientSlice) -> None:
        """Raises UnusableKeyError when the slice's agents can't be spoken to."""
        if not slice_.spec.suspend:
            await self.agents.follow(key, envoys(key, state.uid, self.children), slice_, _rotation(raw))

    async def rotate_key_if_due(self, at: Pass) -> None:
        news, reported = await self.agents.tend_key(at.key, at.slice_, _rotation(at.raw), at.now), at.state.reported
        reported.events, at.state.key_due = (*reported.events, *news.events), news.deadline

    def look_again(self, key: SliceKey) -> None:
        self.agents.look_again(key)

    def forget(self, key: SliceKey) -> None:
        self.agents.forget(key)


def _rotation(raw: Object) -> str:
    """What asks for another key of the agents."""
    return str((raw["metadata"].get("annotations") or {}).get(ROTATE_ANNOTATION, ""))


def envoys(key: SliceKey, uid: str, children: Children) -> tuple[ProxyPod, ...]:
    """Pods that a ReplicaSet controls which the proxies' Deployment controls, of the slice with this UID.

    Without those that have ended for good: evicted ones stay as objects. Those that are being deleted are among them.
    """
    deployment = children.of(key).get((DEPLOYMENT.kind, proxy_name(key.name)))
    if deployment is None or deployment.owner_uid != uid:
        return ()
    controlled = (DEPLOYMENT.kind, deployment.name, deployment.uid)
    ours = {(REPLICA_SET.kind, one.name, one.uid) for one in children.replica_sets(key) if one.owner == controlled}
    return tuple(pod for pod in children.proxies(key) if pod.owner in ours and pod.phase not in _ENDED)
