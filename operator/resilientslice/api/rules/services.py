"""Rules of a service by itself: its name, how many there are of it, and how it is reached.

A service's objects are called `SLICE-SERVICE`, `SLICE-SERVICE-stable` and `SLICE-SERVICE-canary`, beside the slice's
own `SLICE-front`, `SLICE-proxy`, `SLICE-postgres` and `SLICE-redis`; so none of those words may be, or end, a name.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from resilientslice.api.problems import Path, Problem, problem
from resilientslice.api.rules.draft import Draft, Entry
from resilientslice.api.services import Protocol

RESERVED_WORDS = ("front", "proxy", "postgres", "redis", "stable", "canary")
"""Refused as a name and, after a hyphen, at the end of one."""

RESERVED_NAMES = ("database",)
"""Refused as a name only: its variable DATABASE_URL is the one that leads to PostgreSQL."""

DUPLICATE = "Duplicate value"
"""As the API server says it of a list whose entries have a key."""
RESERVED = (
    f"a service must not be called {', '.join(RESERVED_NAMES)}, nor be called or end with a hyphen and "
    f"{', '.join(RESERVED_WORDS)}: the slice gives these names itself"
)
REPLICAS_AND_AUTOSCALING = "replicas and autoscaling must not both be set"
MIN_ABOVE_MAX = "minReplicas must not be above maxReplicas"
EXPOSED_WITHOUT_PORT = "a service without a port must not be exposed"
ROUTES_WITHOUT_PORT = "a service without a port must not have routes"
GRPC_WITHOUT_PORT = "a service without a port has no protocol"
SAME_PREFIX = "each exposed service must have a pathPrefix of its own"
WEBSOCKET_OVER_GRPC = "a GRPC service has no websocket"


def reserved_word(name: str) -> str | None:
    """The word that makes `name` a reserved one, or None."""
    if name in RESERVED_NAMES:
        return name
    return next((word for word in RESERVED_WORDS if name == word or name.endswith(f"-{word}")), None)


def duplicate_names(draft: Draft) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for service in draft.declared:
        if service.name in first:
            path = ("spec", "services", service.index, "name")
            taken = f"spec.services[{first[service.name]}] has this name already"
            yield problem(path, service.name, DUPLICATE, f"{taken}: each service needs one of its own")
        first.setdefault(service.name, service.index)


def reserved_names(draft: Draft) -> Iterator[Problem]:
    for service in draft.declared:
        word = reserved_word(service.name)
        if word:
            path = ("spec", "services", service.index, "name")
            yield problem(path, service.name, RESERVED, f"name it without {word}")


def replicas(service: Entry) -> Iterator[Problem]:
    spec, scaling = service.spec, service.spec.autoscaling
    if scaling is None:
        return
    if spec.replicas is not None:
        yield problem(service.at("replicas"), spec.replicas, REPLICAS_AND_AUTOSCALING, "remove one of the two")
    if scaling.min_replicas > scaling.max_replicas:
        fix = f"minReplicas is {scaling.min_replicas}: lower it, or raise maxReplicas"
        yield problem(service.at("autoscaling", "maxReplicas"), scaling.max_replicas, MIN_ABOVE_MAX, fix)


def reached_without_port(service: Entry) -> Iterator[Problem]:
    spec = service.spec
    if spec.port is not None:
        return
    fix = "give it a port, or remove this"
    if spec.expose is not None:
        yield problem(service.at("expose"), spec.expose.model_dump(by_alias=True), EXPOSED_WITHOUT_PORT, fix)
    if spec.routes:
        prefixes = [route.path_prefix for route in spec.routes]
        yield problem(service.at("routes"), prefixes, ROUTES_WITHOUT_PORT, fix)
    if spec.protocol is Protocol.GRPC:
        yield problem(service.at("protocol"), spec.protocol, GRPC_WITHOUT_PORT, fix)


def shared_prefixes(draft: Draft) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for service in draft.services:
        if service.spec.expose is None:
            continue
        prefix = service.spec.expose.path_prefix
        if prefix in first:
            fix = f"{first[prefix]} has this one already"
            yield problem(service.at("expose", "pathPrefix"), prefix, SAME_PREFIX, fix)
        first.setdefault(prefix, service.spec.name)


def routes(service: Entry) -> Iterator[Problem]:
    yield from duplicates(service.at("routes"), "pathPrefix", [route.path_prefix for route in service.spec.routes])
    for index, route in enumerate(service.spec.routes):
        if route.websocket and service.spec.protocol is Protocol.GRPC:
            path = service.at("routes", index, "websocket")
            yield problem(path, route.websocket, WEBSOCKET_OVER_GRPC, "remove websocket, or set protocol to HTTP")


def lists_of_a_service(service: Entry) -> Iterator[Problem]:
    """Lists whose entries have a key, and lists that are sets."""
    spec = service.spec
    yield from duplicates(service.at("env"), "name", [variable.name for variable in spec.env])
    yield from duplicates(service.at("volumes"), "name", [volume.name for volume in spec.volumes])
    yield from duplicates(service.at("imagePullSecrets"), "name", [secret.name for secret in spec.image_pull_secrets])
    yield from duplicates(service.at("dependsOn"), "", list(spec.depends_on))
    yield from duplicates(service.at("stores"), "", [store.value for store in spec.stores])
    for index, egress in enumerate(spec.egress):
        yield from duplicates(service.at("egress", index, "ports"), "", [str(port) for port in egress.ports])


def duplicates(path: Path, key: str, values: list[str]) -> Iterator[Problem]:
    """A problem for each value that came before. `key` is the field that has it, empty for a list of plain values."""
    counts: Counter[str] = Counter()
    for index, value in enumerate(values):
        if counts[value]:
            place = (*path, index, key) if key else (*path, index)
            yield problem(place, value, DUPLICATE, f"{path[-1]} may have it once")
        counts[value] += 1


def each(rule: Callable[[Entry], Iterator[Problem]]) -> Callable[[Draft], Iterator[Problem]]:
    """A rule of one service as a rule of all of them."""

    def rule_of_all(draft: Draft) -> Iterator[Problem]:
        for service in draft.services:
            yield from rule(service)

    return rule_of_all


RULES = (
    duplicate_names,
    reserved_names,
    each(replicas),
    each(reached_without_port),
    shared_prefixes,
    each(routes),
    each(lists_of_a_service),
)
