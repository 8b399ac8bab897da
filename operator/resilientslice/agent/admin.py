"""Envoy's admin interface on its unix socket: what it counts and whom it ejected."""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from resilientslice.agent.settings import ADMIN_TIMEOUT_SECONDS

_ANSWER_LIMIT = 32 * 1024 * 1024
_FILTER = (
    r"^cluster\..+\.(upstream_rq_(2xx|4xx|5xx|total|retry)|membership_(healthy|total)"
    r"|outlier_detection\.ejections_active)$"
    r"|^http\..+\.downstream_rq_([2345]xx|total)$"
    r"|^.+\.http_local_rate_limit\.(ok|rate_limited|enforced)$"
)
_NAME = re.compile(
    r"^(?:cluster\.(?P<cluster>.+?)\.(?P<cluster_stat>upstream_rq_\w+|membership_\w+|outlier_detection\.ejections_active)"
    r"|http\.(?P<http>.+)\.(?P<http_stat>downstream_rq_\w+)"
    r"|(?P<limit>.+)\.http_local_rate_limit\.(?P<limit_stat>\w+))$"
)
_HOST_STATS = frozenset({"rq_success", "rq_error", "rq_total", "rq_active", "cx_connect_fail"})
_TIMES = r"^cluster\..+-canary\.upstream_rq_time$"
_TIMED = re.compile(r"^cluster\.(?P<cluster>.+)\.upstream_rq_time$")
_CONNECTIONS = r"^http\..+\.downstream_cx_active$"
_OWN = frozenset({"http.admin.downstream_cx_active", "http.stats.downstream_cx_active"})
"""The agent's own connections, and Prometheus's."""
_SUBDIVIDED = (".internal", ".external", ".canary")
"""Envoy counts each request once more under one of these; a cluster's name is never that."""


class AdminUnreachableError(Exception):
    """Envoy's admin interface gave no usable answer in time."""


@dataclass(frozen=True, slots=True)
class EnvoyInfo:
    """`uptime` in seconds; `live` once Envoy takes requests. `error` says why nothing is known."""

    version: str = ""
    uptime: int = 0
    live: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Readings:
    """Counters as `{"clusters": {name: {stat: value}}, "http": …, "ratelimit": …}`, and (cluster, host) ejected."""

    counters: Mapping[str, Mapping[str, Mapping[str, int]]] = field(
        default_factory=lambda: {"clusters": {}, "http": {}, "ratelimit": {}}
    )
    ejected: tuple[tuple[str, str], ...] = ()
    p99: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds by cluster of a canary."""


class EnvoyAdmin:
    """A client of one Envoy's admin socket. The socket may come and go with Envoy."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(self._socket)),
            timeout=aiohttp.ClientTimeout(total=ADMIN_TIMEOUT_SECONDS),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def read(self) -> tuple[EnvoyInfo, Readings]:
        """What Envoy says of itself and counts. An Envoy that doesn't answer is said so in `error`."""
        try:
            info, stats, clusters, times = await asyncio.gather(
                self._get("/server_info"),
                self._get("/stats", format="json", filter=_FILTER),
                self._get("/clusters", format="json"),
                self._get("/stats", format="json", filter=_TIMES),
            )
        except AdminUnreachableError as error:
            return EnvoyInfo(error=str(error)), Readings()
        counters = parse_counters(stats)
        for cluster, tries in parse_tries(clusters).items():
            counters["clusters"].setdefault(cluster, {}).update(tries)
        return parse_info(info), Readings(counters, parse_ejected(clusters), parse_p99(times))

    async def drain(self) -> None:
        """Ask Envoy to tell its clients to leave, and to keep serving them meanwhile. AdminUnreachableError."""
        await self._call("POST", "/drain_listeners?graceful&skip_exit")

    async def connections(self) -> int:
        """Clients' connections to the slice's own listeners. AdminUnreachableError."""
        stats = await self._get("/stats", format="json", filter=_CONNECTIONS)
        return parse_connections(stats)

    async def _get(self, path: str, **query: str) -> Any:
        body = await self._call("GET", path, **query)
        try:
            return json.loads(body)
        except ValueError as error:
            raise AdminUnreachableError(f"Envoy's admin interface at {self._socket}{path}: {error}") from error

    async def _call(self, method: str, path: str, **query: str) -> bytes:
        if self._session is None:
            raise AdminUnreachableError(f"{self._socket}: not opened")
        try:
            async with self._session.request(method, f"http://envoy{path}", params=query) as response:
                response.raise_for_status()
                return await _whole(response.content)
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            words = str(error) or type(error).__name__
            raise AdminUnreachableError(f"Envoy's admin interface at {self._socket}{path}: {words}") from error


