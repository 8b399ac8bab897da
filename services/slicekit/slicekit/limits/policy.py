"""The limits as the operator hands them over: a JSON file, checked as a whole before any of it is used."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

ANONYMOUS = "anonymous"
_TENANT = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9._]*[A-Za-z0-9])?", re.ASCII)
_LONGEST_TENANT = 63
_HEADER_PATTERN = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$"

_Rate = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


class OnRedisFailure(StrEnum):
    """What becomes of a request that Redis could not count."""

    LOCAL_FALLBACK = "LocalFallback"
    ALLOW = "Allow"
    DENY = "Deny"


class LimitsError(ValueError):
    """A file that can't be used. The text says where in it and why."""


@dataclass(frozen=True, slots=True)
class Limit:
    per_second: int
    burst: int


@dataclass(frozen=True, slots=True)
class Limits:
    """`replicas` share the limits while each of them counts by itself; `scope` sets these tenants apart from those of
    others in the same Redis. Not `enabled`: nobody is charged here."""

    scope: str
    tenant_header: str
    default: Limit
    tenants: dict[str, Limit]
    on_failure: OnRedisFailure
    replicas: int
    enabled: bool

    def of(self, tenant: str) -> Limit:
        return self.tenants.get(tenant, self.default)


class _Strict(BaseModel):
    # What it doesn't know is left alone: an operator may be newer than the library in an image.
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")


class _Limit(_Strict):
    requests_per_second: _Rate
    burst: _Rate

    def limit(self) -> Limit:
        return Limit(self.requests_per_second, self.burst)


class _Tenant(_Limit):
    name: Annotated[str, Field(min_length=1, max_length=_LONGEST_TENANT, pattern=f"^{_TENANT.pattern}$")]


class _File(_Strict):
    enabled: bool = True
    scope: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[!-~]+$")] = "default"
    tenant_header: Annotated[str, Field(pattern=_HEADER_PATTERN)] = "X-Tenant"
    default: _Limit
    tenants: Annotated[list[_Tenant], Field(max_length=10_000)] = []
    on_redis_failure: OnRedisFailure = OnRedisFailure.LOCAL_FALLBACK
    replicas: Annotated[int, Field(ge=1, le=100_000, strict=True)] = 1

    @model_validator(mode="after")
    def _each_tenant_once(self) -> Self:
        names = [tenant.name for tenant in self.tenants]
        twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
        if twice is not None:
            raise ValueError(f"tenant {twice!r} is listed twice; list each once")
        return self


def parse_limits(text: str | bytes) -> Limits:
    """LimitsError with the first thing that is wrong."""
    try:
        file = _File.model_validate_json(text)
    except ValidationError as exc:
        raise LimitsError(_first_problem(exc)) from exc
    return Limits(
        scope=file.scope,
        tenant_header=file.tenant_header,
        default=file.default.limit(),
        tenants={tenant.name: tenant.limit() for tenant in file.tenants},
        on_failure=file.on_redis_failure,
        replicas=file.replicas,
        enabled=file.enabled,
    )


def tenant_of(header: str | None) -> str:
    """Whom a request is charged to. Who gives no name, or one that can't be a tenant's, is one of the anonymous."""
    if header is None or len(header) > _LONGEST_TENANT or not _TENANT.fullmatch(header):
        return ANONYMOUS
    return header


def _first_problem(exc: ValidationError) -> str:
    first = exc.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
