"""The proxy on this machine: one agent and one Envoy, fed and asked over unix sockets."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resilientslice.agent.answers import AgentError, Snapshot
from resilientslice.agent.client import AgentClient, AgentUnreachableError, PushRefusedError, UnansweredError
from resilientslice.canary.state import Attempts
from resilientslice.local.errors import LocalError
from resilientslice.local.processes.environment import inherited, package_folder
from resilientslice.local.processes.machine import Machine
from resilientslice.local.processes.process import Command
from resilientslice.local.processes.supervisor import Report, Supervised
from resilientslice.planning.observed import EjectedHost, Envoys, Proxies, Refusal, with_refusal, without_refusal
from resilientslice.render.envoy import EnvoyConfig
from resilientslice.render.envoy.bootstrap import render_bootstrap
from resilientslice.render.names import Track
from resilientslice.render.tracks import Topology

INSTANCE = "envoy"
PUSH_SECONDS = 5.0
ADMIN_SECONDS = 1.0
POLL_SECONDS = 0.02
READY_POLL_SECONDS = 1.0
CONCURRENCY = 2
FLUSH_MILLISECONDS = 500
"""Envoy writes its access log this often; the view follows it."""
GRACE_SECONDS = 5.0
TERM_FILE = "term.json"


@dataclass(frozen=True, slots=True)
class SocketHealth:
    """Ready while something listens on the socket."""

    path: Path

    async def watch(self, report: Report) -> str:
        while True:
            try:
                async with asyncio.timeout(ADMIN_SECONDS):
                    _, writer = await asyncio.open_unix_connection(str(self.path))
            except (OSError, TimeoutError) as error:
                report(False, f"{self.path.name}: {str(error) or 'no answer'}")
                await asyncio.sleep(POLL_SECONDS)
            else:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
                report(True, "")
                await asyncio.sleep(READY_POLL_SECONDS)


class Proxy:
    """Starts, feeds, asks and stops the pair. `rejected` is why the last configuration was refused, else empty;
    `refused` are those that were, digest → words, the newest last."""

    def __init__(self, machine: Machine, changed: Callable[[], None], *, sockets: Path) -> None:
        folder = machine.folder
        self.rejected = ""
        self.refused: Mapping[str, str] = {}
        self.sockets = sockets
        self.access_log = folder.logs / "access.log"
        self._folder = folder
        self._term = (folder.read_as(TERM_FILE, lambda data: int(data["term"])) or 0) + 1
        folder.write_json(TERM_FILE, {"term": self._term})
        self._sequence = 0
        self._client = AgentClient(self.api_socket)
        self._starting: asyncio.Task[None] | None = None
        common: dict[str, Any] = {"ledger": machine.ledger, "journal": machine.journal, "changed": changed}
        self.agent = Supervised("agent", self._agent_command, SocketHealth(self.api_socket), **common)
        self.envoy = Supervised("envoy", self._envoy_command, SocketHealth(self.admin_socket), **common)

    @property
    def api_socket(self) -> Path:
        return self.sockets / "api.sock"

    @property
    def admin_socket(self) -> Path:
        return self.sockets / "admin.sock"

    @property
    def log_files(self) -> list[Path]:
        return [self._folder.logs / "agent.log", self._folder.logs / "envoy.log"]

    def start(self, topology: Topology) -> None:
        """The ports and paths of `topology` are for life. Raises OSError when the bootstrap can't be written."""
        self._folder.write_json("bootstrap.json", render_bootstrap(topology))
        self.agent.start()
        self._starting = asyncio.create_task(self._start_envoy())

    async def _start_envoy(self) -> None:
        """Once the agent listens: an Envoy that finds nobody asks again only after a pause that grows."""
        await self.agent.readied.wait()
        self.envoy.start()

    async def stop(self) -> None:
        """Envoy first: the agent has nobody left to serve then."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._client.close)
            if self._starting is not None:
                stack.push_async_callback(self.agent.stop)
                stack.push_async_callback(self.envoy.stop)
                self._starting.cancel()
                await asyncio.wait([self._starting])

    def kill(self) -> None:
        self.envoy.kill()
        self.agent.kill()

    async def push(self, config: EnvoyConfig) -> bool:
        """Hand Envoy a configuration; True once it runs it. False with `rejected` empty: there was no answer yet."""
        self._sequence += 1
        try:
            result = await self._client.push(config.to_json(), (self._term, self._sequence), PUSH_SECONDS)
        except (AgentUnreachableError, UnansweredError):
            self.rejected = ""
            return False
        except PushRefusedError as error:
            return self._is_refused(config.digest, error.message)
        if not result.accepted:
            return self._is_refused(config.digest, f"{result.type} {result.path} {result.message}".strip())
        self.rejected = ""
        self.refused = without_refusal(self.refused, config.digest)
        return True

    def _is_refused(self, digest: str, words: str) -> bool:
        self.rejected = words
        self.refused = with_refusal(self.refused, digest, words)
        return False

    async def snapshot(self) -> Snapshot:
        """AgentError when the agent doesn't answer."""
        return await self._client.snapshot()

    async def observe(self, acked: str, canary: Sequence[str]) -> Envoys:
        """`acked`: digest of the configuration that Envoy acknowledged last; `canary`: services whose canary hosts are
        to be counted. Nothing is counted while Envoy is down."""
        proxies = self._proxies(acked)
        try:
            snapshot = await self.snapshot()
        except AgentError:
            return Envoys(proxies)
        if snapshot.envoy.error:
            return Envoys(proxies)
        names = {f"{service}-{Track.CANARY}" for service in canary}
        return replace(counted_of(snapshot, names), proxies=proxies)

    def _proxies(self, acked: str) -> Proxies:
        known = acked and self.envoy.ready
        return Proxies(
            total=1,
            acked={INSTANCE: acked} if known else {},
            refusals=tuple(Refusal(INSTANCE, digest, words) for digest, words in self.refused.items()),
            instances=frozenset({INSTANCE}),
        )

    def _agent_command(self) -> Command:
        sockets = (
            *("--ads-socket", str(self.sockets / "ads.sock")),
            *("--api-socket", str(self.api_socket)),
            *("--admin-socket", str(self.admin_socket)),
        )
        state = ("--state-dir", str(self._folder.path / "agent"))
        return self._command("agent", sys.executable, "-m", "resilientslice.agent", *sockets, *state)

    def _envoy_command(self) -> Command:
        return self._command(
            "envoy",
            str(envoy_binary()),
            *("--config-path", str(self._folder.path / "bootstrap.json")),
            *("--concurrency", str(min(CONCURRENCY, os.cpu_count() or 1))),
            *("--file-flush-interval-msec", str(FLUSH_MILLISECONDS)),
            *("--reject-unknown-dynamic-fields", "--disable-hot-restart", "--log-level", "warning"),
        )

    def _command(self, name: str, *argv: str) -> Command:
        return Command(
            argv=argv,
            environment=inherited(os.environ),
            directory=self._folder.path,
            log=self._folder.logs / f"{name}.log",
            grace=GRACE_SECONDS,
        )


def counted_of(snapshot: Snapshot, canary: Collection[str]) -> Envoys:
    """`canary`: names of clusters. A cluster's own counters miss what came to it through an aggregate: its hosts'
    count. The slowest cluster's p99 stands for all."""
    ejections = tuple(EjectedHost(one.cluster.rpartition("-")[0], one.host, 1) for one in snapshot.ejected)
    if not canary:
        return Envoys(ejections=ejections)
    counted = [snapshot.clusters.get(cluster, {}) for cluster in canary]
    succeeded, failed, active = (
        sum(counters.get(f"hosts_rq_{what}", 0) for counters in counted) for what in ("success", "error", "active")
    )
    p99 = max((snapshot.p99[cluster] for cluster in canary if cluster in snapshot.p99), default=None)
    return Envoys(attempts=Attempts(good=succeeded, bad=failed, p99=p99), active=active, ejections=ejections)


def envoy_binary() -> Path:
    binary = package_folder("envoy") / "_bin" / "envoy"
    if not binary.is_file():
        raise LocalError(f"Envoy is not at {binary}; run `make install`")
    return binary
