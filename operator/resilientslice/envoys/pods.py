"""Which pods are a slice's Envoys: those that its own Deployment of proxies has made, whatever labels others have."""

from resilientslice.kube.cache import Children, ProxyPod
from resilientslice.kube.kinds import DEPLOYMENT, REPLICA_SET, SliceKey
from resilientslice.render.names import proxy_name

_ENDED = frozenset({"Failed", "Succeeded"})


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
