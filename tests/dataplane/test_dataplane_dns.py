"""The names of services' hosts, in the real Envoy."""

import socket

from resilientslice.render.tracks import Address


async def test_without_an_answer_for_any_name_an_envoy_takes_requests_within_seconds(world, shop):
    """Or its liveness probe would end it before, again and again, for as long as the cluster has no DNS."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        mesh = await world.mesh(shop, {}, dns=Address("127.0.0.1", silent.getsockname()[1]))
        assert (await mesh.send("front")).status == 503
        silent.setblocking(False)
        assert b"shop-api-" in silent.recv(4096), "it was asked"
