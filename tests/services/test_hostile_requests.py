"""Every shape of scripts/hostile/shapes.py against running services: a fair status, a problem, a calm log."""

import asyncio
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "scripts" / "hostile"


def load(name: str) -> ModuleType:
    """A part of scripts/hostile: scripts/ is no package that tests could import."""
    spec = importlib.util.spec_from_file_location(f"hostile_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


shapes, sender = load("shapes"), load("sender")
TARGETS = {
    "catalog": ("/products", "/products"),
    "payments": ("/payments/ord_1", "/pay"),
    "api": ("/products", "/orders"),
}
BRIEF = {"HEADER_TIMEOUT": "300ms", "BODY_TIMEOUT": "300ms"}


@pytest.fixture
async def shop(spawn: Any, stores: dict[str, str], await_ready: Any) -> dict[str, Any]:
    env = stores | BRIEF
    running = {name: spawn(f"shop_{name}", env) for name in ("catalog", "payments")}
    urls = {f"{name.upper()}_URL": service.url for name, service in running.items()}
    running["api"] = spawn("shop_api", env | urls)
    for service in running.values():
        await await_ready(service.url)
    return running


async def judge(service: Any, name: str) -> list[str]:
    """What was wrong with the answers, one line each."""
    client = sender.Sender("127.0.0.1", service.port)
    wrong = []
    get, post = TARGETS[name]
    for shape in shapes.every_shape(get=get, post=post):
        answer = await client.send(shape.raw, fresh=True)
        told = f"{name}: {shape.name}: {answer.status} {answer.kind} {answer.body[:100]!r}"
        if answer.status not in shape.fair or (answer.status >= 400 and not answer.is_problem):
            wrong.append(told)
        elif answer.is_problem:
            document = json.loads(answer.body)
            if document["status"] != answer.status or not document["detail"] or b"Traceback" in answer.body:
                wrong.append(told)
    await client.close()
    return wrong


async def test_every_shape_is_refused_in_order(shop: dict[str, Any], http: Any) -> None:
    found = await asyncio.gather(*(judge(service, name) for name, service in shop.items()))
    assert [line for lines in found for line in lines] == []
    for service in shop.values():
        async with http.get(f"{service.url}/readyz") as response:
            assert response.status == 200
        # A line is one JSON object whatever was in the request, and none of them is a traceback or forged.
        lines = [json.loads(line) for line in service.log.read_bytes().splitlines()]
        assert {line["level"] for line in lines} <= {"info", "warning"}
        assert not [line for line in lines if "exception" in line or line["event"] == "forged"]
        assert {line["status"] for line in lines if line["event"] == "request refused"} >= {400, 414, 417, 431}


@pytest.mark.parametrize(
    ("raw", "status", "words"),
    [
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "not a valid HTTP/1.1 request"),
        ("BREW / HTTP/1.1\r\n\r\n", 400, "the method is not one of HTTP's"),
        (f"GET /{'a' * 9000} HTTP/1.1\r\nHost: a\r\n\r\n", 414, "longer than 8000 bytes"),
        (f"GET / HTTP/1.1\r\nHost: a\r\nX-A: /{'a' * 9000}\r\n\r\n", 431, "a header is longer than 8190 bytes"),
        ("GET / HTTP/1.1\r\nHost: a\r\n" + "A: b\r\n" * 200 + "\r\n", 431, "more than 128 headers"),
        ("GET / HTTP/1.1\r\nHost: a\r\n" + f"A: {'b' * 7000}\r\n" * 12, 431, "too large together"),
        ("GET / HTTP/1.1\r\nHost: a\r\n" + f"A: {'b' * 7000}\r\n" * 12 + "\r\n", 431, "too large together"),
        ("GET / HTTP/1.1\r\nX-A: b\r\n", 408, "did not arrive in time"),
        ("POST /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 405, "see the Allow header"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX-Tenant: a\r\nX-Tenant: b\r\n\r\n", 400, "X-Tenant is given more than once"),
    ],
)
async def test_what_is_wrong_is_said(launch: Any, raw: str, status: int, words: str) -> None:
    from aiohttp import web

    service = await launch(web.Application(), "hello", BRIEF)
    for port in (service.server.port, service.server.admin_port):
        if "Tenant" in raw and port == service.server.admin_port:
            continue
        client = sender.Sender("127.0.0.1", port)
        answer = await client.send(raw.encode())
        await client.close()
        assert (answer.status, answer.kind) == (status, "application/problem+json")
        assert words in json.loads(answer.body)["detail"]
        assert (b"aaaa" in answer.body, b"BREW" in answer.body) == (False, False), "its bytes are not repeated"
        if status == 405:
            assert re.search(rb"\r\nAllow: GET,HEAD\r\n", answer.head)
