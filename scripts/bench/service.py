"""The service that is measured: the shared library with all of its middleware, and a handler that does nothing."""

from aiohttp import web

import slicekit


async def answer(_: web.Request) -> web.Response:
    return web.json_response({"sku": "MUG-01", "price_cents": 1250})


app = web.Application()
app.router.add_get("/products", answer)
slicekit.run(app, name="bench")
