"""The slice's Envoys: where they listen, the Deployment that runs them beside their agents, and what is mounted there.

Envoy is a native sidecar and the agent the main container, so that Kubernetes stops Envoy only after the agent has
drained it. Listener ports of services are not named in the pod: adding a service must not restart an Envoy.
"""

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

from resilientslice.api.slice import ResilientSlice
from resilientslice.render.envoy import EnvoyConfig
from resilientslice.render.envoy.bootstrap import render_bootstrap
from resilientslice.render.images import DEFAULT_IMAGES, Images, envoy_image, render_pull_secrets
from resilientslice.render.metadata import Component, Object, labels, metadata, proxy_selector
from resilientslice.render.names import AGENT_PORT, DOMAIN, FRONT_PORT, STATS_PORT, agent_key_name, proxy_name
from resilientslice.render.pods import apart, spread
from resilientslice.render.presence import present_services
from resilientslice.render.resources import (
    AGENT_DEFAULTS,
    PROXY_DEFAULTS,
    memory_limit,
    render_resources,
    worker_threads,
)
from resilientslice.render.revision import Revision, digest
from resilientslice.render.security import container_security, isolation, pod_security
from resilientslice.render.tracks import Address, CanaryTrack, DnsDiscovery, Topology
from resilientslice.render.volumes import scratch_volume

Epoch = tuple[int, int]
"""Term and sequence of a configuration; the highest wins. (0, 0) is nobody's: whatever an operator says is newer."""

MOUNTED = "/etc/resilientslice"
RUN = "/run/resilientslice"
ADS_SOCKET = f"{RUN}/ads.sock"
API_SOCKET = f"{RUN}/agent.sock"
ADMIN_SOCKET = f"{RUN}/admin.sock"
LARGEST_TEXT = 128 * 1024
"""Bytes of configuration that are stored as they read. A ConfigMap holds 1 MiB and the annotation of `kubectl apply`
256 KiB; a slice of 64 services, all exposed, has 1.2 MiB, of which compression leaves 30 KiB."""
LINES_TO_DEPTH = 7
"""config, routes, one of them, virtual_hosts, one of them, routes, one of them."""
RESOURCE_DEPTH = 3
"""config, one of its types, one of its resources."""
_encode = json.JSONEncoder(sort_keys=True).encode
READY_FILE = f"{RUN}/ready"
KEY_FOLDER = "/etc/resilientslice-key"
"""Beside the configuration, not below it: nothing can be mounted into a volume that is read-only."""
GRACE_SECONDS = 60
"""For the agent to drain Envoy: longer than the longest request that the front is expected to carry."""
DRAIN_SECONDS = 45
"""Ends before the grace period, of which Envoy's own end takes a part."""


def cluster_topology(slice_: ResilientSlice, stable: Revision, canary: CanaryTrack | None) -> Topology:
    """Every proxy listens on the same ports in its own pod, and finds hosts by the headless Services."""
    present = present_services(slice_, stable, canary)
    return Topology(
        front=Address("0.0.0.0", FRONT_PORT),
        stats=Address("0.0.0.0", STATS_PORT),
        internal={s.name: Address("0.0.0.0", s.internal_port) for s in present if s.internal_port is not None},
        discovery=DnsDiscovery(namespace=slice_.namespace),
        proxies=slice_.spec.proxy.replicas,
        hosts=slice_.spec.front.hosts or ("*",),
        admin_path=ADMIN_SOCKET,
        ads_path=ADS_SOCKET,
        memory=memory_limit(_resources(slice_)),
        node={"id": proxy_name(slice_.name), "cluster": slice_.name},
    )


def _resources(slice_: ResilientSlice) -> Object:
    return render_resources(slice_.spec.proxy.resources, PROXY_DEFAULTS)


