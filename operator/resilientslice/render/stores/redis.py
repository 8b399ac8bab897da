"""The managed Redis: the official image, one pod, append-only, restricted."""

from resilientslice.api.scalars import quantity_value
from resilientslice.api.services import StoreName
from resilientslice.api.stores import ManagedRedis
from resilientslice.render.images import Images, redis_image, render_pull_secrets
from resilientslice.render.metadata import Object
from resilientslice.render.resources import REDIS_DEFAULTS, render_resources
from resilientslice.render.security import container_security
from resilientslice.render.store_settings import STORE_PORTS
from resilientslice.render.stores.workload import CONFIGURATION, CREDENTIALS, DATA, Workload
from resilientslice.render.volumes import scratch_volume

PORT = STORE_PORTS[StoreName.REDIS]
SETTINGS = "/etc/resilientslice"
MEMORY_PERCENT = 60
"""Share of the limit that data may take; rewriting the append-only file copies pages that change meanwhile."""


def redis_workload(settings: ManagedRedis, images: Images) -> Workload:
    return Workload(
        store=StoreName.REDIS,
        settings=settings,
        container=_container(settings, redis_image(settings, images)),
        volumes=(scratch_volume("tmp"),),
        pod=render_pull_secrets(images),
        files={"redis.conf": _configuration(settings)},
        grace_seconds=60,
    )


def _configuration(settings: ManagedRedis) -> str:
    limit = render_resources(settings.resources, REDIS_DEFAULTS)["limits"]["memory"]
    data_bytes = int(quantity_value(limit) * MEMORY_PERCENT / 100)
    return "\n".join(
        [
            f"port {PORT}",
            f"dir /{DATA}",
            "appendonly yes",
            "appendfsync everysec",
            f"maxmemory {data_bytes}",
            # queues live here: a write that fails is seen, an entry that was evicted is not
            "maxmemory-policy noeviction",
            f"include {CREDENTIALS}/auth.conf",
            "",
        ]
    )


def _container(settings: ManagedRedis, image: str) -> Object:
    ping = f'REDISCLI_AUTH="$(cat {CREDENTIALS}/password)" redis-cli -h 127.0.0.1 -p {PORT} ping | grep -qx PONG'
    return {
        "name": "redis",
        "image": image,
        "command": ["redis-server"],
        # the password is in an included file, because arguments can be read by everyone who may look at the pod
        "args": [f"{SETTINGS}/redis.conf"],
        "ports": [{"name": "redis", "containerPort": PORT, "protocol": "TCP"}],
        "resources": render_resources(settings.resources, REDIS_DEFAULTS),
        # a Redis that loads its file accepts connections and answers LOADING, so only PONG counts
        "startupProbe": _ping_probe(ping, period=2, failures=900),
        "readinessProbe": _ping_probe(ping, period=5, failures=3),
        "livenessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 10, "timeoutSeconds": 3, "failureThreshold": 6},
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": DATA, "mountPath": f"/{DATA}"},
            {"name": CONFIGURATION, "mountPath": SETTINGS, "readOnly": True},
            {"name": "credentials", "mountPath": CREDENTIALS, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }


def _ping_probe(command: str, *, period: int, failures: int) -> Object:
    return {
        "exec": {"command": ["sh", "-c", command]},
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }
