"""Rules of who calls what: the edges between services, and the stores they reach."""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network

from resilientslice.api.problems import Path, Problem, missing, nearest, problem
from resilientslice.api.rules.draft import Draft, Entry
from resilientslice.api.rules.services import each

MAX_CHAIN = 32
"""Services in a row that call each other. CEL counts them off one by one, so there must be an end."""

UNKNOWN_SERVICE = "dependsOn must name services of this slice"
PORTLESS_SERVICE = "dependsOn must name services that have a port"
ITSELF = "a service must not depend on itself"
CYCLE = "dependsOn must not form a cycle"
CHAIN = f"a chain of dependsOn must not be longer than {MAX_CHAIN} services"
CYCLE_OR_CHAIN = f"{CYCLE}, nor a chain of more than {MAX_CHAIN} services"
UNKNOWN_STORE = "stores must name stores of spec.stores"
BAD_CIDR = "must be a range of addresses"

Edges = Mapping[str, Sequence[str]]


def edges(draft: Draft) -> Iterator[Problem]:
    ports = {service.name: service.has_port for service in draft.declared}
    for service in draft.services:
        for index, name in enumerate(service.spec.depends_on):
            path = service.at("dependsOn", index)
            if name == service.spec.name:
                yield problem(path, name, ITSELF, "remove it: a service may always call itself on localhost")
            elif name not in ports:
                yield problem(path, name, UNKNOWN_SERVICE, _meant(name, [n for n in ports if n != service.spec.name]))
            elif not ports[name]:
                yield problem(path, name, PORTLESS_SERVICE, f"give {name} a port, or remove it here")


def cycles(draft: Draft) -> Iterator[Problem]:
    """One problem a cycle, at the edge that closes it; a chain that is too long only where there is no cycle."""
    graph = {
        service.spec.name: [name for name in service.spec.depends_on if name != service.spec.name]
        for service in draft.services
    }
    places = {service.spec.name: service for service in draft.services}
    found = find_cycles(graph)
    for cycle in found:
        *_, last, first = cycle
        service = places[last]
        path = service.at("dependsOn", service.spec.depends_on.index(first))
        yield problem(path, first, f"{CYCLE}: {' → '.join(cycle)}", "remove one of these calls")
    chain = [] if found else longest_chain(graph)
    if len(chain) > MAX_CHAIN:
        path = places[chain[0]].at("dependsOn")
        yield missing(path, f"{CHAIN}: {' → '.join(chain)}", "let some of them call directly")


def find_cycles(graph: Edges) -> list[list[str]]:
    """A cycle for each edge that leads back, in a walk by depth: `[a, b, a]`. No edges outside of the graph."""
    found: list[list[str]] = []
    done: set[str] = set()
    for start in graph:
        _walk(graph, [start], done, found)
    return found


def _walk(graph: Edges, trail: list[str], done: set[str], found: list[list[str]]) -> None:
    """At most 64 services, so recursion is at most that deep."""
    if trail[-1] in done:
        return
    for name in graph[trail[-1]]:
        if name in trail:
            found.append([*trail[trail.index(name) :], name])
        elif name in graph:
            _walk(graph, [*trail, name], done, found)
    done.add(trail[-1])


def longest_chain(graph: Edges) -> list[str]:
    """The longest way through a graph that has no cycle."""
    longest: dict[str, list[str]] = {}

    def from_(name: str) -> list[str]:
        if name not in longest:
            ways = [from_(other) for other in graph[name] if other in graph]
            longest[name] = [name, *max(ways, key=len, default=[])]
        return longest[name]

    return max((from_(name) for name in graph), key=len, default=[])


def stores_exist(draft: Draft) -> Iterator[Problem]:
    if draft.store_names is None:
        return
    for service in draft.services:
        for index, store in enumerate(service.spec.stores):
            if store.value not in draft.store_names:
                fix = f"add it there: {store.value}: {{managed: {{}}}}"
                yield problem(service.at("stores", index), store.value, UNKNOWN_STORE, fix)


def egress(service: Entry) -> Iterator[Problem]:
    for index, rule in enumerate(service.spec.egress):
        yield from cidr(service.at("egress", index, "cidr"), rule.cidr)


def cidr(path: Path, value: str) -> Iterator[Problem]:
    """A range must parse, and have no bits set behind its prefix: those are most often a typing error."""
    try:
        ip_network(value)
    except ValueError as error:
        yield problem(path, value, f"{BAD_CIDR}: {str(error).partition(' in ')[0]}", _range_meant(value))


def _range_meant(value: str) -> str:
    try:
        return f"did you mean {ip_network(value, strict=False)}?"
    except ValueError:
        return "write it as 203.0.113.0/24 or 2001:db8::/32"


def _meant(name: str, known: list[str]) -> str:
    meant = nearest(name, known)
    return f"did you mean {meant}?" if meant else f"add a service {name}, or remove it here"


RULES = (edges, cycles, stores_exist, each(egress))
