"""The pod template of a service: what a revision freezes.

It is the same for both tracks, down to the byte; the Deployment puts the track's label on it. So promotion rolls out
exactly what the canary proved.
"""

from math import ceil

from resilientslice.api.pods import Scheduling, Toleration
from resilientslice.api.scalars import duration_seconds
from resilientslice.api.services import Service
from resilientslice.api.slice import ResilientSlice
from resilientslice.render.environment import render_environment, render_environment_sources
from resilientslice.render.metadata import Object, service_labels, service_selector
from resilientslice.render.names import service_name
from resilientslice.render.probes import render_probes
from resilientslice.render.resources import SERVICE_DEFAULTS, render_resources
from resilientslice.render.security import container_security, isolation, pod_security
from resilientslice.render.volumes import render_mounts, render_volumes

PRE_STOP_SECONDS = 5
"""How long a pod that ends keeps serving as if nothing were. The proxies ask DNS every second; the endpoint has to
leave the EndpointSlice and the DNS server first, which takes another second or two on a busy cluster."""

SPREAD_OVER = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")


def render_pod_template(slice_: ResilientSlice, service: Service, *, digest: str, sleep_action: bool = True) -> Object:
    """A PodTemplateSpec without the track's label. `sleep_action` as in `revision_of`."""
    return {
        "metadata": {"labels": service_labels(slice_, service.name)},
        "spec": {
            **isolation(service_name(slice_.name, service.name)),
            "securityContext": pod_security(),
            "terminationGracePeriodSeconds": _grace_seconds(service),
            "topologySpreadConstraints": spread(service_selector(slice_, service.name)),
            "affinity": apart(service_selector(slice_, service.name)),
            **_scheduling(service.scheduling),
            **_pull_secrets(service),
            "containers": [_container(slice_, service, digest, sleep_action=sleep_action)],
            "volumes": render_volumes(slice_, service),
        },
    }


def spread(selector: dict[str, str]) -> list[Object]:
    """Over zones and nodes where that is possible; a small cluster must still run the slice, so never a must."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector},
            # each ReplicaSet by itself: otherwise the pods that a rollout replaces count, and so does the other track
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in SPREAD_OVER
    ]


def apart(selector: dict[str, str]) -> Object:
    """On another node than the others, where that is possible. The scheduler leaves spreading out altogether on nodes
    that lack one of its labels, and nodes outside of clouds have no zone."""
    term = {"topologyKey": SPREAD_OVER[-1], "labelSelector": {"matchLabels": selector}}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _container(slice_: ResilientSlice, service: Service, digest: str, *, sleep_action: bool) -> Object:
    sources = render_environment_sources(service)
    return {
        "name": service.name,
        "image": service.image,
        **({"command": list(service.command)} if service.command else {}),
        **({"args": list(service.args)} if service.args else {}),
        **({"ports": [_port(service)]} if service.port is not None else {}),
        "env": render_environment(slice_, service, digest=digest),
        **({"envFrom": sources} if sources else {}),
        "resources": render_resources(service.resources, SERVICE_DEFAULTS),
        **render_probes(service),
        **(_lifecycle(sleep_action=sleep_action) if service.port is not None else {}),
        "securityContext": container_security(),
        "volumeMounts": render_mounts(slice_, service),
    }


def _port(service: Service) -> Object:
    return {"name": service.protocol.value.lower(), "containerPort": service.port, "protocol": "TCP"}


def _lifecycle(*, sleep_action: bool) -> Object:
    """The kubelet's own `sleep` needs nothing of the image, but only Kubernetes 1.30 has it switched on: 1.29 drops the
    unknown action and then refuses the empty hook, and with it the pod. There, the image's `sleep` is the only way; an
    image without one ends at once, and callers are saved by the proxies, which retry what could not connect."""
    seconds = PRE_STOP_SECONDS
    pause = {"sleep": {"seconds": seconds}} if sleep_action else {"exec": {"command": ["sleep", str(seconds)]}}
    return {"lifecycle": {"preStop": pause}}


def _grace_seconds(service: Service) -> int:
    """Kubernetes counts from before the preStop hook; the user's time starts when the process is asked to end."""
    waited = PRE_STOP_SECONDS if service.port is not None else 0
    return ceil(duration_seconds(service.termination_grace_period)) + waited


def _pull_secrets(service: Service) -> Object:
    names = [{"name": secret.name} for secret in service.image_pull_secrets]
    return {"imagePullSecrets": names} if names else {}


def _scheduling(scheduling: Scheduling) -> Object:
    fields: Object = {
        "nodeSelector": dict(sorted(scheduling.node_selector.items())),
        "tolerations": [_toleration(toleration) for toleration in scheduling.tolerations],
        "priorityClassName": scheduling.priority_class_name,
        "affinity": scheduling.affinity,
    }
    return {name: value for name, value in fields.items() if value}


def _toleration(toleration: Toleration) -> Object:
    fields: Object = {
        "key": toleration.key,
        "operator": toleration.operator,
        "value": toleration.value,
        "effect": toleration.effect,
    }
    given = {name: value for name, value in fields.items() if value}
    seconds = toleration.toleration_seconds
    return given | ({"tolerationSeconds": seconds} if seconds is not None else {})
