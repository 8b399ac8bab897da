"""What every pod of a slice is denied, in one place: the restricted profile of Pod Security, and a little more."""

from resilientslice.render.metadata import Object

USER_ID = 65532
"""`nonroot` of the distroless images. Given always, because Kubernetes cannot tell that an image with a user *name* is
not root, and because a high number is nobody on the node."""


def pod_security() -> Object:
    return {
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "runAsGroup": USER_ID,
        "fsGroup": USER_ID,
        # without it, every start would walk through the whole volume
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Object:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
    }


def isolation(service_account: str) -> Object:
    """Fields of the pod: its own account without a token, and no other Services in its environment."""
    return {
        "serviceAccountName": service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
    }
