"""What the real Envoy tells: the access log, the numbers, and nothing else on the port of the numbers."""

import json

from resilientslice.render.names import Track

STABLE, CANARY = Track.STABLE, Track.CANARY


async def test_the_stats_listener_serves_stats_only(world, shop):
    mesh = await world.mesh(shop, {("api", STABLE): [await world.backend()]})
    for method, path in [
        ("POST", "/quitquitquit"),
        ("GET", "/quitquitquit"),
        ("POST", "/stats/prometheus"),
        ("GET", "/stats"),
        ("GET", "/config_dump"),
        ("GET", "/"),
        ("GET", "/stats/prometheus/../../quitquitquit"),
        ("POST", "/stats/prometheus%2f..%2f..%2fquitquitquit"),
    ]:
        assert (await mesh.scrape(method, path)).status == 404, path
    assert (await mesh.scrape("GET", "/stats/prometheus")).status == 200
    assert mesh.process.returncode is None


async def test_counters_start_at_zero_and_latencies_have_our_buckets(world, shop):
    mesh = await world.mesh(shop, {("api", STABLE): [await world.backend()]})
    lines = (await mesh.scrape("GET", "/stats/prometheus")).body.decode().splitlines()
    for prefix in ("front", "internal_api", "internal_payments"):
        labels = f'{{envoy_response_code_class="5",envoy_http_conn_manager_prefix="{prefix}"}}'
        assert f"envoy_http_downstream_rq_xx{labels} 0" in lines
    buckets = [line for line in lines if 'prefix="front",le=' in line and "downstream_rq_time_bucket" in line]
    assert any('le="300"' in line for line in buckets)
    assert any('le="500"' in line for line in buckets)


async def test_the_access_log_says_where_a_request_went_and_why(world, shop):
    shop["rateLimit"] = {}
    hosts = {
        ("api", STABLE): [await world.backend()],
        ("api", CANARY): [await world.backend(world.status(503))],
    }
    mesh = await world.mesh(shop, hosts, canary=frozenset({"api"}), weight=100)
    headers = {"X-Tenant": "gold", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    await mesh.send("front", "/orders?x=1", headers=headers | {"User-Agent": "probe"})
    await mesh.send("front", headers=headers | {"X-Canary": "1"})
    await mesh.send("payments", method="POST", data=b"12345")

    async def written():
        return len(mesh.access_log()) == 3

    await world.until(written, "three lines")
    retried, tester, inside = mesh.access_log()
    stable = hosts["api", STABLE][0].address
    assert json.dumps(retried)
    wanted = {
        "method": "GET",
        "path": "/orders?x=1",
        "code": 200,
        "flags": "-",
        "details": "via_upstream",
        "listener": "front",
        "route": "api/ drawn repeatable",
        "tenant": "gold",
        "track": "canary",
        "canary_header": None,
        "attempts": 2,
        "upstream_cluster": "api-failover",
        "upstream_track": "stable",
        "upstream_host": f"{stable.host}:{stable.port}",
        "traceparent": headers["traceparent"],
        "user_agent": "probe",
    }
    assert {name: retried[name] for name in wanted} == wanted
    assert isinstance(retried["duration_ms"], int)
    assert isinstance(retried["upstream_ms"], int)
    assert (tester["canary_header"], tester["code"], tester["attempts"], tester["upstream_cluster"]) == (
        "1",
        503,
        1,
        "api-canary",
    )
    assert (inside["listener"], inside["code"], inside["flags"]) == ("payments", 503, "UH")
    assert (inside["method"], inside["tenant"], inside["upstream_host"]) == ("POST", None, None)
