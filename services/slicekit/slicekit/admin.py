"""The port for the one who runs this process: probes, metrics and faults. Bound to localhost, always."""

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, RootModel

from slicekit.contracts import Answer, Contract, Operation, Parameter
from slicekit.durations import format_seconds, parse_seconds
from slicekit.faults import Fault, FaultKind
from slicekit.kit import Kit, kit_of
from slicekit.problems import Problem, answer_or_problem
from slicekit.routes import serve


class FaultBody(BaseModel):
    """`PUT /faults/{kind}`. `delay` and `for` are durations such as `250ms`."""

    model_config = ConfigDict(extra="forbid")

    probability: float = 1.0
    status: int = 503
    delay: str = "1s"
    lasts: str = Field("30s", alias="for")

    def fault(self, kind: FaultKind) -> Fault:
        try:
            return Fault(
                kind=kind,
                probability=self.probability,
                status=self.status,
                delay=parse_seconds(self.delay),
                lasts=parse_seconds(self.lasts),
            )
        except ValueError as exc:
            raise Problem(422, str(exc)) from exc


class FaultState(BaseModel):
    probability: float
    status: int
    delay: str
    ends_in: str


class ActiveFaults(RootModel[dict[FaultKind, FaultState]]):
    """The faults in force, by kind."""


_KIND = Parameter("path", "kind", FaultKind, "Of fault.", f"there are the faults {', '.join(FaultKind)}", status=404)
CONTRACT = Contract(
    "admin",
    "The admin port of a service, on localhost: probes, metrics and faults. A worker has no other port.",
    (
        Operation(
            name="listFaults",
            method="GET",
            path="/faults",
            text="The faults in force.",
            answers={200: Answer("By kind.", ActiveFaults)},
            plain=True,
        ),
        Operation(
            name="clearFaults",
            method="DELETE",
            path="/faults",
            text="End all faults.",
            answers={204: Answer("They have ended.")},
            plain=True,
        ),
        Operation(
            name="putFault",
            method="PUT",
            path="/faults/{kind}",
            text="Inject a fault; it ends by itself.",
            parameters=(_KIND,),
            body=FaultBody,
            answers={200: Answer("As it is in force.", ActiveFaults)},
            plain=True,
        ),
        Operation(
            name="clearFault",
            method="DELETE",
            path="/faults/{kind}",
            text="End one fault.",
            parameters=(_KIND,),
            answers={204: Answer("It has ended.")},
            plain=True,
        ),
    ),
)


def build_admin(kit: Kit) -> web.Application:
    app = web.Application(middlewares=[web.middleware(answer_or_problem)])
    app[Kit.KEY] = kit
    add_probes(app)
    handlers = {
        "listFaults": _list_faults,
        "putFault": _put_fault,
        "clearFaults": _clear_faults,
        "clearFault": _clear_faults,
    }
    serve(app, CONTRACT, handlers)
    return app


def add_probes(app: web.Application) -> None:
    """`/healthz`, `/readyz` and `/metrics`, each unless the application has one of its own."""
    taken = {resource.canonical for resource in app.router.resources()}
    for path, handler in (("/healthz", _healthz), ("/readyz", _readyz), ("/metrics", _metrics)):
        if path not in taken:
            app.router.add_get(path, handler)


async def _healthz(_: web.Request) -> web.Response:
    return web.json_response({"ok": True})


async def _readyz(request: web.Request) -> web.Response:
    return (await kit_of(request).readiness.report()).response()


async def _metrics(request: web.Request) -> web.Response:
    return kit_of(request).metrics.response()


async def _list_faults(request: web.Request) -> web.Response:
    faults = kit_of(request).faults
    return web.json_response(
        {fault.kind.value: _show(fault, faults.remaining(fault.kind)) for fault in faults.active()}
    )


async def _put_fault(request: web.Request) -> web.Response:
    kit = kit_of(request)
    kind = _kind_of(request)
    body = await kit.read_json(request, FaultBody)
    fault = body.fault(kind)
    kit.faults.put(fault)
    kit.log.warning("fault injected", fault=kind.value, **_show(fault, fault.lasts))
    return web.json_response({kind.value: _show(fault, fault.lasts)})


async def _clear_faults(request: web.Request) -> web.Response:
    kit = kit_of(request)
    kit.faults.clear(_kind_of(request) if "kind" in request.match_info else None)
    kit.log.info("faults cleared")
    return web.Response(status=204)


def _kind_of(request: web.Request) -> FaultKind:
    kind: FaultKind = _KIND.read(request)
    return kind


def _show(fault: Fault, remaining: float) -> dict[str, object]:
    return {
        "probability": fault.probability,
        "status": fault.status,
        "delay": format_seconds(fault.delay),
        "ends_in": format_seconds(remaining),
    }
