"""The least that is a service: answers, and says who answered."""

from aiohttp import web

import slicekit


async def greet(_: web.Request) -> web.Response:
    return web.json_response({"greeting": "hello"})


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/", greet)
    slicekit.run(app, name="web")
