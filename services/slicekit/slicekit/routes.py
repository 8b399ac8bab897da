"""A contract's operations as an application's routes, with the document that describes them."""

from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from slicekit.contracts import DOCUMENT, Contract
from slicekit.openapi import render_bytes


def serve(app: web.Application, contract: Contract, handlers: Mapping[str, Handler]) -> None:
    """Routes each operation to the handler of its name, and `/openapi.json` to the document."""
    if missing := {operation.name for operation in contract.operations} ^ set(handlers):
        raise ValueError(f"{contract.title}: operations and handlers differ in {', '.join(sorted(missing))}")
    for operation in contract.operations:
        app.router.add_route(operation.method, operation.path, handlers[operation.name])
    document = render_bytes(contract)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=document, content_type="application/json")

    app.router.add_get(DOCUMENT.path, answer)
