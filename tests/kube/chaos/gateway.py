"""Stands between the operators and the API server, counts what they write, and fails as API servers and networks do."""

import asyncio
import json
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web
from tests.kube.chaos.api import Api

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


@dataclass
class Gateway:
    """Use `serving` as a context of the run; `kubeconfig` is the operators'."""

    api: Api
    port: int
    folder: Path
    rng: random.Random
    faults: list[Fault] = field(default_factory=list)
    writes: list[Written] = field(default_factory=list)
    asked: int = 0
    """Requests that were no watches and none about Leases."""
    failed: int = 0
    _watches: set[asyncio.Task[object]] = field(default_factory=set)

    def kubeconfig(self, token: str) -> Path:
        server = {"server": f"http://127.0.0.1:{self.port}"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "chaos",
            "clusters": [{"name": "chaos", "cluster": server}],
            "users": [{"name": "chaos", "user": {"token": token}}],
            "contexts": [{"name": "chaos", "context": {"cluster": "chaos", "user": "chaos"}}],
        }
        path = self.folder / "operators.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    async def start(self) -> web.ServerRunner:
        connector = aiohttp.TCPConnector(ssl=self.api.ssl, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        self._http = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        return runner

    async def stop(self, runner: web.ServerRunner) -> None:
        self.cut_watches()
        await self._http.close()
        await runner.cleanup()

    def cut_watches(self) -> None:
        for task in self._watches:
            task.cancel()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        writes = request.method not in ("GET", "HEAD")
        parts = request.path.split("/")
        resource = parts[parts.index("namespaces") + 2] if "namespaces" in parts and len(parts) > 5 else ""
        if "leases" in parts:
            return await self._pass(request, body)
        self.asked += "watch=" not in request.query_string
        fault = self._struck(resource) if writes else None
        if fault is not None:
            self.failed += 1
            return await self._fail(request, body, fault)
        return await self._pass(request, body, note=writes)

    def _struck(self, resource: str) -> Fault | None:
        for fault in self.faults:
            if (not fault.resources or resource in fault.resources) and self.rng.random() < fault.share:
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
        url = self.api.server + request.path_qs
        try:
            async with self._http.request(request.method, url, data=body or None, headers=headers) as found:
                if "watch=" in request.query_string:
                    return await self._stream(request, found)
                data = await found.read()
        except (aiohttp.ClientError, OSError) as error:
            return web.json_response({"message": str(error)}, status=502)
        if note:
            text = body.decode(errors="replace")
            self.writes.append(Written(time.time(), request.method, request.path_qs, found.status, text))
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


def said_of(written: Written) -> str:
    """A line about a write, for people."""
    words = written.body
    with suppress(ValueError):
        words = json.dumps(json.loads(words))
    return f"{written.method} {written.path} → {written.status} {words[:200]}"
