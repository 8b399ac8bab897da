"""The environment of a service's container: what the operator tells it, and what the user adds or overrides."""

from resilientslice.api.pods import EnvFrom, EnvVar, KeyRef
from resilientslice.api.policies import Enforcement
from resilientslice.api.services import Service, StoreName
from resilientslice.api.slice import ResilientSlice, Spec
from resilientslice.render.metadata import Object
from resilientslice.render.names import LABEL_TRACK, service_name, url_variable
from resilientslice.render.store_settings import url_secret

LIMITS_FOLDER = "/etc/resilientslice/limits"
"""Where pods find the limits of tenants. The folder is mounted: a file mounted by `subPath` would never change."""
STORE_VARIABLES = {StoreName.POSTGRES: "DATABASE_URL", StoreName.REDIS: "REDIS_URL"}


def render_environment(slice_: ResilientSlice, service: Service, *, digest: str) -> list[Object]:
    """Ours first, so that a user's value may refer to ours as `$(PORT)`; a user's variable of the same name wins."""
    users = {variable.name for variable in service.env}
    ours = [
        *_identity(slice_, service, digest),
        *_headers(slice_),
        *_limits(slice_, service),
        *_callees(slice_, service),
        *_stores(slice_, service),
    ]
    return [v for v in ours if v["name"] not in users] + [_variable(v) for v in service.env]


def render_environment_sources(service: Service) -> list[Object]:
    return [_source(source) for source in service.env_from]


def _identity(slice_: ResilientSlice, service: Service, digest: str) -> list[Object]:
    port = [_value("PORT", str(service.port))] if service.port is not None else []
    return [
        *port,
        _value("RSLICE_SLICE", slice_.name),
        _value("RSLICE_SERVICE", service.name),
        # both tracks share one template; only the label tells them apart
        _field("RSLICE_TRACK", f"metadata.labels['{LABEL_TRACK}']"),
        _value("RSLICE_VERSION", digest),
        _field("POD_NAME", "metadata.name"),
    ]


def _headers(slice_: ResilientSlice) -> list[Object]:
    limit, canary = slice_.spec.rate_limit, slice_.spec.canary
    tenant = [_value("TENANT_HEADER", limit.tenant_header)] if limit else []
    return tenant + ([_value("CANARY_HEADER", canary.header.name)] if canary else [])


def charges_tenants(spec: Spec, service: Service) -> bool:
    """Whether the service's own library limits tenants: where requests come in, and nowhere behind it."""
    limits = spec.rate_limit
    return limits is not None and limits.enforcement is Enforcement.MIDDLEWARE and service.expose is not None


def _limits(slice_: ResilientSlice, service: Service) -> list[Object]:
    charges = charges_tenants(slice_.spec, service)
    return [_value("RATE_LIMITS_FILE", f"{LIMITS_FOLDER}/{service.name}.json")] if charges else []


def _callees(slice_: ResilientSlice, service: Service) -> list[Object]:
    callees = (slice_.service(name) for name in sorted(service.depends_on))
    return [
        _value(url_variable(callee.name), f"http://{service_name(slice_.name, callee.name)}:{callee.port}")
        for callee in callees
        if callee is not None and callee.port is not None
    ]


def _stores(slice_: ResilientSlice, service: Service) -> list[Object]:
    secrets = ((STORE_VARIABLES[store], url_secret(slice_, store)) for store in sorted(set(service.stores)))
    return [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret.name, "key": secret.key}}}
        for variable, secret in secrets
        if secret is not None
    ]


def _value(name: str, value: str) -> Object:
    return {"name": name, "value": value}


def _field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def _variable(variable: EnvVar) -> Object:
    source = variable.value_from
    if source is None:
        return _value(variable.name, variable.value or "")
    if source.secret_key_ref:
        return {"name": variable.name, "valueFrom": {"secretKeyRef": _key(source.secret_key_ref)}}
    if source.config_map_key_ref:
        return {"name": variable.name, "valueFrom": {"configMapKeyRef": _key(source.config_map_key_ref)}}
    return _field(variable.name, source.field_ref.field_path if source.field_ref else "")


def _key(ref: KeyRef) -> Object:
    return {"name": ref.name, "key": ref.key, "optional": ref.optional}


def _source(source: EnvFrom) -> Object:
    prefix = {"prefix": source.prefix} if source.prefix else {}
    if source.secret_ref:
        return {**prefix, "secretRef": {"name": source.secret_ref.name, "optional": source.secret_ref.optional}}
    ref = source.config_map_ref
    return {**prefix, "configMapRef": {"name": ref.name, "optional": ref.optional} if ref else {}}
