"""The Services of a slice: the way in, the address of each service (which is the proxies'), and each track's pods."""

from resilientslice.api.services import Protocol
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.stores import FrontType
from resilientslice.render.metadata import (
    Component,
    Object,
    labels,
    metadata,
    proxy_selector,
    service_labels,
    service_selector,
)
from resilientslice.render.names import FRONT_PORT, Track, front_name, service_name, track_name
from resilientslice.render.presence import Presence

FRONT_SERVICE_PORT = 80


def render_front_service(slice_: ResilientSlice) -> Object:
    front = slice_.spec.front
    # kube-proxy on another node hides the client's address, and with it whether a trusted proxy speaks
    keep_source = front.type is not FrontType.CLUSTER_IP and bool(front.trusted_proxies)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(slice_, front_name(slice_.name), labels(slice_, "front", Component.PROXY)),
        "spec": {
            "type": front.type.value,
            **({"externalTrafficPolicy": "Local"} if keep_source else {}),
            "selector": proxy_selector(slice_),
            "ports": [
                {
                    "name": "http",
                    "port": FRONT_SERVICE_PORT,
                    "targetPort": FRONT_PORT,
                    "protocol": "TCP",
                    "appProtocol": "http",
                }
            ],
        },
    }


def render_service(slice_: ResilientSlice, service: Presence) -> Object | None:
    """What callers call, `http://SLICE-NAME:PORT`: the service's own listener on the proxies, whatever its port."""
    if service.internal_port is None:
        return None
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(slice_, service_name(slice_.name, service.name), service_labels(slice_, service.name)),
        "spec": {
            "type": "ClusterIP",
            "selector": proxy_selector(slice_),
            "ports": [_port(service, port, index) for index, port in enumerate(service.ports)],
        },
    }


def render_track_service(slice_: ResilientSlice, service: Presence, track: Track) -> Object | None:
    """Headless: its DNS name lists the ready pods of a track, which is how the proxies find them.

    Both exist as long as the service does, so that a canary's start changes no cluster of the proxies.
    """
    port = service.port_of(track)
    if service.internal_port is None or port is None:
        return None
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(
            slice_, track_name(slice_.name, service.name, track), service_labels(slice_, service.name, track)
        ),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "publishNotReadyAddresses": False,
            "selector": service_selector(slice_, service.name, track),
            "ports": [{"name": _scheme(service), "port": port, "targetPort": port, "protocol": "TCP"}],
        },
    }


def _port(service: Presence, port: int, index: int) -> Object:
    """While a canary listens elsewhere than stable, callers of either revision find the port they were told."""
    scheme = _scheme(service)
    return {
        "name": scheme if index == 0 else f"{scheme}-{port}",
        "port": port,
        "targetPort": service.internal_port,
        "protocol": "TCP",
        "appProtocol": "kubernetes.io/h2c" if scheme == "grpc" else "http",
    }


def _scheme(service: Presence) -> str:
    revision = next(iter(service.tracks.values()))
    return "grpc" if revision.spec.protocol is Protocol.GRPC else "http"
