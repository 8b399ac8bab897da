"""The documents say what the applications route, and the applications answer as the documents say."""

import asyncio
import importlib.util
import json
import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from slicekit import Environment, Kit
from slicekit.contracts import Contract, Operation
from slicekit.openapi import render_bytes, render_document
from slicekit.routes import serve
from slicekit.server import equip

ROOT = Path(__file__).parents[2]
ENV = {
    "PORT": "0",
    "DATABASE_URL": "postgresql://u@h/d",
    "REDIS_URL": "redis://h",
    "CATALOG_URL": "http://c",
    "PAYMENTS_URL": "http://p",
}
SERVICES = ("api", "payments", "catalog")


def routed(app: web.Application) -> set[tuple[str, str]]:
    routes = ((route.method, route.resource) for route in app.router.routes())
    return {(method, resource.canonical) for method, resource in routes if method != "HEAD" and resource}


def documented(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}


@pytest.mark.parametrize("name", SERVICES)
async def test_every_route_is_documented_and_every_documented_one_routed(name: str) -> None:
    kit = Kit.from_env(name, Environment(ENV))
    app = import_module(f"shop_{name}.app").build(kit)
    equip(kit, app)
    assert routed(app) == documented(render_document(import_module(f"shop_{name}.contract").CONTRACT))


async def test_the_admin_port_too() -> None:
    from slicekit.admin import CONTRACT, build_admin

    app = build_admin(Kit.from_env("worker", Environment(ENV)))
    assert routed(app) == documented(render_document(CONTRACT))


@pytest.mark.parametrize("name", [*SERVICES, "worker"])
def test_the_committed_document_is_the_contract(name: str) -> None:
    module = "slicekit.admin" if name == "worker" else f"shop_{name}.contract"
    committed = (ROOT / "docs" / "reference" / "openapi" / f"{name}.json").read_bytes()
    assert committed == render_bytes(import_module(module).CONTRACT)
    text = committed.decode()
    document = json.loads(text)
    assert document["openapi"] == "3.1.0"
    for target in re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', text):
        assert target in document["components"]["schemas"]


def test_a_contract_without_a_handler_does_not_start() -> None:
    operation = Operation(name="a", method="GET", path="/a", text="", answers={})
    with pytest.raises(ValueError, match="operations and handlers differ in a"):
        serve(web.Application(), Contract("x", "", (operation,)), {})


SEED = int(os.environ["PYTHONHASHSEED"])


@pytest.mark.timeout(900)
async def test_generated_requests_find_no_surprise(
    spawn: Any, stores: dict[str, str], await_ready: Any, http: Any
) -> None:
    """Few examples here; `make fuzz` has as many as one likes."""
    spec = importlib.util.spec_from_file_location("hostile_fuzz", ROOT / "scripts" / "hostile" / "fuzz.py")
    assert spec is not None
    assert spec.loader is not None
    fuzz = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz)

    catalog, payments = spawn("shop_catalog", stores), spawn("shop_payments", stores)
    api = spawn("shop_api", stores | {"CATALOG_URL": catalog.url, "PAYMENTS_URL": payments.url})
    for service in (catalog, payments, api):
        await await_ready(service.url)
        async with http.get(f"{service.url}/openapi.json") as response:
            assert (await response.json())["openapi"] == "3.1.0"

    async def run(name: str, url: str) -> str:
        command = fuzz.fuzz_command(name, url, examples=3, seed=SEED, phases="fuzzing,stateful")
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=api.log.parent
        )
        output, _ = await process.communicate()
        return "" if process.returncode == 0 else output.decode()

    running = {"catalog": catalog, "payments": payments, "api": api}
    for output in await asyncio.gather(*(run(name, service.url) for name, service in running.items())):
        assert not output, output
    for service in (catalog, payments, api):
        events = [json.loads(line)["event"] for line in service.log.read_bytes().splitlines()]
        assert {"unexpected error", "request failed"}.isdisjoint(events)
