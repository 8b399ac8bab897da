"""A service that charges its tenants: what callers, metrics and probes see."""

import json

import pytest
from aiohttp import web

import slicekit

LIMITS = {
    "scope": "tests/shop",
    "default": {"requestsPerSecond": 1, "burst": 5},
    "tenants": [{"name": "gold", "requestsPerSecond": 100, "burst": 1000}],
}


async def hello(request):
    return web.json_response({"tenant": slicekit.current().tenant})


def application(kit):
    app = web.Application()
    app.router.add_get("/hello", hello)
    return app


@pytest.fixture
async def limited(launch, redis, valkey_port, tmp_path):
    """Starts a service with these limits; `redis` has emptied the server."""

    async def start(build=application, env=None, **changes):
        path = tmp_path / "api.json"
        path.write_text(json.dumps(LIMITS | changes))
        url = f"redis://127.0.0.1:{valkey_port}/0"
        told = {"RATE_LIMITS_FILE": str(path), "REDIS_URL": url, "RATE_LIMITS_PATIENCE": "2s"}
        return await launch(build, "api", told | (env or {}))

    return start


@pytest.fixture
def statuses(http):
    async def send(url, count, *, path="/hello", **headers):
        found = []
        for _ in range(count):
            async with http.get(url + path, headers={k.replace("_", "-"): v for k, v in headers.items()}) as response:
                await response.read()
                found.append(response.status)
        return found

    return send


async def test_what_a_caller_is_told(limited, http, statuses):
    service = await limited()
    async with http.get(f"{service.url}/hello", headers={"X-Tenant": "bob"}) as response:
        assert response.status == 200
        assert response.headers["RateLimit-Policy"] == '"tenant";q=1;w=1'
        assert response.headers["RateLimit"] == '"tenant";r=4;t=1'
        assert "Retry-After" not in response.headers
    assert await statuses(service.url, 4, X_Tenant="bob") == [200] * 4
    async with http.get(f"{service.url}/hello", headers={"X-Tenant": "bob"}) as response:
        assert (response.status, response.content_type) == (429, "application/problem+json")
        assert response.headers["RateLimit"] == '"tenant";r=0;t=1'
        assert response.headers["Retry-After"] == "1"
        problem = await response.json()
    assert (problem["status"], problem["title"]) == (429, "Too Many Requests")
    assert "1 requests a second" in problem["detail"]
    assert await statuses(service.url, 8, X_Tenant="gold") == [200] * 8


async def test_answers_of_every_kind_carry_the_headers_and_cost_a_token(limited, http, statuses):
    service = await limited()
    async with http.get(f"{service.url}/nothing", headers={"X-Tenant": "bob"}) as response:
        assert (response.status, response.headers["RateLimit"]) == (404, '"tenant";r=4;t=1')
    async with http.post(f"{service.url}/hello", headers={"X-Tenant": "bob"}) as response:
        assert (response.status, response.headers["RateLimit"]) == (405, '"tenant";r=3;t=1')
    assert await statuses(service.url, 20, path="/readyz") == [200] * 20
    assert await statuses(service.url, 4, X_Tenant="bob") == [200] * 3 + [429]


async def test_who_has_no_name_or_one_that_cannot_be_shares_a_bucket(limited, statuses):
    service = await limited()
    assert await statuses(service.url, 1) == [200]
    assert await statuses(service.url, 1, X_Tenant="a b") == [200]
    assert await statuses(service.url, 1, X_Tenant="x" * 64) == [200]
    assert await statuses(service.url, 1, X_Tenant="x" * 5000) == [400]
    assert await statuses(service.url, 1, X_Tenant="anonymous") == [200]
    assert await statuses(service.url, 1) == [429]
    assert await statuses(service.url, 1, X_Tenant="x" * 5000) == [429]
    assert await statuses(service.url, 1, X_Tenant="bob") == [200]


