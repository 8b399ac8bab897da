"""The tenants' limits as the services' library reads them, where it is they who enforce them (`Middleware`).

Only exposed services get limits, so that a tenant is charged where its requests come in. That a pod has the file
is part of a revision; what is in it is not: other limits reach running pods, and restart none.
"""

import json
from collections.abc import Iterable

from resilientslice.api.policies import Enforcement, Limit, RateLimit, Tenant
from resilientslice.api.slice import ResilientSlice
from resilientslice.render.deployments import wanted_replicas
from resilientslice.render.environment import charges_tenants
from resilientslice.render.metadata import Object, metadata, slice_labels
from resilientslice.render.names import limits_name
from resilientslice.render.presence import Presence, present_services
from resilientslice.render.revision import Revision, ServiceRevision
from resilientslice.render.tracks import CanaryTrack
from resilientslice.render.volumes import LIMITS_VOLUME


def render_limits(slice_: ResilientSlice, present: tuple[Presence, ...]) -> Object | None:
    """The ConfigMap that pods mount: a file for each service that has pods with the mount, also while what they were
    made for is no longer asked for. None without such pods."""
    told = [service for service in present if any(_has_mount(track) for track in service.tracks.values())]
    if not told:
        return None
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(slice_, limits_name(slice_.name), slice_labels(slice_)),
        "data": {f"{service.name}.json": _text(_file(slice_, service)) for service in told},
    }


def enforced_by(slice_: ResilientSlice, stable: Revision, canary: CanaryTrack | None) -> RateLimit | None:
    """The limits with who really enforces them now. On the way to Middleware that is Envoy, until every pod that a
    tenant can reach has the file: for as long as a canary holds, nobody would be limited otherwise."""
    limits = slice_.spec.rate_limit
    if limits is None or limits.enforcement is not Enforcement.MIDDLEWARE:
        return limits
    exposed = [service for service in present_services(slice_, stable, canary) if service.policy.expose]
    if all(_has_mount(track) for service in exposed for track in service.tracks.values()):
        return limits
    return limits.model_copy(update={"enforcement": Enforcement.LOCAL})


def _file(slice_: ResilientSlice, service: Presence) -> Object:
    limits = slice_.spec.rate_limit or RateLimit()
    return {
        "enabled": charges_tenants(slice_.spec, service.policy),
        # an external Redis may serve other slices, too
        "scope": f"{slice_.namespace}/{slice_.name}",
        "tenantHeader": limits.tenant_header,
        "default": _limit(limits.default),
        "tenants": [{"name": tenant.name, **_limit(tenant)} for tenant in _sorted(limits.tenants)],
        "onRedisFailure": limits.on_redis_failure.value,
        "replicas": max(1, sum(_replicas(service))),
    }


def _replicas(service: Presence) -> Iterable[int]:
    """Those that share the limits while each counts by itself. Of an autoscaled service the fewest: while Redis is away
    tenants are let through too freely rather than cut short of what they pay for, and bulkheads still protect it."""
    for track in service.tracks:
        wanted = wanted_replicas(service, track)
        yield service.least_replicas if wanted is None else wanted


def _has_mount(revision: ServiceRevision) -> bool:
    return any(volume["name"] == LIMITS_VOLUME for volume in revision.template["spec"].get("volumes", ()))


def _limit(limit: Limit | Tenant) -> Object:
    return {"requestsPerSecond": limit.requests_per_second, "burst": limit.burst}


def _sorted(tenants: Iterable[Tenant]) -> list[Tenant]:
    return sorted(tenants, key=lambda tenant: tenant.name)


def _text(value: Object) -> str:
    return json.dumps(value, sort_keys=True, indent=1) + "\n"
