"""Asks a process for its health in the ways that a pod's probes know, and follows the answers."""

import asyncio
import contextlib
import subprocess
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from resilientslice.local.processes.child import Child
from resilientslice.local.processes.output import Output
from resilientslice.local.processes.ports import LOOPBACK
from resilientslice.local.processes.supervisor import Report
from resilientslice.local.workloads.procfile import runnable
from resilientslice.local.workloads.volumes import replace_paths
from resilientslice.text import visible

FIRST_POLL_SECONDS = 0.05
FIRST_COMMAND_SECONDS = 0.5
POLL_GROWTH = 1.3
UNREADY_POLL_SECONDS = 1.0
WHY_CHARACTERS = 300
BODY_CHARACTERS = 200
"""Shown of an answer or of a command's last output."""
BODY_BYTES = OUTPUT_BYTES = 4 * BODY_CHARACTERS
SERVING = b"\x08\x01"
"""grpc.health.v1.HealthCheckResponse with status SERVING."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A Kubernetes probe with its ports already those of the process. Exactly one way is set; times in seconds."""

    http_path: str | None = None
    http_headers: tuple[tuple[str, str], ...] = ()
    grpc_service: str | None = None
    command: tuple[str, ...] = ()
    port: int = 0
    period: float = 5
    timeout: float = 2
    successes: int = 1
    failures: int = 3


@dataclass(frozen=True, slots=True)
class ProbeSet:
    startup: Probe | None = None
    readiness: Probe | None = None
    liveness: Probe | None = None


def parse_probe(
    probe: Mapping[str, Any] | None, ports: Mapping[str | int, int], paths: Mapping[str, str]
) -> Probe | None:
    """A probe of a rendered container. `ports` maps its port names and numbers to those of the process; a number that
    is not in it is taken as it is. `paths` maps what it mounts."""
    if not probe:
        return None
    http, tcp, rpc, run = (probe.get(kind) for kind in ("httpGet", "tcpSocket", "grpc", "exec"))
    port = next((way["port"] for way in (http, tcp, rpc) if way), 0)
    return Probe(
        http_path=http.get("path", "/") if http else None,
        http_headers=tuple((h["name"], h["value"]) for h in http.get("httpHeaders", ())) if http else (),
        grpc_service=rpc.get("service", "") if rpc else None,
        command=runnable([replace_paths(word, paths) for word in run["command"]]) if run else (),
        port=int(ports.get(port, port)),
        period=float(probe.get("periodSeconds", 10)),
        timeout=float(probe.get("timeoutSeconds", 1)),
        successes=int(probe.get("successThreshold", 1)),
        failures=int(probe.get("failureThreshold", 3)),
    )


