"""The Ingress before the front Service, where the slice asks for one."""

from resilientslice.api.slice import ResilientSlice
from resilientslice.api.stores import FrontKind
from resilientslice.render.metadata import Component, Object, labels, metadata
from resilientslice.render.names import front_name
from resilientslice.render.services import FRONT_SERVICE_PORT


def render_ingress(slice_: ResilientSlice) -> Object | None:
    front = slice_.spec.front
    if front.kind is not FrontKind.INGRESS:
        return None
    name = front_name(slice_.name)
    backend = {"service": {"name": name, "port": {"number": FRONT_SERVICE_PORT}}}
    paths = {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}
    tls = [{"hosts": list(front.hosts), "secretName": front.tls.secret_name}] if front.tls else []
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(slice_, name, labels(slice_, "front", Component.PROXY)),
        "spec": {
            **({"ingressClassName": front.class_name} if front.class_name else {}),
            **({"tls": tls} if tls else {}),
            "rules": [{"host": host, "http": paths} for host in front.hosts],
        },
    }
