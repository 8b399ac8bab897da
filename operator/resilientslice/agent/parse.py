"""From the JSON of a push to a configuration, naming exactly what is wrong with one that can't be read."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from google.protobuf import any_pb2, descriptor_pool, message_factory

from resilientslice.agent.messages import UnreadableError, fill, load_types
from resilientslice.agent.pieces import Piece, Pieces, framed, pieces_of
from resilientslice.agent.resources import (
    Config,
    Epoch,
    Resource,
    Resources,
    ResourceType,
    canonical_json,
    text_digest,
)
from resilientslice.agent.route_reading import Routes, read_routes

_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_EPOCH_LIMIT = 1 << 63


class MalformedError(Exception):
    """The body of a push isn't what the interface asks for. The message says which part."""


@dataclass(frozen=True, slots=True)
class PushBody:
    """What a push asks: which configuration, of which epoch, and how long to wait for Envoy (milliseconds)."""

    epoch: Epoch
    config: Mapping[str, Any]
    timeout_ms: int | None
    retry: bool


def parse_body(body: bytes) -> PushBody:
    """Read `{"epoch": [term, sequence], "config": {…}, "timeout_ms": …, "retry": …}`; the last two may be absent."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"the body is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise MalformedError('the body must be a JSON object with "epoch" and "config"')
    unknown = sorted(data.keys() - {"epoch", "config", "timeout_ms", "retry"})
    if unknown:
        raise MalformedError(f'unknown field {unknown[0]!r}: the body has "epoch", "config", "timeout_ms" and "retry"')
    config, retry = data.get("config"), data.get("retry", False)
    if not isinstance(config, dict):
        raise MalformedError('"config" must be an object of clusters, endpoints, listeners and routes')
    if not isinstance(retry, bool):
        raise MalformedError('"retry" must be true or false')
    return PushBody(parse_epoch(data.get("epoch")), config, parse_timeout(data.get("timeout_ms")), retry)


def parse_epoch(value: Any) -> Epoch:
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(type(part) is int and 0 <= part < _EPOCH_LIMIT for part in value)
    ):
        raise MalformedError(f'"epoch" must be [term, sequence], two whole numbers from 0: got {str(value)[:80]}')
    return Epoch(*value)


def parse_timeout(value: Any) -> int | None:
    """Milliseconds up to a minute."""
    if value is None:
        return None
    if type(value) is not int or not 0 < value <= 60_000:
        raise MalformedError(f'"timeout_ms" must be a whole number from 1 to 60000: got {str(value)[:80]}')
    return value


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read last: resources of each type by their canonical JSON, in the order in which they came, and the
    routes of each RouteConfiguration by its name."""

    resources: Mapping[ResourceType, Mapping[str, Resource]] = field(default_factory=dict)
    routes: Mapping[str, Routes] = field(default_factory=dict)


class ConfigParser:
    """Reads configurations. Keeps the last one's resources, so a change of one costs the reading of one; and of a
    RouteConfiguration its routes, so a change of weights costs the reading of a few.

    May be asked by several threads at once: what was read is looked at once, and replaced as a whole.
    """

    def __init__(self) -> None:
        self._read = _Read()

    def parse_push(self, data: bytes) -> tuple[PushBody, Config]:
        """The body of a push. MalformedError or UnreadableError says what is wrong."""
        before, frame = self._read, framed(data)
        pieces = pieces_of(frame[1], before.resources) if frame is not None else None
        if frame is None or pieces is None:
            body = parse_body(data)
            return body, self.parse(body.epoch, body.config)
        body = parse_body(frame[0])
        return body, self._guarded(body.epoch, pieces, frame[1], before)

    def parse(self, epoch: Epoch, data: Mapping[str, Any]) -> Config:
        """UnreadableError names the first resource that is wrong."""
        unknown = sorted(data.keys() - {kind.value for kind in ResourceType})
        if unknown:
            raise UnreadableError(f"config.{unknown[0]}", f"unknown type; known are {', '.join(ResourceType)}")
        try:
            pieces = {kind: _pieces(kind, data.get(kind.value, [])) for kind in ResourceType}
        except RecursionError:
            raise UnreadableError("config", "is nested too deeply") from None
        types = (f'"{kind}":[{",".join(piece.text for piece in pieces[ResourceType(kind)])}]' for kind in sorted(data))
        return self._guarded(epoch, pieces, "{" + ",".join(types) + "}", self._read)

    def _guarded(self, epoch: Epoch, pieces: Pieces, text: str, before: _Read) -> Config:
        try:
            return self._parse(epoch, pieces, text, before)
        except RecursionError:
            raise UnreadableError("config", "is nested too deeply") from None

    def _parse(self, epoch: Epoch, pieces: Pieces, text: str, before: _Read) -> Config:
        """`text` is the canonical JSON of the whole."""
        routes = dict(before.routes)
        read = {kind: _of_type(kind, pieces[kind], before.resources.get(kind, {}), routes) for kind in ResourceType}
        types = {kind: {made.name: made for made in read[kind].values()} for kind in ResourceType}
        config = Config(
            digest=text_digest(text),
            epoch=epoch,
            clusters=types[ResourceType.CLUSTERS],
            endpoints=types[ResourceType.ENDPOINTS],
            listeners=types[ResourceType.LISTENERS],
            routes=types[ResourceType.ROUTES],
            text=text,
        )
        _check_asks(config.clusters, ResourceType.CLUSTERS, config.endpoints, "endpoints")
        _check_asks(config.listeners, ResourceType.LISTENERS, config.routes, "routes")
        self._read = _Read(read, {name: routes[name] for name in config.routes if name in routes})
        return config


