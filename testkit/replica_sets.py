"""What a Deployment's controller puts between it and its pods: owner references are followed through it."""

from resilientslice.kube.client import KubeClient
from resilientslice.kube.errors import AlreadyExistsError
from resilientslice.kube.kinds import REPLICA_SET, Object


async def replica_set(client: KubeClient, deployment: Object) -> Object:
    """The one ReplicaSet of a Deployment on an API server without controllers; made if it isn't there."""
    metadata, spec = deployment["metadata"], deployment["spec"]
    name = f"{metadata['name']}-1"
    described = {
        "name": name,
        "namespace": metadata["namespace"],
        "labels": spec["template"]["metadata"]["labels"],
        "ownerReferences": [controlled_by(deployment)],
    }
    kept = {part: spec[part] for part in ("selector", "template")}
    made = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": described, "spec": {"replicas": 0, **kept}}
    try:
        return await client.create(made)
    except AlreadyExistsError:
        return await client.get(REPLICA_SET, metadata["namespace"], name)


def controlled_by(owner: Object) -> Object:
    """An owner reference."""
    metadata = owner["metadata"]
    named = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": metadata["name"], "uid": metadata["uid"]}
    return {**named, "controller": True}