async def _whole(content: aiohttp.StreamReader) -> bytes:
    """All of an answer, however many pieces it comes in. Raises ValueError for one that is too large."""
    pieces = bytearray()
    async for piece in content.iter_any():
        pieces += piece
        if len(pieces) > _ANSWER_LIMIT:
            raise ValueError(f"the answer is larger than {_ANSWER_LIMIT} bytes")
    return bytes(pieces)


def parse_info(data: Mapping[str, Any]) -> EnvoyInfo:
    """`/server_info`: the version stands between slashes after the commit, the uptime is a duration."""
    parts = str(data.get("version", "")).split("/")
    return EnvoyInfo(
        version=parts[1] if len(parts) > 1 else parts[0],
        uptime=int(str(data.get("uptime_current_epoch", "0s")).removesuffix("s") or 0),
        live=data.get("state") == "LIVE",
    )


def parse_counters(data: Mapping[str, Any]) -> dict[str, dict[str, dict[str, int]]]:
    """`/stats?format=json`, sorted into clusters, listeners' prefixes and rate limits."""
    counters: dict[str, dict[str, dict[str, int]]] = {"clusters": {}, "http": {}, "ratelimit": {}}
    for stat in data.get("stats", []):
        match = _NAME.match(stat.get("name", "")) if "value" in stat else None
        if match is None:
            continue
        for group, owner, name in (
            ("clusters", match["cluster"], match["cluster_stat"]),
            ("http", match["http"], match["http_stat"]),
            ("ratelimit", match["limit"], match["limit_stat"]),
        ):
            if owner and not (group == "clusters" and owner.endswith(_SUBDIVIDED)):
                counters[group].setdefault(owner, {})[name.rpartition(".")[2]] = int(stat["value"])
    return counters


def parse_tries(data: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """`/clusters?format=json`: per cluster, what its hosts of now were asked, as `hosts_rq_success` and so on.

    A cluster's own counters miss what came to it through an aggregate, which counts there. A canary's failures that a
    retry hid from the callers are seen only here. A host that goes takes its counts with it.
    """
    tries: dict[str, dict[str, int]] = {}
    for cluster in data.get("cluster_statuses", []):
        for host in cluster.get("host_statuses", []):
            for stat in host.get("stats", []):
                if stat.get("name") in _HOST_STATS:
                    counted = tries.setdefault(cluster["name"], {})
                    name = f"hosts_{stat['name']}"
                    counted[name] = counted.get(name, 0) + int(stat.get("value", 0))
    return tries


def parse_p99(data: Mapping[str, Any]) -> dict[str, float]:
    """`/stats?format=json` of histograms: by cluster, the 99th percentile of the last interval, if anything came."""
    found: dict[str, float] = {}
    for entry in data.get("stats", ()):
        histograms = entry.get("histograms", {})
        quantiles = histograms.get("supported_quantiles", [])
        for histogram in histograms.get("computed_quantiles", ()) if 99 in quantiles else ():
            match = _TIMED.match(histogram["name"])
            value = histogram["values"][quantiles.index(99)].get("interval")
            if match and value is not None:
                found[match["cluster"]] = float(value)
    return found


def parse_connections(data: Mapping[str, Any]) -> int:
    """`/stats?format=json` of listeners' connections: those of the slice's callers."""
    return sum(int(stat["value"]) for stat in data.get("stats", ()) if "value" in stat and stat["name"] not in _OWN)


def parse_ejected(data: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """`/clusters?format=json`: hosts that outlier detection took out."""
    return tuple(
        sorted(
            (cluster["name"], _host(host.get("address", {})))
            for cluster in data.get("cluster_statuses", [])
            for host in cluster.get("host_statuses", [])
            if host.get("health_status", {}).get("failed_outlier_check")
        )
    )


def _host(address: Mapping[str, Any]) -> str:
    if "pipe" in address:
        return str(address["pipe"].get("path", ""))
    socket = address.get("socket_address", {})
    return f"{socket.get('address', '')}:{socket.get('port_value', 0)}"