async def test_only_the_first_attempt_of_a_request_is_charged(limited, http, statuses):
    service = await limited()
    assert await statuses(service.url, 5, X_Tenant="bob", x_envoy_attempt_count="1") == [200] * 5
    assert await statuses(service.url, 9, X_Tenant="bob", x_envoy_attempt_count="2") == [200] * 9
    assert await statuses(service.url, 1, X_Tenant="bob", x_envoy_attempt_count="1") == [429]
    async with http.get(f"{service.url}/hello", headers={"X-Tenant": "bob", "x-envoy-attempt-count": "3"}) as response:
        assert response.headers["RateLimit"] == '"tenant";r=0;t=1'


async def test_who_was_charged_at_one_service_is_not_charged_at_the_next(limited, launch, statuses):
    """Both are exposed, and one calls the other."""
    inner = await limited()

    def build(kit):
        other = kit.upstream("inner", inner.url)

        async def relay(request):
            return web.Response(status=(await other.get("/hello")).status)

        app = web.Application()
        app.router.add_get("/hello", relay)
        return app

    outer = await limited(build)
    assert await statuses(outer.url, 6, X_Tenant="bob") == [200] * 5 + [429]
    uncharged = await launch(build, "stranger")
    assert await statuses(uncharged.url, 1, X_Tenant="bob") == [429]
    assert await statuses(uncharged.url, 5, X_Tenant="eve") == [200] * 5


async def test_replicas_share_and_the_header_is_the_files(limited, statuses):
    one, two = await limited(tenantHeader="X-Org"), await limited(tenantHeader="X-Org")
    assert await statuses(one.url, 3, X_Org="bob") == [200] * 3
    assert await statuses(two.url, 3, X_Org="bob") == [200] * 2 + [429]


async def test_limits_that_are_off_charge_nobody(limited, http, statuses):
    service = await limited(enabled=False)
    assert await statuses(service.url, 20, X_Tenant="bob") == [200] * 20
    async with http.get(f"{service.url}/hello") as response:
        assert "RateLimit" not in response.headers


async def test_metrics(limited, http, statuses):
    service = await limited()
    await statuses(service.url, 7, X_Tenant="bob")
    async with http.get(f"{service.url}/metrics") as response:
        text = await response.text()
    assert 'rate_limit_requests_total{app="api",decision="allowed",mode="exact"} 5.0' in text
    assert 'rate_limit_requests_total{app="api",decision="limited",mode="exact"} 2.0' in text
    assert 'rate_limit_degraded{app="api"} 0.0' in text
    assert 'rate_limit_tenants{app="api"} 1.0' in text
    assert "rate_limit_redis_calls_total" in text
    assert 'rate_limit_batch_tenants_bucket{app="api",le="1.0"}' in text
    assert not [line for line in text.splitlines() if line.startswith("rate_limit") and "tenant=" in line]


async def test_a_service_starts_without_redis_and_says_so(limited, http, statuses, unused_port):
    service = await limited(env={"REDIS_URL": f"redis://127.0.0.1:{unused_port()}/0"}, replicas=5)
    assert await statuses(service.url, 3, X_Tenant="bob") == [200, 429, 429]
    async with http.get(f"{service.url}/readyz") as response:
        report = await response.json()
    assert (response.status, report["ready"]) == (200, True)
    check = report["checks"]["limits"]
    assert (check["ok"], check["required"]) == (False, False)
    assert "each replica counts its share by itself" in check["reason"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "No such file"), ("{", "Invalid JSON"), ('{"default": {"burst": 0}}', "default")],
)
def test_a_service_does_not_start_without_its_limits(tmp_path, content, problem):
    path = tmp_path / "api.json"
    if content is not None:
        path.write_text(content)
    env = {"PORT": "0", "RATE_LIMITS_FILE": str(path), "REDIS_URL": "redis://127.0.0.1:1/0"}
    with pytest.raises(slicekit.SettingError, match=f"RATE_LIMITS_FILE: .*{problem}"):
        slicekit.Kit.from_env("api", slicekit.Environment(env))


def test_limits_need_a_redis(tmp_path):
    (tmp_path / "api.json").write_text(json.dumps(LIMITS))
    env = {"PORT": "0", "RATE_LIMITS_FILE": str(tmp_path / "api.json")}
    with pytest.raises(slicekit.SettingError, match="REDIS_URL: is not set"):
        slicekit.Kit.from_env("api", slicekit.Environment(env))