def _of_type(
    kind: ResourceType, pieces: tuple[Piece, ...], known: Mapping[str, Resource], routes: dict[str, Routes]
) -> dict[str, Resource]:
    """Resources by their text. `routes` is added to."""
    names, found = set[str](), dict[str, Resource]()
    for index, piece in enumerate(pieces):
        path = f"config.{kind}[{index}]"
        resource = known.get(piece.text) or _resource(kind, path, piece, routes)
        if resource.name in names:
            raise UnreadableError(path, f"a second resource with the name {resource.name!r}")
        names.add(resource.name)
        found[piece.text] = resource
    return found


def _pieces(kind: ResourceType, values: Any) -> tuple[Piece, ...]:
    if not isinstance(values, list):
        raise UnreadableError(f"config.{kind}", "must be a list of resources")
    # read as it is written, not as it came: of a field under both of its names the last one counts, in every order
    texts = [canonical_json(value) for value in values]
    return tuple(Piece(text, json.loads(text)) for text in texts)


def _resource(kind: ResourceType, path: str, piece: Piece, routes: dict[str, Routes]) -> Resource:
    if not isinstance(piece.value, dict):
        raise UnreadableError(path, "must be an object")
    fields = dict(piece.value)
    if fields.pop("@type", kind.url) != kind.url:
        raise UnreadableError(f"{path}.@type", f"must be {kind.url}")
    message = _message(kind, path, fields, routes)
    name = message.cluster_name if kind is ResourceType.ENDPOINTS else message.name
    if not name:
        raise UnreadableError(path, "has no name")
    return Resource(
        name=name,
        digest=text_digest(piece.text),
        encoded=message.SerializeToString(deterministic=True),
        asks=_ASKS[kind](message),
        clusters=frozenset(_route_clusters(message)) if kind is ResourceType.ROUTES else frozenset(),
        addresses=frozenset(_addresses(message)) if kind is ResourceType.LISTENERS else frozenset(),
    )


def _message(kind: ResourceType, path: str, fields: Mapping[str, Any], routes: dict[str, Routes]) -> Any:
    if kind is ResourceType.ROUTES:
        found = read_routes(fields, routes.get(str(fields.get("name")), {}))
        if found is not None:
            routes[found[0].name] = found[1]
            return found[0]
    message = _MESSAGES[kind]()
    load_types(fields, path)
    fill(message, fields, path)
    return message


def _check_asks(askers: Resources, kind: ResourceType, answers: Resources, answer: str) -> None:
    for index, asker in enumerate(askers.values()):
        missing = sorted(asker.asks - answers.keys())
        if missing:
            path = f"config.{kind}[{index}]"
            raise UnreadableError(path, f"{asker.name!r} asks for {answer} {missing[0]!r}, which config.{answer} lacks")


def _endpoints_of(cluster: Any) -> frozenset[str]:
    if cluster.type != cluster_pb2.Cluster.EDS:
        return frozenset()
    return frozenset({cluster.eds_cluster_config.service_name or cluster.name})


def _routes_of(listener: Any) -> frozenset[str]:
    chains = [*listener.filter_chains, listener.default_filter_chain]
    managers = (
        _unpacked(item.typed_config)
        for chain in chains
        for item in chain.filters
        if item.typed_config.type_url.endswith(f"/{_HCM}")
    )
    return frozenset(manager.rds.route_config_name for manager in managers if manager.HasField("rds"))


def _unpacked(value: any_pb2.Any) -> Any:
    descriptor = descriptor_pool.Default().FindMessageTypeByName(value.type_url.rpartition("/")[2])
    return message_factory.GetMessageClass(descriptor).FromString(value.value)


def _route_clusters(config: Any) -> Iterator[str]:
    for host in config.virtual_hosts:
        for route in host.routes:
            action = route.route
            yield from (name for name in (action.cluster,) if name)
            yield from (weighted.name for weighted in action.weighted_clusters.clusters if weighted.name)
            yield from (mirror.cluster for mirror in action.request_mirror_policies if mirror.cluster)


def _addresses(listener: Any) -> Iterator[str]:
    """Ports without hosts: two listeners of one port on different hosts are never assumed to get along."""
    for address in [listener.address, *(extra.address for extra in listener.additional_addresses)]:
        yield _address(address)


def _address(address: address_pb2.Address) -> str:
    if address.WhichOneof("address") == "pipe":
        return f"pipe {address.pipe.path}"
    return f"{address.socket_address.protocol} {address.socket_address.port_value}"


def _nothing(_: Any) -> frozenset[str]:
    return frozenset()


_MESSAGES: Mapping[ResourceType, Callable[[], Any]] = {
    ResourceType.CLUSTERS: cluster_pb2.Cluster,
    ResourceType.ENDPOINTS: endpoint_pb2.ClusterLoadAssignment,
    ResourceType.LISTENERS: listener_pb2.Listener,
    ResourceType.ROUTES: route_pb2.RouteConfiguration,
}
_ASKS: Mapping[ResourceType, Callable[[Any], frozenset[str]]] = {
    ResourceType.CLUSTERS: _endpoints_of,
    ResourceType.ENDPOINTS: _nothing,
    ResourceType.LISTENERS: _routes_of,
    ResourceType.ROUTES: _nothing,
}
