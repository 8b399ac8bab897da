"""The agent's HTTP interface on a unix socket: take a configuration, say what became of it and what Envoy counts."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from resilientslice.agent.admin import EnvoyAdmin
from resilientslice.agent.ads_state import Accepted, Rejected, Stale, State, Superseded
from resilientslice.agent.installer import Installer, Result, Unanswered
from resilientslice.agent.messages import UnreadableError
from resilientslice.agent.parse import ConfigParser, MalformedError, PushBody, parse_timeout
from resilientslice.agent.resources import Config, ResourceType
from resilientslice.agent.settings import BODY_LIMIT, PUSH_TIMEOUT_SECONDS

_THREAD_FROM_BYTES = 256 * 1024
"""Bodies from this size are parsed in a thread, so that Envoy's answers to another push don't wait for it."""
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """The routes. One instance serves one installer."""

    def __init__(self, installer: Installer, admin: EnvoyAdmin, parser: ConfigParser) -> None:
        self._installer = installer
        self._admin = admin
        self._parser = parser

    def application(self, *guards: Middleware) -> web.Application:
        """The guards stand before everything."""
        app = web.Application(client_max_size=BODY_LIMIT, middlewares=[*guards, _errors_as_json])
        app.add_routes(
            [
                web.put("/config", self._put_config),
                web.get("/config", self._get_config),
                web.get("/snapshot", self._get_snapshot),
                web.get("/healthz", self._get_health),
                web.get("/readyz", self._get_ready),
                web.get("/metrics", self._get_metrics),
            ]
        )
        return app

    async def _put_config(self, request: web.Request) -> web.Response:
        try:
            body, config = await self._read(request)
        except web.HTTPRequestEntityTooLarge:
            return self._answer("oversized", 413, {"error": f"the body is larger than {BODY_LIMIT} bytes"})
        except MalformedError as error:
            return self._answer("malformed", 400, {"error": str(error)})
        except UnreadableError as error:
            words = {"accepted": False, "type": "", "path": error.path, "message": error.message}
            return self._answer("unreadable", 422, {"error": str(error), **words, "serving": self._serving})
        seconds = PUSH_TIMEOUT_SECONDS if body.timeout_ms is None else body.timeout_ms / 1000
        result = await self._installer.push(config, seconds=seconds, retry=body.retry)
        return self._answered(config, result)

    async def _read(self, request: web.Request) -> tuple[PushBody, Config]:
        data = await request.read()
        if len(data) >= _THREAD_FROM_BYTES:
            return await asyncio.to_thread(self._parse, data, request.query.get("timeout_ms"))
        return self._parse(data, request.query.get("timeout_ms"))

    def _parse(self, data: bytes, timeout: str | None) -> tuple[PushBody, Config]:
        asked = None if timeout is None else parse_timeout(int(timeout) if timeout.isdecimal() else timeout)
        body, config = self._parser.parse_push(data)
        return (body if asked is None else replace(body, timeout_ms=asked)), config

    def _answered(self, config: Config, result: Result) -> web.Response:
        base = {"digest": config.digest, "epoch": list(config.epoch)}
        match result.outcome:
            case Accepted():
                body = {**base, "accepted": True, "versions": config.versions, "durable": result.durability.durable}
                reason = {"durable_reason": result.durability.reason} if not result.durability.durable else {}
                return self._answer("accepted", 200, body | reason)
            case Rejected(kind, message):
                refused = {"accepted": False, "type": kind.value, "message": message, "serving": self._serving}
                return self._answer("rejected", 422, {**base, "error": f"{kind}: {message}", **refused})
            case Superseded(by):
                return self._answer("superseded", 409, {**base, "error": f"superseded by {by}", "superseded_by": by})
            case Stale(held, digest):
                words = f"epoch {list(config.epoch)} is not newer than the one held, {list(held)}"
                return self._answer("stale", 409, {**base, "error": words, "held": list(held), "held_digest": digest})
            case Unanswered(waiting):
                words = f"no answer from Envoy in time ({waiting}); the configuration is kept and will be offered"
                return self._answer("unanswered", 504, {**base, "error": words, "waiting": waiting})

    def _answer(self, outcome: str, status: int, body: dict[str, Any]) -> web.Response:
        self._installer.metrics.pushes.labels(outcome).inc()
        return web.json_response(body, status=status)

    @property
    def _serving(self) -> str:
        good = self._installer.state.good
        return good.digest if good else ""

    async def _get_config(self, _: web.Request) -> web.Response:
        return web.json_response(render_state(self._installer.state) | self._durability())

    async def _get_snapshot(self, _: web.Request) -> web.Response:
        info, readings = await self._admin.read()
        state = self._installer.state
        envoy = {"version": info.version, "uptime": info.uptime, "live": info.live, "error": info.error}
        return web.json_response(
            {
                **render_summary(state),
                **self._durability(),
                "envoy": {"connected": len(state.active), **envoy},
                "counters": readings.counters,
                "ejected": [{"cluster": cluster, "host": host} for cluster, host in readings.ejected],
                "p99": readings.p99,
            }
        )

    def _durability(self) -> dict[str, Any]:
        durability = self._installer.durability
        return {"durable": durability.durable, "durable_reason": durability.reason}

    async def _get_health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _get_ready(self, _: web.Request) -> web.Response:
        state = self._installer.state
        if self._installer.ready:
            return web.json_response({"ready": True, "reason": ""})
        if self._installer.draining:
            reason = "Envoy is drained, and ends"
        elif not state.active:
            reason = "no Envoy is connected"
        else:
            reason = "Envoy has not acknowledged a whole configuration" if state.target else "no configuration yet"
        return web.json_response({"ready": False, "reason": reason}, status=503)

    async def _get_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._installer.metrics.text(), headers={"Content-Type": _METRICS_TYPE})


def render_summary(state: State) -> dict[str, Any]:
    """What is offered, what was acknowledged, and why the newest was refused, if it was."""
    return {
        "digest": state.target.digest if state.target else "",
        "epoch": list(state.floor),
        "acked": state.good.digest if state.good else "",
        "rejected": _rejection(state),
    }


def render_state(state: State) -> dict[str, Any]:
    """The summary, and how far each Envoy is with each type."""
    return {
        **render_summary(state),
        "pending": state.pending.digest if state.pending else "",
        "versions": state.target.versions if state.target else {},
        "streams": [
            {
                "stage": stream.stage.name.lower(),
                "types": {
                    kind.value: {
                        "subscribed": channel.subscribed,
                        "acknowledged": len(channel.acked or {}),
                        "outstanding": bool(channel.flying),
                    }
                    for kind, channel in ((kind, stream.channels[kind]) for kind in ResourceType)
                },
            }
            for stream in state.active
        ],
    }


def _rejection(state: State) -> dict[str, str] | None:
    refused = state.rejected.get(state.floor_digest)
    if refused is not None:
        return {"digest": state.floor_digest, "type": refused.kind.value, "message": refused.message}
    for stream in state.active:
        if stream.refusal is not None:
            refusal = stream.refusal
            return {"digest": refusal.config, "type": refusal.kind.value, "message": refusal.message}
    return None


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return web.json_response({"error": f"{request.method} {request.path}: {error.reason}"}, status=error.status)
