"""What happens around every handler: context, faults, errors, headers, metrics and the request's log line."""

import asyncio
import time
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from slicekit import context as ctx
from slicekit.health import Phase
from slicekit.kit import Kit
from slicekit.limits.decision import Decision
from slicekit.limits.headers import render_headers, render_refusal
from slicekit.metrics import OTHER, UNMATCHED, route_of
from slicekit.problems import (
    Problem,
    StoreUnavailableError,
    answer_or_problem,
    from_http_exception,
    problem_response,
)

PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
SERVED_BY = "X-Served-By"
_CONTEXT = web.RequestKey("slicekit_context", ctx.RequestContext)
_DECISION = web.RequestKey("slicekit_decision", Decision)
_INVALID_TENANT = "invalid"
_CANCELLED = 499


def request_middleware(kit: Kit) -> Middleware:
    """The one middleware, outermost, so that also 404s and other middlewares' errors pass through it."""

    @web.middleware
    async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in PROBES:
            return await answer_or_problem(request, handler)
        started = time.perf_counter()
        context, refusal = _open_context(kit, request)
        request[_CONTEXT] = context
        token = ctx.enter(context)
        status = _CANCELLED
        kit.busy.add(request.protocol)
        try:
            with kit.metrics.in_flight.track_inprogress():
                response = await _answer(kit, request, handler, refusal)
            status = response.status
            if kit.readiness.phase is Phase.DRAINING or not kit.accepting:
                response.force_close()
        except web.HTTPException as exc:
            status = exc.status
            raise
        else:
            return response
        finally:
            _record(kit, request, context, status, time.perf_counter() - started)
            ctx.leave(token)
            kit.busy.discard(request.protocol)

    return serve


async def sign_response(request: web.Request, response: web.StreamResponse) -> None:
    """An `on_response_prepare` signal: names the hops and the tenant's limit, also on answers that a handler streams
    itself."""
    kit = request.config_dict[Kit.KEY]
    context = request.get(_CONTEXT)
    if context is not None:
        response.headers[SERVED_BY] = ", ".join([f"{kit.settings.app}@{kit.settings.track}", *context.hops])
    decision = request.get(_DECISION)
    if decision is not None:
        response.headers.update(render_headers(decision))


def record_refusal(kit: Kit, status: int, reason: str) -> None:
    """Counts and logs an answer to what never became a request; its sender's words are not repeated."""
    kit.metrics.observe_request(route=UNMATCHED, method=OTHER, code=status, tenant=_INVALID_TENANT, seconds=0.0)
    kit.log.info("request refused", status=status, reason=reason)


def _open_context(kit: Kit, request: web.Request) -> tuple[ctx.RequestContext, Problem | None]:
    try:
        tenant = ctx.read_tenant(request.headers, kit.settings.tenant_header)
    except ctx.InvalidTenantError as exc:
        context = ctx.read_context(request.headers, kit.settings, tenant=_INVALID_TENANT, clock=kit.clock)
        return context, Problem(400, str(exc))
    return ctx.read_context(request.headers, kit.settings, tenant=tenant, clock=kit.clock), None


async def _answer(kit: Kit, request: web.Request, handler: Handler, refusal: Problem | None) -> web.StreamResponse:
    context = ctx.current()
    trace_id = context.trace.trace_id if context else None
    try:
        await _admit(kit, request, refusal)
        await _suffer(kit)
        return await handler(request)
    except Problem as exc:
        if isinstance(exc, StoreUnavailableError):
            kit.metrics.observe_store_error(exc.store)
            kit.log.warning("store unavailable", store=exc.store, reason=exc.reason)
        return problem_response(exc, trace_id=trace_id)
    except web.HTTPException as exc:
        problem = from_http_exception(exc)
        if problem is None:
            raise
        return problem_response(problem, trace_id=trace_id)
    except Exception:
        kit.log.exception("unexpected error", route=route_of(request), method=request.method)
        hidden = Problem(500, "the service failed unexpectedly; its log knows why, under this trace_id")
        return problem_response(hidden, trace_id=trace_id)


async def _admit(kit: Kit, request: web.Request, refusal: Problem | None) -> None:
    """Charges the tenant first, so that also what is refused costs something."""
    decision = await kit.limiter.charge(request.headers) if kit.limiter and not request[_CONTEXT].charged else None
    if decision is not None:
        request[_DECISION] = decision
        if not decision.allowed:
            raise render_refusal(decision)
    if refusal:
        raise refusal


async def _suffer(kit: Kit) -> None:
    effect = kit.faults.effect()
    if effect.delay:
        await asyncio.sleep(effect.delay)
    if effect.status is not None:
        raise Problem(effect.status, "this failure was injected", headers={"X-Fault": "fail"})


def _record(kit: Kit, request: web.Request, context: ctx.RequestContext, status: int, seconds: float) -> None:
    route = route_of(request)
    kit.metrics.observe_request(route=route, method=request.method, code=status, tenant=context.tenant, seconds=seconds)
    write = kit.log.warning if status >= HTTPStatus.INTERNAL_SERVER_ERROR else kit.log.info
    write(
        "request",
        route=route,
        method=request.method,
        status=status,
        duration_ms=round(seconds * 1000, 2),
        drawn=context.track,
        request_id=context.request_id,
    )
