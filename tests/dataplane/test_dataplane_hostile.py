"""Hostile bytes through the front of a real Envoy: what reaches a service is one request, or nothing."""

import importlib.util
import sys
from pathlib import Path

import pytest

from resilientslice.render.names import Track

FOLDER = Path(__file__).parents[2] / "scripts" / "hostile"


def load(name):
    """A part of scripts/hostile: scripts/ is no package that tests could import."""
    spec = importlib.util.spec_from_file_location(f"hostile_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


shapes, sender = load("shapes"), load("sender")


@pytest.fixture
async def front(world, shop):
    shop["rateLimit"] = {"default": {"requestsPerSecond": 10_000, "burst": 10_000}}
    backend = await world.backend()
    mesh = await world.mesh(shop, {("api", Track.STABLE): [backend]})
    return mesh, backend, mesh.topology.front.port


async def exchange(port, raw):
    """The answer, once the connection has been read to its end or has gone quiet after it."""
    client = sender.Sender("127.0.0.1", port, patience=30)
    try:
        return await client.send(raw, fresh=True)
    finally:
        await client.close()


ODD_TO_ENVOY = {
    # Envoy speaks it: what follows are frames, and no answer of HTTP/1 comes
    "HTTP/2 preface",
}


async def test_one_request_stays_one_whatever_it_hides(front):
    _, backend, port = front
    for shape in shapes.smuggling("/orders"):
        backend.seen.clear()
        answer = await exchange(port, shape.raw)
        # Two hosts become one, `a,b`: a name that no slice has, and one value for the service
        fair = shape.fair | ({200} if shape.name == "smuggling: two hosts" else {0})
        assert answer.status in fair, f"{shape.name}: {answer}"
        assert len(backend.seen) <= 2, shape.name
        told = [(seen.method, seen.raw_path) for seen in backend.seen]
        if answer.status >= 400:
            assert not [path for _, path in told if shapes.SECRET in path], f"{shape.name}: {told}"
        for seen in backend.seen:
            lengths = seen.headers.getall("content-length", [])
            codings = seen.headers.getall("transfer-encoding", [])
            assert len(lengths) + len(codings) <= 1, f"{shape.name}: {dict(seen.headers)}"
            assert codings in ([], ["chunked"]), shape.name


async def test_crooked_heads_and_tenants_are_refused_as_problems(front):
    mesh, backend, port = front
    for shape in (*shapes.heads("/products"), *shapes.tenants("/products")):
        if shape.name in ODD_TO_ENVOY:
            continue
        backend.seen.clear()
        answer = await exchange(port, shape.raw)
        # Which methods there are is for the service to say, and a folded line reaches it unfolded.
        served = shape.name.startswith("method: ") or shape.name == "header: folded"
        assert answer.status in shape.fair | ({200} if served else {0}), f"{shape.name}: {answer}"
        for seen in backend.seen:
            assert not [value for value in seen.headers.values() if "\n" in value or "\r" in value], shape.name
        for seen in backend.seen:
            assert "/../" not in seen.raw_path, f"{shape.name}: {seen.raw_path}"
            assert "//" not in seen.raw_path.partition("?")[0], f"{shape.name}: {seen.raw_path}"
            assert "%2f" not in seen.raw_path.lower().partition("?")[0], f"{shape.name}: {seen.raw_path}"
            assert "\\" not in seen.raw_path, f"{shape.name}: {seen.raw_path}"
            assert len(seen.headers.getall("x-tenant")) == 1, shape.name
    assert (await mesh.send("front")).status == 200
    assert mesh.access_log(), "each line is one JSON object"
