"""The part of a spec that Envoys alone carry out: what stays in force while an edit of it is refused.

An edit that Envoy refuses must not take the user's next decision with it. So the policy that every Envoy accepted last
is remembered, and decisions (a weight, a pause, an abort) are rendered on it until another edit is accepted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from resilientslice.api.base import Model
from resilientslice.api.policies import Canary, CanaryHeader, RateLimit, Resilience
from resilientslice.api.services import Service
from resilientslice.api.slice import ResilientSlice, Spec
from resilientslice.api.stores import Front
from resilientslice.render.revision import POD_FIELDS

SERVICE_FIELDS = frozenset(Service.model_fields) - POD_FIELDS - {"name", "replicas", "autoscaling", "egress"}
"""Fields of a service that reach Envoy and are in no revision."""
_M = TypeVar("_M", bound=Model)
_UNSEEN_IMAGE = "none"
"""Of a service that was read back; its image is no part of the policy."""


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """Policies are equal if Envoys carry out the same: `services` are kept whole, and only `SERVICE_FIELDS` count."""

    front: Front
    resilience: Resilience
    rate_limit: RateLimit | None
    header: CanaryHeader | None
    services: Mapping[str, Service] = field(default_factory=dict)

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Policy):
            return NotImplemented
        mine = (self.front, self.resilience, self.rate_limit, self.header, self.services.keys())
        theirs = (other.front, other.resilience, other.rate_limit, other.header, other.services.keys())
        return mine == theirs and all(_same(self.services[name], other.services[name]) for name in self.services)


def policy_of(spec: Spec) -> Policy:
    return Policy(
        front=spec.front,
        resilience=spec.resilience,
        rate_limit=spec.rate_limit,
        header=spec.canary.header if spec.canary else None,
        services={service.name: service for service in spec.services},
    )


def governed(slice_: ResilientSlice, policy: Policy) -> ResilientSlice:
    """The slice under another policy. Services that the policy doesn't know keep their own."""
    spec = slice_.spec
    changed: dict[str, Any] = {
        "front": policy.front,
        "resilience": policy.resilience,
        "rate_limit": policy.rate_limit,
        "canary": _headed(spec.canary, policy.header),
        "services": tuple(_governed(service, policy.services.get(service.name)) for service in spec.services),
    }
    return slice_.model_copy(update={"spec": spec.model_copy(update=changed)})


def policy_to_json(policy: Policy) -> dict[str, Any]:
    """Plain JSON values, the same for policies that are the same."""
    return {
        "front": _json(policy.front),
        "resilience": _json(policy.resilience),
        "rateLimit": None if policy.rate_limit is None else _json(policy.rate_limit),
        "header": None if policy.header is None else _json(policy.header),
        "services": {
            name: service.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=set(SERVICE_FIELDS))
            for name, service in sorted(policy.services.items())
        },
    }


def policy_from_json(data: Any) -> Policy | None:
    """None if it was written by a program that knows other fields: then nothing is known to be accepted."""
    try:
        return Policy(
            front=_read(Front, data["front"]),
            resilience=_read(Resilience, data["resilience"]),
            rate_limit=None if data["rateLimit"] is None else _read(RateLimit, data["rateLimit"]),
            header=None if data["header"] is None else _read(CanaryHeader, data["header"]),
            services={
                name: _read(Service, {**fields, "name": name, "image": _UNSEEN_IMAGE})
                for name, fields in data["services"].items()
            },
        )
    except (KeyError, TypeError, AttributeError, ValidationError):
        return None


def _same(one: Service, other: Service) -> bool:
    return one is other or all(getattr(one, name) == getattr(other, name) for name in SERVICE_FIELDS)


def _governed(service: Service, accepted: Service | None) -> Service:
    if accepted is None:
        return service
    return service.model_copy(update={name: getattr(accepted, name) for name in SERVICE_FIELDS})


def _headed(canary: Canary | None, header: CanaryHeader | None) -> Canary | None:
    """Whether there is a canary is a decision, what picks it is policy."""
    return canary if canary is None or header is None else canary.model_copy(update={"header": header})


def _read(kind: type[_M], data: Any) -> _M:
    return kind.model_validate_json(json.dumps(data))


def _json(model: Any) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
