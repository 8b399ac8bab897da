"""From the JSON of a push to a configuration, naming exactly what is wrong with one that can't be read.

Protobuf modules are loaded when a resource first names them: all of them would cost more memory than the agent has.
"""

import importlib
import json
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from google.protobuf import any_pb2, descriptor_pool, json_format, message_factory

from resilientslice.agent.resources import (
    Config,
    Epoch,
    Resource,
    Resources,
    ResourceType,
    canonical_json,
    text_digest,
)

_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_TYPE_NAME = re.compile(r"^(?:envoy|xds|udpa)(?:\.[a-z0-9_]+)+(?:\.[A-Z][A-Za-z0-9]*)+$")
_WELL_KNOWN = "google.protobuf."
_EPOCH_LIMIT = 1 << 63


class MalformedError(Exception):
    """The body of a push isn't what the interface asks for. The message says which part."""


class UnreadableError(Exception):
    """A resource can't be read, or lacks one that it asks for. `path` is its place in the configuration."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


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


class ConfigParser:
    """Reads configurations. Keeps the last one's resources, so a change of one costs the reading of one."""

    def __init__(self) -> None:
        self._known: dict[tuple[ResourceType, str], Resource] = {}

    def parse(self, epoch: Epoch, data: Mapping[str, Any]) -> Config:
        """UnreadableError names the first resource that is wrong."""
        try:
            return self._parse(epoch, data)
        except RecursionError:
            raise UnreadableError("config", "is nested too deeply") from None

    def _parse(self, epoch: Epoch, data: Mapping[str, Any]) -> Config:
        unknown = sorted(data.keys() - {kind.value for kind in ResourceType})
        if unknown:
            raise UnreadableError(f"config.{unknown[0]}", f"unknown type; known are {', '.join(ResourceType)}")
        known: dict[tuple[ResourceType, str], Resource] = {}
        texts: dict[str, list[str]] = {}
        types = {kind: self._type(kind, data.get(kind.value, []), known, texts) for kind in ResourceType}
        config = Config(
            digest=_digest_of_all(data, texts),
            epoch=epoch,
            clusters=types[ResourceType.CLUSTERS],
            endpoints=types[ResourceType.ENDPOINTS],
            listeners=types[ResourceType.LISTENERS],
            routes=types[ResourceType.ROUTES],
        )
        _check_asks(config.clusters, ResourceType.CLUSTERS, config.endpoints, "endpoints")
        _check_asks(config.listeners, ResourceType.LISTENERS, config.routes, "routes")
        self._known = known
        return config

    def _type(
        self,
        kind: ResourceType,
        values: Any,
        known: dict[tuple[ResourceType, str], Resource],
        texts: dict[str, list[str]],
    ) -> dict[str, Resource]:
        """`known` and `texts`, canonical JSON of each resource by type, are added to."""
        if not isinstance(values, list):
            raise UnreadableError(f"config.{kind}", "must be a list of resources")
        resources: dict[str, Resource] = {}
        for index, value in enumerate(values):
            path = f"config.{kind}[{index}]"
            text = canonical_json(value)
            texts.setdefault(kind.value, []).append(text)
            digest = text_digest(text)
            resource = self._known.get((kind, digest)) or _resource(kind, path, digest, value)
            if resource.name in resources:
                raise UnreadableError(path, f"a second resource with the name {resource.name!r}")
            resources[resource.name] = known[kind, digest] = resource
        return resources


def _digest_of_all(data: Mapping[str, Any], texts: Mapping[str, list[str]]) -> str:
    """`json_digest(data)` without writing every resource down a second time."""
    types = (f'"{kind}":[{",".join(texts.get(kind, ()))}]' for kind in sorted(data))
    return text_digest("{" + ",".join(types) + "}")


def _resource(kind: ResourceType, path: str, digest: str, value: Any) -> Resource:
    if not isinstance(value, dict):
        raise UnreadableError(path, "must be an object")
    fields = dict(value)
    if fields.pop("@type", kind.url) != kind.url:
        raise UnreadableError(f"{path}.@type", f"must be {kind.url}")
    for place, name in _type_names(fields, path):
        _load(place, name)
    message = _MESSAGES[kind]()
    try:
        json_format.ParseDict(fields, message)
    except (json_format.ParseError, TypeError, AttributeError) as error:
        # besides its own error, ParseDict lets some of what it trips over through (`{"metadata": 3}`: AttributeError)
        raise UnreadableError(path, str(error).partition("\n")[0].rstrip(".")) from None
    name = message.cluster_name if kind is ResourceType.ENDPOINTS else message.name
    if not name:
        raise UnreadableError(path, "has no name")
    return Resource(
        name=name,
        digest=digest,
        encoded=message.SerializeToString(deterministic=True),
        asks=_ASKS[kind](message),
        clusters=frozenset(_route_clusters(message)) if kind is ResourceType.ROUTES else frozenset(),
        addresses=frozenset(_addresses(message)) if kind is ResourceType.LISTENERS else frozenset(),
    )


def _type_names(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every `@type` below a value, with its place."""
    waiting = [(path, value)]
    while waiting:
        place, item = waiting.pop()
        if isinstance(item, dict):
            if isinstance(item.get("@type"), str):
                yield f"{place}.@type", item["@type"].rpartition("/")[2]
            waiting += [(f"{place}.{key}", child) for key, child in item.items()]
        elif isinstance(item, list):
            waiting += [(f"{place}[{index}]", child) for index, child in enumerate(item)]


def _load(place: str, name: str) -> None:
    """Make a message type known, from the modules of its package."""
    if name.startswith(_WELL_KNOWN):
        importlib.import_module("google.protobuf.wrappers_pb2")
    elif _TYPE_NAME.match(name) and not _known(name):
        package = re.split(r"\.(?=[A-Z])", name, maxsplit=1)[0]
        try:
            folder = importlib.import_module(package)
        except ImportError:
            raise UnreadableError(place, f"unknown type {name!r}") from None
        for module in pkgutil.iter_modules(folder.__path__):
            if module.name.endswith("_pb2"):
                importlib.import_module(f"{package}.{module.name}")
    if not _known(name):
        raise UnreadableError(place, f"unknown type {name!r}")


def _known(name: str) -> bool:
    try:
        descriptor_pool.Default().FindMessageTypeByName(name)
    except KeyError:
        return False
    return True


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
