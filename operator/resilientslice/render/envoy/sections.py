"""The parts of a service's paths with a policy of their own: `spec.services[].routes` over the service's policy."""

from dataclasses import dataclass
from typing import TypeVar

from resilientslice.api.overrides import given
from resilientslice.api.scalars import duration_milliseconds
from resilientslice.api.services import Route
from resilientslice.render.envoy.routed import RoutedService

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Section:
    """Times in milliseconds; a time-out of 0 is none. A try may take `per_try`; 0: as long as the request."""

    prefix: str
    timeout: int
    per_try: int
    attempts: int
    idle: int | None = None
    websocket: bool = False


def sections_of(service: RoutedService, base: str) -> tuple[Section, ...]:
    """The sections below `base`, which is one itself, the longest prefix first."""
    inside = {route.path_prefix: route for route in service.spec.routes if _covers(base, route.path_prefix)}
    around = [route for route in service.spec.routes if _covers(route.path_prefix, base)]
    nearest = max(around, key=lambda route: len(route.path_prefix), default=None)
    routes: dict[str, Route | None] = {base: nearest, **inside}
    return tuple(_section(service, prefix, routes[prefix]) for prefix in sorted(routes, key=lambda p: (-len(p), p)))


def path_match(prefix: str) -> dict[str, str]:
    """`/pay` matches `/pay` and `/pay/x` but not `/payments`, as in an Ingress. Only `/` itself ends with a slash."""
    return {"prefix": "/"} if prefix == "/" else {"path_separated_prefix": prefix}


def _covers(prefix: str, path: str) -> bool:
    return prefix in ("/", path) or path.startswith(f"{prefix}/")


def _section(service: RoutedService, prefix: str, route: Route | None) -> Section:
    retries = service.policy.retries
    timeout, attempts, per_try = service.policy.timeout, retries.attempts, retries.per_try_timeout
    if route is not None and route.timeout is not None:
        timeout, per_try = route.timeout, None
    attempts = _first(given(route, "retries", "attempts"), attempts)
    per_try = _first(given(route, "retries", "per_try_timeout"), per_try)
    idle = given(route, "idle_timeout")
    return Section(
        prefix=prefix,
        timeout=duration_milliseconds(timeout),
        per_try=_per_try(duration_milliseconds(timeout), attempts, per_try),
        attempts=attempts,
        idle=None if idle is None else duration_milliseconds(idle),
        websocket=route is not None and route.websocket,
    )


def _first(own: T | None, inherited: T) -> T:
    return inherited if own is None else own


def _per_try(timeout: int, attempts: int, own: str | None) -> int:
    """In milliseconds. A try that may take as long as the request needs no timeout of its own."""
    if own is None:
        return timeout // (attempts + 1) if attempts else 0
    return 0 if 0 < timeout <= duration_milliseconds(own) else duration_milliseconds(own)
