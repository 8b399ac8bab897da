"""Reads a RouteConfiguration piece by piece: a change of weights changes little of it, and reading is slow.

A route that was read before isn't read again, nor is a field of a route that has changed. What comes out is the same as
when it is read as a whole. So are the words for what can't be read: `read_routes` gives up, and the caller reads the
whole.
"""

from collections.abc import Mapping
from typing import Any

from envoy.config.route.v3 import route_components_pb2, route_pb2
from google.protobuf.message import DecodeError

from resilientslice.agent.messages import UnreadableError, fill, load_types
from resilientslice.agent.resources import canonical_json

Routes = Mapping[str, bytes]
"""Canonical JSON of a route, or of one that has but one field → its protobuf bytes."""
_HOSTS, _HOSTS_TOO, _ROUTES = "virtual_hosts", "virtualHosts", "routes"
_ABOVE = 2
"""Messages that a route is in."""
_FIELDS = dict(route_components_pb2.Route.DESCRIPTOR.fields_by_name)
_EXCLUSIVE = frozenset(name for name, field in _FIELDS.items() if field.containing_oneof is not None)


def read_routes(fields: Mapping[str, Any], known: Routes) -> tuple[Any, Routes] | None:
    """The message, and its routes for the next time; None if it is to be read as a whole."""
    hosts = fields.get(_HOSTS)
    if _HOSTS_TOO in fields or not isinstance(hosts, list) or not all(isinstance(host, dict) for host in hosts):
        return None
    routes = [host.get(_ROUTES, []) for host in hosts]
    if not all(isinstance(values, list) for values in routes):
        return None
    bare = {**fields, _HOSTS: [{**host, _ROUTES: []} for host in hosts]}
    message = route_pb2.RouteConfiguration()
    try:
        load_types(bare, "")
        fill(message, bare, "")
        return message, _added(message, routes, known)
    except (
        UnreadableError,
        DecodeError,
    ):  # the second: joined, it is deeper than bytes may be, though not than JSON may
        return None


def _added(message: Any, routes: list[list[Any]], known: Routes) -> Routes:
    found: dict[str, bytes] = {}
    for host, values in zip(message.virtual_hosts, routes, strict=True):
        for value in values:
            host.routes.add().MergeFromString(_encoded(value, known, found))
    return found


def _encoded(value: Any, known: Routes, found: dict[str, bytes]) -> bytes:
    """`found` is added to. Messages are merged by joining their bytes: https://protobuf.dev/programming-guides/encoding"""
    text = canonical_json(value)
    encoded = known.get(text)
    if encoded is None and known and _separable(value):  # the first time, all at once is quicker
        encoded = b"".join(_encoded({name: part}, known, found) for name, part in value.items())
    elif encoded is None:
        encoded = _read(value, text)
    found[text] = encoded
    return encoded


def _separable(value: Any) -> bool:
    """Its fields can be read one by one: none of them replaces another, nor has two names."""
    if not isinstance(value, dict) or len(value) < 2:
        return False
    return value.keys() <= _FIELDS.keys() and len(value.keys() & _EXCLUSIVE) < 2


def _read(value: Any, text: str) -> bytes:
    if '"@type"' in text:
        load_types(value, "")
    route = route_components_pb2.Route()
    fill(route, value, "", above=_ABOVE)
    return bytes(route.SerializeToString(deterministic=True))
