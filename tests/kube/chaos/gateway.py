"""Stands between the operators and the API server, counts what they write, and fails as API servers and networks do."""

import asyncio
import json
import random
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TextIO

import aiohttp
import yaml
from aiohttp import web
from tests.kube.chaos.api import Api, Object

_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "host"})
HANG_SECONDS = 8.0
"""Longer than the operator waits for an answer to a write."""


class Failure(StrEnum):
    """What goes wrong. The value is in the log."""

    WEBHOOK = "admission webhook down"
    UNAVAILABLE = "503"
    ERROR = "500"
    BUSY = "429"
    CONFLICT = "conflict"
    FORBIDDEN = "forbidden"
    HANGING = "no answer"
    LOST = "answer lost"
    """The write takes place, and the connection breaks before that is said."""


WORDS = {
    Failure.WEBHOOK: (
        500,
        "InternalError",
        'Internal error occurred: failed calling webhook "policy.example.org": failed to call webhook: Post '
        '"https://policy.example.svc:443/check?timeout=5s": dial tcp 10.0.0.7:443: connect: connection refused',
    ),
    Failure.UNAVAILABLE: (503, "ServiceUnavailable", "the server is currently unable to handle the request"),
    Failure.ERROR: (500, "InternalError", "etcdserver: request timed out"),
    Failure.BUSY: (429, "TooManyRequests", "too many requests, please try again later"),
    Failure.CONFLICT: (
        409,
        "Conflict",
        "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version",
    ),
    Failure.FORBIDDEN: (
        403,
        "Forbidden",
        'admission webhook "policy.example.org" denied the request: images of this registry cannot be used',
    ),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Of `share` of the writes to these resources (plural names; empty: all of them)."""

    failure: Failure
    share: float = 1.0
    resources: frozenset[str] = frozenset()

    def said(self) -> str:
        """The API server's words."""
        return WORDS[self.failure][2] if self.failure in WORDS else ""


@dataclass(frozen=True, slots=True)
class Written:
    """A write of an operator that reached the API server, and what came of it."""

    at: float
    method: str
    path: str
    status: int
    body: str

    def said(self, others: "Sequence[Written]" = ()) -> str:
        """In a line, for people: from where it differs from the last one of `others` about the same object."""
        before = [one.body for one in others if one.path == self.path and one.at < self.at][-1:]
        pairs = zip(self.body, before[0], strict=False) if before else ()
        same = next((place for place, (new, old) in enumerate(pairs) if new != old), 0)
        return f"{self.method} {self.path} → {self.status} {self.body[max(0, same - 40) :][:300]}"


@dataclass
class Gateway:
    """The gateway as its own process, so that what else a run plays never delays an operator's requests."""

    api: Api
    port: int
    folder: Path
    faults: list[Fault] = field(default_factory=list)
    process: "subprocess.Popen[str] | None" = None

    @property
    def _written(self) -> Path:
        return self.folder / "writes.jsonl"

    def kubeconfig(self) -> Path:
        """The operators'."""
        server = {"server": f"http://127.0.0.1:{self.port}"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "chaos",
            "clusters": [{"name": "chaos", "cluster": server}],
            "users": [{"name": "chaos", "user": {"token": self.api.token}}],
            "contexts": [{"name": "chaos", "context": {"cluster": "chaos", "user": "chaos"}}],
        }
        path = self.folder / "operators.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    def start(self, seed: str) -> None:
        self._written.touch()
        command = [
            sys.executable,
            "-m",
            __name__,
            str(self.port),
            self.api.server,
            self.api.authority,
            str(self._written),
            seed,
        ]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def stop(self) -> None:
        if self.process is not None and self.process.stdin is not None and self.process.stdout is not None:
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait(30)

    def add(self, fault: Fault) -> None:
        self.faults.append(fault)
        self._tell_faults()

    def remove(self, fault: Fault) -> None:
        self.faults.remove(fault)
        self._tell_faults()

    def cut_watches(self) -> None:
        self._tell({"cut": True})

    def _tell_faults(self) -> None:
        self._tell({"faults": [[one.failure.value, one.share, sorted(one.resources)] for one in self.faults]})

    def _tell(self, command: Object) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def mark(self) -> int:
        """A place among the writes: what comes after it is what happens from now on."""
        return self._written.stat().st_size

    def writes(self, since: int = 0) -> list[Written]:
        with self._written.open() as file:
            file.seek(since)
            return [Written(**json.loads(line)) for line in file if line.endswith("\n")]


class _Server:
    def __init__(self, server: str, authority: str, written: TextIO, rng: random.Random) -> None:
        self._server, self._written, self._rng = server, written, rng
        self._faults: list[Fault] = []
        self._watches: set[asyncio.Task[object]] = set()
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=authority), limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        self._http = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)

    async def close(self) -> None:
        self._cut()
        await self._http.close()

    def told(self, command: Object) -> None:
        if "faults" in command:
            told = command["faults"]
            self._faults = [Fault(Failure(failure), share, frozenset(about)) for failure, share, about in told]
        if "cut" in command:
            self._cut()

    def _cut(self) -> None:
        for task in self._watches:
            task.cancel()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        writes = request.method not in ("GET", "HEAD")
        parts = request.path.split("/")
        resource = parts[parts.index("namespaces") + 2] if "namespaces" in parts and len(parts) > 5 else ""
        if resource == "leases":
            return await self._pass(request, body)
        fault = self._struck(resource) if writes else None
        if fault is not None:
            return await self._fail(request, body, fault)
        return await self._pass(request, body, note=writes)

    def _struck(self, resource: str) -> Fault | None:
        for fault in self._faults:
            if (not fault.resources or resource in fault.resources) and self._rng.random() < fault.share:
                return fault
        return None

    async def _fail(self, request: web.BaseRequest, body: bytes, fault: Fault) -> web.StreamResponse:
        if fault.failure in (Failure.HANGING, Failure.LOST):
            if fault.failure is Failure.LOST:
                await self._pass(request, body, note=True, answer=False)
            else:
                await asyncio.sleep(HANG_SECONDS)
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=502)
        status, reason, message = WORDS[fault.failure]
        said = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        headers = {"Retry-After": "1"} if status == 429 else {}
        return web.json_response(
            {**said, "message": message, "reason": reason, "code": status}, status=status, headers=headers
        )

    async def _pass(
        self, request: web.BaseRequest, body: bytes, *, note: bool = False, answer: bool = True
    ) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        url = self._server + request.path_qs
        try:
            async with self._http.request(request.method, url, data=body or None, headers=headers) as found:
                if "watch=" in request.query_string:
                    return await self._stream(request, found)
                data = await found.read()
        except (aiohttp.ClientError, OSError) as error:
            return web.json_response({"message": str(error)}, status=502)
        if note:
            text = body.decode(errors="replace")
            line = Written(time.time(), request.method, request.path_qs, found.status, text)
            self._written.write(json.dumps(asdict(line)) + "\n")
            self._written.flush()
        passed = {name: value for name, value in found.headers.items() if name.lower() not in _HOP}
        if found.headers.get("Content-Encoding"):
            passed["Content-Encoding"] = found.headers["Content-Encoding"]
        return web.Response(body=data, status=found.status, headers=passed) if answer else web.Response()

    async def _stream(self, request: web.BaseRequest, found: aiohttp.ClientResponse) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        response = web.StreamResponse(status=found.status, headers={"Content-Type": "application/json"})
        try:
            await response.prepare(request)
            async for chunk in found.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
        except asyncio.CancelledError:
            if request.transport is not None:
                request.transport.abort()
            task.uncancel()
        except (ConnectionError, aiohttp.ClientError):
            with suppress(Exception):
                request.transport and request.transport.abort()
        finally:
            self._watches.discard(task)
        return response


async def _run(port: int, server: _Server) -> None:
    """Until standard input ends, which has commands."""
    runner = web.ServerRunner(web.Server(server.serve, access_log=None), shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("started", flush=True)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        server.told(json.loads(line))
    await server.close()
    await runner.cleanup()


async def _main() -> None:
    port, address, authority, written, seed = sys.argv[1:]
    with Path(written).open("a") as file:
        await _run(int(port), _Server(address, authority, file, random.Random(seed)))


if __name__ == "__main__":
    asyncio.run(_main())
