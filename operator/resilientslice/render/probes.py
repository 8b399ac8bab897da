"""Health checks of a service: the user's own, or ones made from its port."""

from typing import Any

from resilientslice.api.pods import Probe
from resilientslice.api.services import Protocol, Service
from resilientslice.render.metadata import Object

STARTUP_SECONDS = 120
"""How long a container may take until its port is open, before it is restarted."""


def render_probes(service: Service) -> Object:
    """The probe fields of the container. A service without a port has only those that its user gave."""
    users = service.probes
    wanted = {
        "startupProbe": _own(users.startup, service.port) or _default_startup(service.port),
        "livenessProbe": _own(users.liveness, service.port) or _default_liveness(service.port),
        "readinessProbe": _own(users.readiness, service.port) or _default_readiness(service),
    }
    return {field: probe for field, probe in wanted.items() if probe is not None}


def _default_startup(port: int | None) -> Object | None:
    if port is None:
        return None
    # one second: the next probe waits for this one, so a coarser step would hold up every rollout
    return {"tcpSocket": {"port": port}, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": STARTUP_SECONDS}


def _default_liveness(port: int | None) -> Object | None:
    """TCP only: restarting a pod because something behind it is down would make an outage worse."""
    if port is None:
        return None
    return {"tcpSocket": {"port": port}, "periodSeconds": 10, "timeoutSeconds": 2, "failureThreshold": 3}


def _default_readiness(service: Service) -> Object | None:
    if service.port is None:
        return None
    # the kubelet speaks HTTP/1.1 only, which a gRPC server refuses
    check: Object = (
        {"grpc": {"port": service.port}}
        if service.protocol is Protocol.GRPC
        else {"httpGet": {"path": "/readyz", "port": service.port}}
    )
    return {**check, "periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 3}


def _own(probe: Probe | None, port: int | None) -> Object | None:
    if probe is None:
        return None
    return {
        **_check(probe, port),
        "initialDelaySeconds": probe.initial_delay_seconds,
        "periodSeconds": probe.period_seconds,
        "timeoutSeconds": probe.timeout_seconds,
        "successThreshold": probe.success_threshold,
        "failureThreshold": probe.failure_threshold,
    }


def _check(probe: Probe, port: int | None) -> Object:
    if probe.http_get:
        return {"httpGet": {"path": probe.http_get.path, "port": probe.http_get.port or port}}
    if probe.tcp_socket:
        return {"tcpSocket": {"port": probe.tcp_socket.port or port}}
    if probe.grpc:
        grpc: dict[str, Any] = {"port": probe.grpc.port or port}
        return {"grpc": grpc | ({"service": probe.grpc.service} if probe.grpc.service else {})}
    return {"exec": {"command": list(probe.exec.command if probe.exec else ())}}