def render_proxy_configuration(
    slice_: ResilientSlice, config: EnvoyConfig, topology: Topology, *, epoch: Epoch = (0, 0)
) -> Object:
    """The durable copy: what an agent starts from when there is no operator to hand it anything newer.

    `config.json` is what would be pushed, `{"epoch": [0, 0], "config": {…}}`. A large one is in `config.json.gz`.
    """
    pushed = render_pushed(config, epoch=epoch)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(slice_, proxy_name(slice_.name), labels(slice_, "proxy", Component.PROXY)),
        **pushed,
        "data": {"bootstrap.json": _known_text(_encode(render_bootstrap(topology))), **pushed["data"]},
    }


def render_pushed(config: EnvoyConfig, *, epoch: Epoch) -> Object:
    """The part of a proxy's ConfigMap that says what is pushed: of its `data`, and all of its `binaryData`."""
    text = _pushed_text(config, epoch)
    if len(text) <= LARGEST_TEXT:
        return {"data": {"config.json": text}}
    return {"data": {}, "binaryData": {"config.json.gz": _compressed(config, epoch)}}


def render_proxy_deployment(slice_: ResilientSlice, topology: Topology, *, images: Images = DEFAULT_IMAGES) -> Object:
    name, labelled = proxy_name(slice_.name), labels(slice_, "proxy", Component.PROXY)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(slice_, name, labelled),
        "spec": {
            "replicas": slice_.spec.proxy.replicas,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": 300,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": proxy_selector(slice_)},
            "template": {
                "metadata": {
                    "labels": labelled,
                    # Envoy reads its bootstrap once; everything else reaches it while it runs
                    "annotations": {f"{DOMAIN}/bootstrap": digest(render_bootstrap(topology))},
                },
                "spec": _pod(slice_, name, images),
            },
        },
    }


def _pod(slice_: ResilientSlice, name: str, images: Images) -> Object:
    return {
        **isolation(name),
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "topologySpreadConstraints": spread(proxy_selector(slice_)),
        "affinity": apart(proxy_selector(slice_)),
        "initContainers": [_envoy(slice_, envoy_image(slice_, images))],
        "containers": [_agent(images.agent)],
        **render_pull_secrets(images),
        "volumes": [
            {"name": "configuration", "configMap": {"name": name}},
            # without the key an agent serves what it has, and takes nothing
            {"name": "key", "secret": {"secretName": agent_key_name(slice_.name), "optional": True}},
            scratch_volume("run", "32Mi"),
            scratch_volume("tmp"),
        ],
    }


def _envoy(slice_: ResilientSlice, image: str) -> Object:
    resources = _resources(slice_)
    return {
        "name": "envoy",
        "image": image,
        "restartPolicy": "Always",
        "command": ["envoy"],
        "args": [
            "--config-path",
            f"{MOUNTED}/bootstrap.json",
            "--concurrency",
            str(worker_threads(resources)),
            "--service-node",
            "$(POD_NAME)",
            "--service-cluster",
            slice_.name,
            "--reject-unknown-dynamic-fields",
            # shares memory with an Envoy that takes over in the same container, which never happens here
            "--disable-hot-restart",
            # each answer says that the connection closes once draining begins; gradually would take ten minutes
            "--drain-strategy",
            "immediate",
            "--log-level",
            "warning",
        ],
        "env": [_from_field("POD_NAME", "metadata.name")],
        "ports": [
            {"name": "http", "containerPort": FRONT_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": STATS_PORT, "protocol": "TCP"},
        ],
        "resources": resources,
        # no startup probe: the agent, which feeds Envoy, starts only after one had succeeded
        "readinessProbe": _tcp_probe(FRONT_PORT, period=2, failures=2),
        "livenessProbe": _tcp_probe(STATS_PORT, period=10, failures=6),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "configuration", "mountPath": MOUNTED, "readOnly": True},
            {"name": "run", "mountPath": RUN},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }


