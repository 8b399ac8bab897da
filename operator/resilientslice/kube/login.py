"""Where the API server is and who we are there: kopf's own public log-in, so that it and our requests agree."""

import os
from collections.abc import Callable
from pathlib import Path

import kopf

Login = Callable[[], kopf.ConnectionInfo]
"""Reads the credentials as they are now. Raises kopf.LoginError."""


def log_in(settings: kopf.OperatorSettings | None = None) -> kopf.ConnectionInfo:
    """A pod's service account, else the kubeconfig. Reads the files anew each time: tokens are rotated.

    Raises kopf.LoginError that says what was looked for.
    """
    settings = settings or kopf.OperatorSettings()
    try:
        found = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
    except (OSError, KeyError, ValueError) as error:
        raise kopf.LoginError(f"the credentials for the Kubernetes API can't be read: {error!r}") from error
    if not isinstance(found, kopf.ConnectionInfo) or not found.server:
        tried = os.environ.get("KUBECONFIG") or Path("~/.kube/config").expanduser()
        raise kopf.LoginError(
            f"no credentials for the Kubernetes API: this is not a pod with a service account, and {tried} gives none"
        )
    return found
