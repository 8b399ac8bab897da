"""Talks to an agent: what the operator and the local runtime use to install a configuration and to see its effect."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from resilientslice.agent.answers import (
    AgentError,
    NotUnderstoodError,
    PushResult,
    Snapshot,
    epoch_of,
    error_of,
    object_of,
    push_result_of,
    snapshot_of,
    superseded_of,
)

_ANSWER_SECONDS = 5.0
_GRACE_SECONDS = 2.0
"""How much longer than the agent a caller waits for the answer to a push."""


_JSON = {"Content-Type": "application/json"}


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
    """No Envoy is connected or it did not answer in time. The agent keeps the configuration and keeps offering it."""


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
        message = error_of(answer)
        if status == 409 and "held" in answer:
            raise StaleEpochError(message, epoch_of(answer["held"], "held"))
        if status == 409:
            raise SupersededError(message, superseded_of(answer))
        if status == 504:
            raise UnansweredError(message)
        raise PushRefusedError(status, message)

    async def snapshot(self) -> Snapshot:
        """The state of agent and Envoy now. An Envoy that doesn't answer is reported in it (`envoy.error`)."""
        status, answer = await self._call("GET", "/snapshot")
        if status != 200:
            raise AgentError(f"{self._socket}: /snapshot answered {status}: {error_of(answer)}")
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
                answer = object_of(await response.read())
        except NotUnderstoodError as error:
            raise AgentError(f"{self._socket}: {path}: {error}") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            words = str(error) or type(error).__name__
            raise AgentUnreachableError(f"{self._socket}: the agent does not answer: {words}") from error
        return response.status, answer


def _encoded(body: Any) -> io.BytesIO | None:
    """A stream, because aiohttp warns of large bodies that are bytes."""
    return None if body is None else io.BytesIO(json.dumps(body).encode())