def probing_session() -> aiohttp.ClientSession:
    """One for all probes, which share nothing by it: no connection, no cookie, no place in a queue. Bodies stay as they
    come, since a small one can become a large one."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)


@dataclass(frozen=True, slots=True)
class Asker:
    """Runs probes against one process. `environment` and `directory` are for commands."""

    session: aiohttp.ClientSession
    environment: Mapping[str, str]
    directory: Path

    async def ask(self, probe: Probe) -> str:
        """Empty when healthy, else why not."""
        try:
            async with asyncio.timeout(probe.timeout):
                if probe.http_path is not None:
                    return await self._http(probe, probe.http_path)
                if probe.grpc_service is not None:
                    return await self._grpc(probe, probe.grpc_service)
                if probe.command:
                    return await self._command(probe)
                return await self._tcp(probe)
        except TimeoutError:
            return f"no answer within {probe.timeout:g} s"
        except Exception as error:  # whatever is wrong with an answer, a header or a command: it is not healthy
            return visible(str(error), WHY_CHARACTERS) or type(error).__name__

    async def _http(self, probe: Probe, path: str) -> str:
        url = f"http://{LOOPBACK}:{probe.port}{path}"
        async with self.session.get(url, headers=dict(probe.http_headers), allow_redirects=False) as answer:
            if 200 <= answer.status < 400:
                return ""
            body = await _head(answer.content)
            return f"GET {path} answered {answer.status}: {visible(body.decode(errors='replace'), BODY_CHARACTERS)}"

    async def _tcp(self, probe: Probe) -> str:
        _, writer = await asyncio.open_connection(LOOPBACK, probe.port)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return ""

    async def _grpc(self, probe: Probe, service: str) -> str:
        """`grpc.health.v1.Health/Check`, its one string field written by hand: no generated code for two messages."""
        import grpc.aio  # noqa: PLC0415 - a tenth of a second that only slices with gRPC services pay

        name = service.encode()
        length = bytes([len(name)]) if len(name) < 128 else bytes([len(name) & 0x7F | 0x80, len(name) >> 7])
        request = b"\x0a" + length + name if name else b""
        async with grpc.aio.insecure_channel(f"{LOOPBACK}:{probe.port}") as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check", bytes, bytes)
            try:
                answer: bytes = await check(request)
            except grpc.aio.AioRpcError as error:
                return f"gRPC health: {error.code().name} {error.details()}"
        return "" if answer.startswith(SERVING) else "gRPC health: not serving"

    async def _command(self, probe: Probe) -> str:
        """Its exit code counts, whatever it leaves running; that is ended with it."""
        with closing(Output(OUTPUT_BYTES)) as output:
            child = Child(
                subprocess.Popen(  # noqa: ASYNC220 - returns when it has started
                    probe.command,
                    stdin=subprocess.DEVNULL,
                    stdout=output.writer,
                    stderr=output.writer,
                    cwd=self.directory,
                    env=self.environment,
                    start_new_session=True,
                )
            )
            try:
                code = await child.wait()
            finally:
                child.kill()
                await child.wait()
            words = visible(output.tail().decode(errors="replace"))[-BODY_CHARACTERS:]
        return "" if code == 0 else f"`{probe.command[0]}` exited with {code}: {words}"


async def _head(content: aiohttp.StreamReader) -> bytes:
    """As much of a body as is shown of it; it may have no end."""
    body = b""
    while len(body) < BODY_BYTES and (piece := await content.read(BODY_BYTES - len(body))):
        body += piece
    return body


def _first_pause(probe: Probe) -> float:
    """Seconds. A command is a process of its own, which would slow down what it waits for."""
    return FIRST_COMMAND_SECONDS if probe.command else FIRST_POLL_SECONDS


@dataclass(frozen=True, slots=True)
class ProbedHealth:
    """Health by the three probes of a container: readiness and liveness wait for startup, as in a pod. Until the first
    success a process is asked often, however long its period, so that starting takes as long as it takes."""

    probes: ProbeSet
    asker: Asker

    async def watch(self, report: Report) -> str:
        if self.probes.startup:
            why = await self._started(self.probes.startup, report)
            if why:
                return why
        async with asyncio.TaskGroup() as group:
            ready = group.create_task(self._follow_readiness(report))
            why = await self._dead()
            ready.cancel()
        return why

    async def _started(self, probe: Probe, report: Report) -> str:
        """Empty once it has started, else why it must be restarted."""
        deadline = asyncio.get_running_loop().time() + probe.failures * probe.period
        pause = _first_pause(probe)
        while why := await self.asker.ask(probe):
            report(False, f"starting: {why}")
            if asyncio.get_running_loop().time() >= deadline:
                return f"not started within {probe.failures * probe.period:g} s: {why}"
            await asyncio.sleep(pause)
            pause = min(pause * POLL_GROWTH, UNREADY_POLL_SECONDS)
        return ""

    async def _follow_readiness(self, report: Report) -> None:
        probe = self.probes.readiness
        if probe is None:
            report(True, "")
            return
        ready, pause, good, bad = False, _first_pause(probe), 0, 0
        while True:
            why = await self.asker.ask(probe)
            good, bad = (0, bad + 1) if why else (good + 1, 0)
            if good >= probe.successes and not ready:
                ready = True
                report(True, "")
            elif why and (not ready or bad >= probe.failures):
                ready = False
                report(False, f"not ready: {why}")
            pause = probe.period if ready else min(pause * POLL_GROWTH, UNREADY_POLL_SECONDS, probe.period)
            await asyncio.sleep(pause)

    async def _dead(self) -> str:
        """Returns when liveness failed too often; for ever otherwise."""
        probe = self.probes.liveness
        if probe is None:
            await asyncio.Event().wait()
            return ""
        bad = 0
        while True:
            await asyncio.sleep(probe.period)
            why = await self.asker.ask(probe)
            bad = bad + 1 if why else 0
            if bad >= probe.failures:
                return f"not alive: {why}"
