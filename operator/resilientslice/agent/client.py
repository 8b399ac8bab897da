"""Talks to an agent: what the operator and the local runtime use to install a configuration and to see its effect."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

_ANSWER_SECONDS = 5.0
_GRACE_SECONDS = 2.0
"""How much longer than the agent a caller waits for the answer to a push."""


_JSON = {"Content-Type": "application/json"}


class AgentError(Exception):
    """The agent can't be asked, or its answer makes no sense."""


class AgentUnreachableError(AgentError):
    """Nothing answers on the socket in time: the agent starts, has died, or hangs."""


class PushRefusedError(AgentError):
    """The agent did not take the configuration, so Envoy was not asked: malformed or oversized. `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class StaleEpochError(PushRefusedError):
    """The agent holds a configuration of a newer epoch, or another of the same epoch: `held`."""

    def __init__(self, message: str, held: tuple[int, int]) -> None:
        super().__init__(409, message)
        self.held = held


class SupersededError(PushRefusedError):
    """A newer push took this one's place before Envoy was asked. `by` is that one's digest."""

    def __init__(self, message: str, by: str) -> None:
        super().__init__(409, message)
        self.by = by


class UnansweredError(AgentError):
    """No Envoy is connected or it did not answer in time. The agent keeps the configuration and goes on offering it."""


@dataclass(frozen=True, slots=True)
class PushResult:
    """Envoy's verdict on a configuration.

    Rejected: `type` is clusters, endpoints, listeners or routes, `message` Envoy's words (or the parser's, and then
    `path` is the place in the configuration), `serving` the digest of what goes on serving, empty if nothing does.
    `durable` says whether an agent that starts again would find the accepted configuration, else `durable_reason`.
    """

    digest: str
    accepted: bool
    versions: Mapping[str, str] = field(default_factory=dict)
    type: str = ""
    message: str = ""
    path: str = ""
    serving: str = ""
    durable: bool = True
    durable_reason: str = ""


@dataclass(frozen=True, slots=True)
class EnvoyStatus:
    """`connected` counts ADS streams. `uptime` in seconds; `error` says why the admin interface gave nothing."""

    connected: int
    version: str
    uptime: int
    live: bool
    error: str


@dataclass(frozen=True, slots=True)
class Rejection:
    digest: str
    type: str
    message: str


@dataclass(frozen=True, slots=True)
class Ejection:
    """A host (`address:port`) that Envoy took out of a cluster."""

    cluster: str
    host: str


Counters = Mapping[str, Mapping[str, int]]
"""Owner (cluster, listener's prefix, limit's prefix) → Envoy's name of the number → value."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the agent offers (`digest`), what Envoy acknowledged last (`acked`), and what Envoy counts."""

    digest: str
    epoch: tuple[int, int]
    acked: str
    rejected: Rejection | None
    durable: bool
    durable_reason: str
    envoy: EnvoyStatus
    clusters: Counters
    http: Counters
    ratelimit: Counters
    ejected: tuple[Ejection, ...]
    p99: Mapping[str, float] = field(default_factory=dict)
    """Cluster of a canary → milliseconds of the slowest hundredth of its answers, in Envoy's last interval."""


