"""What the services' library goes by when it charges tenants: the real Envoy says it, and nobody outside can."""

from resilientslice.render.names import Track

STABLE = Track.STABLE


async def test_nobody_outside_can_say_that_a_request_was_charged(world, shop):
    """Neither that it is a retry, nor that another service has charged it; inside, both are passed on."""
    hosts = {("api", STABLE): [await world.backend()], ("payments", STABLE): [await world.backend()]}
    mesh = await world.mesh(shop | {"rateLimit": {"enforcement": "Middleware"}}, hosts)
    forged = {"x-envoy-attempt-count": "7", "x-rslice-charged": "1", "X-Envoy-Attempt-Count": "9"}
    outside = (await mesh.send("front", headers=forged)).upstream
    assert outside["x-envoy-attempt-count"] == "1"
    assert "x-rslice-charged" not in outside
    inside = (await mesh.send("payments", headers=forged)).upstream
    assert inside["x-envoy-attempt-count"] == "1"
    assert inside["x-rslice-charged"] == "1"
    assert "x-envoy-attempt-count" not in (await mesh.send("front")).headers