def _agent(image: str) -> Object:
    return {
        "name": "agent",
        "image": image,
        "command": ["python", "-m", "resilientslice.agent"],
        "args": [
            f"--ads-socket={ADS_SOCKET}",
            f"--api-socket={API_SOCKET}",
            f"--admin-socket={ADMIN_SOCKET}",
            f"--state-dir={RUN}",
            f"--fallback={MOUNTED}/config.json",
            f"--ready-file={READY_FILE}",
            f"--listen=0.0.0.0:{AGENT_PORT}",
            f"--key-dir={KEY_FOLDER}",
            "--drain",
            f"--drain-seconds={DRAIN_SECONDS}",
        ],
        "env": [_from_field("POD_NAME", "metadata.name"), _from_field("POD_UID", "metadata.uid")],
        "ports": [{"name": "agent", "containerPort": AGENT_PORT, "protocol": "TCP"}],
        "resources": render_resources(AGENT_DEFAULTS, AGENT_DEFAULTS),
        # there while Envoy runs a whole configuration and does not drain; a request would have to be signed
        "readinessProbe": {
            "exec": {"command": ["test", "-e", READY_FILE]},
            "periodSeconds": 2,
            "timeoutSeconds": 2,
            "failureThreshold": 2,
        },
        "livenessProbe": _tcp_probe(AGENT_PORT, period=10, failures=6),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "configuration", "mountPath": MOUNTED, "readOnly": True},
            {"name": "key", "mountPath": KEY_FOLDER, "readOnly": True},
            {"name": "run", "mountPath": RUN},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }


def _from_field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def _tcp_probe(port: int, *, period: int, failures: int) -> Object:
    return {"tcpSocket": {"port": port}, "periodSeconds": period, "timeoutSeconds": 2, "failureThreshold": failures}


def _text(value: Object) -> str:
    """JSON with a line a route, so that a difference between two configurations can be read.

    Below that everything of a value is on one line, which the standard library does in C: a fifth of the time that a
    line a value takes, and half of the size.
    """
    return _lines(value, 0) + "\n"


@lru_cache(maxsize=16)
def _known_text(canonical: str) -> str:
    """`_text` of what that JSON says. A bootstrap seldom changes, and is written with each configuration."""
    return _text(json.loads(canonical))


def _lines(value: object, depth: int) -> str:
    if depth >= LINES_TO_DEPTH or not value or not isinstance(value, dict | list | tuple):
        return _encode(value)
    if isinstance(value, dict):
        return _object_lines(((key, _lines(value[key], depth + 1)) for key in sorted(value)), depth)
    return _list_lines([_lines(item, depth + 1) for item in value], depth)


def _object_lines(items: Iterable[tuple[str, str]], depth: int) -> str:
    """Keys with what is written of their values, which may not be none at all."""
    pad = " " * (depth + 1)
    return "{\n" + ",\n".join(f"{pad}{_encode(key)}: {text}" for key, text in items) + "\n" + " " * depth + "}"


def _list_lines(items: Sequence[str], depth: int) -> str:
    pad = " " * (depth + 1)
    return "[\n" + ",\n".join(f"{pad}{text}" for text in items) + "\n" + " " * depth + "]" if items else "[]"


def _pushed_text(config: EnvoyConfig, epoch: Epoch) -> str:
    """`_text({"config": config.to_json(), "epoch": epoch})`, with what was written of the resources before."""
    types = sorted(config.types.items())
    lists = _object_lines(((name, _list_lines(of.written(_resource_lines), 2)) for name, of in types), 1)
    return _object_lines([("config", lists), ("epoch", _lines(list(epoch), 1))], 0) + "\n"


def _resource_lines(resource: Object) -> str:
    return _lines(resource, RESOURCE_DEPTH)


def _compressed(config: EnvoyConfig, epoch: Epoch) -> str:
    """Base64 of gzip without a time stamp."""
    gzip = zlib.compressobj(level=9, wbits=zlib.MAX_WBITS | 16)
    pushed = f'{{"config":{config.text},"epoch":[{epoch[0]},{epoch[1]}]}}'
    return base64.b64encode(gzip.compress(pushed.encode()) + gzip.flush()).decode("ascii")