class AgentClient:
    """A client of one agent. The socket may come and go; calls then raise AgentUnreachableError."""

    def __init__(self, api_socket: Path) -> None:
        self._socket = api_socket
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def push(
        self,
        config: Mapping[str, Any],
        epoch: tuple[int, int],
        timeout: float = 5.0,  # noqa: ASYNC109 - the agent counts it, and answers when it is over
        *,
        retry: bool = False,
    ) -> PushResult:
        """Install a configuration (`EnvoyConfig.to_json()`) and wait up to `timeout` seconds for Envoy's verdict.

        Every change needs an epoch above the last one's; the same configuration may be pushed again with any epoch not
        below. `retry` offers one that Envoy refused before once more. A rejection is a result, not an error; raises
        StaleEpochError, SupersededError, PushRefusedError, UnansweredError, AgentUnreachableError.
        """
        body = {"epoch": list(epoch), "config": config, "timeout_ms": max(1, round(timeout * 1000)), "retry": retry}
        status, answer = await self._call("PUT", "/config", body=body, seconds=timeout + _GRACE_SECONDS)
        if status == 200 or (status == 422 and answer.get("accepted") is False):
            return push_result_of(answer)
        message = str(answer.get("error", ""))
        if status == 409 and "held" in answer:
            raise StaleEpochError(message, _epoch(answer["held"]))
        if status == 409:
            raise SupersededError(message, str(answer.get("superseded_by", "")))
        if status == 504:
            raise UnansweredError(message)
        raise PushRefusedError(status, message)

    async def snapshot(self) -> Snapshot:
        """The state of agent and Envoy now. An Envoy that doesn't answer is reported in it (`envoy.error`)."""
        status, answer = await self._call("GET", "/snapshot")
        if status != 200:
            raise AgentError(f"{self._socket}: /snapshot answered {status}: {answer.get('error', '')}")
        return snapshot_of(answer)

    async def ready(self) -> bool:
        """Envoy is connected and has acknowledged a whole configuration."""
        status, _ = await self._call("GET", "/readyz")
        return status == 200

    async def _call(
        self, method: str, path: str, *, body: Any = None, seconds: float = _ANSWER_SECONDS
    ) -> tuple[int, dict[str, Any]]:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self._socket)))
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._session.request(
                method, f"http://agent{path}", data=_encoded(body), headers=_JSON, timeout=timeout
            ) as response:
                answer = await response.json()
        except (aiohttp.ContentTypeError, ValueError) as error:
            raise AgentError(f"{self._socket}: {path} answered with something else than JSON: {error}") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            words = str(error) or type(error).__name__
            raise AgentUnreachableError(f"{self._socket}: the agent does not answer: {words}") from error
        if not isinstance(answer, dict):
            raise AgentError(f"{self._socket}: {path} answered with something else than an object")
        return response.status, answer


def _encoded(body: Any) -> io.BytesIO | None:
    """A stream, because aiohttp warns of large bodies that are bytes."""
    return None if body is None else io.BytesIO(json.dumps(body).encode())


def _epoch(value: Any) -> tuple[int, int]:
    term, sequence = value
    return int(term), int(sequence)


def push_result_of(answer: Mapping[str, Any]) -> PushResult:
    """Reads the answer to a push that Envoy, or the parser, gave a verdict on."""
    return PushResult(
        digest=str(answer.get("digest", "")),
        accepted=bool(answer["accepted"]),
        versions=dict(answer.get("versions", {})),
        type=str(answer.get("type", "")),
        message=str(answer.get("message", "")),
        path=str(answer.get("path", "")),
        serving=str(answer.get("serving", "")),
        durable=bool(answer.get("durable", True)),
        durable_reason=str(answer.get("durable_reason", "")),
    )


def snapshot_of(answer: Mapping[str, Any]) -> Snapshot:
    """Reads `GET /snapshot`; AgentError if it can't be read."""
    try:
        counters = answer["counters"]
        return Snapshot(
            digest=answer["digest"],
            epoch=_epoch(answer["epoch"]),
            acked=answer["acked"],
            rejected=Rejection(**answer["rejected"]) if answer["rejected"] else None,
            durable=answer["durable"],
            durable_reason=answer["durable_reason"],
            envoy=EnvoyStatus(**answer["envoy"]),
            clusters=counters["clusters"],
            http=counters["http"],
            ratelimit=counters["ratelimit"],
            ejected=tuple(Ejection(**item) for item in answer["ejected"]),
            p99={cluster: float(value) for cluster, value in answer.get("p99", {}).items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AgentError(f"the agent's snapshot is not understood: {error!r}") from error
