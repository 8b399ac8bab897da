"""The parts of a service's paths with a policy of their own: `spec.services[].routes` over the service's policy."""

from dataclasses import dataclass

from resilientslice.api.policies import Retries
from resilientslice.api.scalars import duration_milliseconds
from resilientslice.api.services import Route
from resilientslice.render.envoy.routed import RoutedService


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
    policy = service.policy
    timeout = duration_milliseconds(policy.timeout)
    if route is None:
        return _bounded(prefix, timeout, policy.retries, duration_milliseconds(policy.retries.per_try_timeout))
    retries, per_try = policy.retries, duration_milliseconds(policy.retries.per_try_timeout)
    if route.timeout is not None:
        per_try = _scaled(per_try, timeout, duration_milliseconds(route.timeout))
        timeout = duration_milliseconds(route.timeout)
    if route.retries is not None:
        retries = retries.model_copy(update=route.retries.model_dump(exclude_none=True))
        if route.retries.per_try_timeout is not None:
            per_try = duration_milliseconds(route.retries.per_try_timeout)
    idle = None if route.idle_timeout is None else duration_milliseconds(route.idle_timeout)
    return _bounded(prefix, timeout, retries, per_try, idle=idle, websocket=route.websocket)


def _scaled(per_try: int, timeout: int, wanted: int) -> int:
    """A route that gives a request ten times as long gives a try ten times as long, unless it says otherwise."""
    return per_try * wanted // timeout if timeout else 0


def _bounded(
    prefix: str, timeout: int, retries: Retries, per_try: int, *, idle: int | None = None, websocket: bool = False
) -> Section:
    """A try that may take as long as the request needs no time-out of its own."""
    bounded = 0 if timeout and per_try >= timeout else per_try
    return Section(
        prefix=prefix,
        timeout=timeout,
        per_try=bounded,
        attempts=retries.attempts,
        idle=idle,
        websocket=websocket,
    )
