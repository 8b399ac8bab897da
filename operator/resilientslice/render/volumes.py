"""The volumes of a service's pod: `/tmp`, because the root is read-only, and what the user mounts."""

from resilientslice.api.pods import EmptyDir, Volume
from resilientslice.api.services import Service
from resilientslice.api.slice import ResilientSlice
from resilientslice.render.environment import LIMITS_FOLDER, charges_tenants
from resilientslice.render.metadata import Object
from resilientslice.render.names import limits_name

SCRATCH = "rslice-tmp"
"""Prefixed, so that a user's volume may be called `tmp`."""
LIMITS_VOLUME = "rslice-limits"


def render_volumes(slice_: ResilientSlice, service: Service) -> list[Object]:
    users = [{"name": volume.name, **_source(volume)} for volume in service.volumes]
    if charges_tenants(slice_.spec, service):
        users.append({"name": LIMITS_VOLUME, "configMap": {"name": limits_name(slice_.name)}})
    return users if _mounts_scratch(service) else [scratch_volume(SCRATCH), *users]


def render_mounts(slice_: ResilientSlice, service: Service) -> list[Object]:
    users = [_mount(volume) for volume in service.volumes]
    if charges_tenants(slice_.spec, service):
        users.append({"name": LIMITS_VOLUME, "mountPath": LIMITS_FOLDER, "readOnly": True})
    return users if _mounts_scratch(service) else [{"name": SCRATCH, "mountPath": "/tmp"}, *users]  # noqa: S108


def scratch_volume(name: str, size: str = "64Mi") -> Object:
    return {"name": name, "emptyDir": {"sizeLimit": size}}


def _mounts_scratch(service: Service) -> bool:
    """Two mounts of one path are refused by the API, and the user's own is the larger or the faster one."""
    return any(volume.mount_path == "/tmp" for volume in service.volumes)  # noqa: S108


def _source(volume: Volume) -> Object:
    if volume.secret:
        return {"secret": {"secretName": volume.secret.name, "optional": volume.secret.optional}}
    if volume.config_map:
        return {"configMap": {"name": volume.config_map.name, "optional": volume.config_map.optional}}
    if volume.persistent_volume_claim:
        return {"persistentVolumeClaim": {"claimName": volume.persistent_volume_claim.claim_name}}
    empty = volume.empty_dir or EmptyDir()
    medium = {"medium": empty.medium} if empty.medium else {}
    return {"emptyDir": {**medium, "sizeLimit": empty.size_limit}}


def _mount(volume: Volume) -> Object:
    sub_path = {"subPath": volume.sub_path} if volume.sub_path else {}
    read_only = {"readOnly": True} if volume.read_only and not volume.empty_dir else {}
    return {"name": volume.name, "mountPath": volume.mount_path, **sub_path, **read_only}
