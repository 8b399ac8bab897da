"""The managed PostgreSQL: the official image, one pod, restricted."""

from resilientslice.api.services import StoreName
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.stores import CnpgPostgres, ManagedPostgres
from resilientslice.render.images import Images, postgres_image, render_pull_secrets
from resilientslice.render.metadata import Component, Object, labels, metadata
from resilientslice.render.names import store_name
from resilientslice.render.resources import POSTGRES_DEFAULTS, render_resources
from resilientslice.render.security import container_security
from resilientslice.render.store_settings import APPLICATION, STORE_PORTS
from resilientslice.render.stores.workload import CONFIGURATION, CREDENTIALS, DATA, Workload
from resilientslice.render.volumes import scratch_volume

HOME = "/var/lib/postgresql"
"""Mounted here, not at `data` below it: from major version 18 on the image refuses that older mount point."""

PORT = STORE_PORTS[StoreName.POSTGRES]

# Sourced by the image's entrypoint once, on an empty volume, while the server listens on its socket only.
APPLICATION_SCRIPT = f"""\
psql --set ON_ERROR_STOP=1 --set password="$(cat {CREDENTIALS}/password)" --username postgres --dbname postgres <<'SQL'
CREATE ROLE {APPLICATION} LOGIN PASSWORD :'password';
CREATE DATABASE {APPLICATION} OWNER {APPLICATION};
SQL
"""


def postgres_workload(settings: ManagedPostgres, images: Images) -> Workload:
    return Workload(
        store=StoreName.POSTGRES,
        settings=settings,
        container=_container(settings, postgres_image(settings, images)),
        volumes=(scratch_volume("run"), scratch_volume("tmp")),
        pod=render_pull_secrets(images),
        files={"10-application.sh": APPLICATION_SCRIPT},
        # the image asks for a fast shutdown, whose checkpoint may take a while on a slow disk
        grace_seconds=120,
    )


def render_cnpg_cluster(slice_: ResilientSlice, settings: CnpgPostgres) -> Object:
    """Handed to CloudNativePG, which makes its own pods, Secrets, Services and disruption budgets."""
    return {
        "apiVersion": "postgresql.cnpg.io/v1",
        "kind": "Cluster",
        "metadata": metadata(
            slice_,
            store_name(slice_.name, StoreName.POSTGRES),
            labels(slice_, StoreName.POSTGRES.value, Component.STORE),
        ),
        "spec": {
            "instances": settings.instances,
            "bootstrap": {"initdb": {"database": APPLICATION, "owner": APPLICATION}},
            "enablePDB": settings.instances > 1,
            "storage": {"size": settings.storage},
            "resources": render_resources(ManagedPostgres().resources, POSTGRES_DEFAULTS),
        },
    }


def _container(settings: ManagedPostgres, image: str) -> Object:
    return {
        "name": "postgres",
        "image": image,
        "ports": [{"name": "postgres", "containerPort": PORT, "protocol": "TCP"}],
        "env": [
            {"name": "PGDATA", "value": f"{HOME}/pgdata"},
            {"name": "POSTGRES_USER", "value": "postgres"},
            {"name": "POSTGRES_PASSWORD_FILE", "value": f"{CREDENTIALS}/superuser-password"},
            {"name": "POSTGRES_INITDB_ARGS", "value": "--data-checksums"},
        ],
        "resources": render_resources(settings.resources, POSTGRES_DEFAULTS),
        # over TCP, because the server of the first start, which only prepares the volume, has no TCP port
        "startupProbe": _ready_probe(period=5, failures=360),
        "readinessProbe": _ready_probe(period=5, failures=3),
        # not pg_isready: it says no throughout crash recovery, and a restart would begin that anew
        "livenessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 10, "timeoutSeconds": 3, "failureThreshold": 6},
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": DATA, "mountPath": HOME},
            {"name": CONFIGURATION, "mountPath": "/docker-entrypoint-initdb.d", "readOnly": True},
            {"name": "credentials", "mountPath": CREDENTIALS, "readOnly": True},
            {"name": "run", "mountPath": "/var/run/postgresql"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }


def _ready_probe(*, period: int, failures: int) -> Object:
    command = ["pg_isready", "--host=127.0.0.1", f"--port={PORT}", f"--username={APPLICATION}"]
    return {
        "exec": {"command": command},
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }
