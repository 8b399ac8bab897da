"""A slice that validates fits: everything that is made of it, and remembered of it, into objects of the API server.

What counts is text that can't be compressed, in one place or spread, at the limit of a spec.
"""

import base64
import gzip
import itertools
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilientslice.agent.settings import BODY_LIMIT
from resilientslice.api.problems import InvalidSliceError
from resilientslice.api.size import MAX_ROUTES, MAX_SPEC_BYTES, stored_bytes
from resilientslice.api.slice import ResilientSlice
from resilientslice.api.validation import parse_slice
from resilientslice.canary.state import State
from resilientslice.history.record import read_state, record_of, revision_of_object
from resilientslice.planning.memory import Memory
from resilientslice.planning.policy import policy_of
from resilientslice.render.envoy import render_envoy
from resilientslice.render.objects import render_objects
from resilientslice.render.proxy import cluster_topology, render_pushed
from resilientslice.render.revision import changed_services, revision_of
from resilientslice.render.tracks import CanaryTrack

OBJECT_BYTES = 1_300_000
"""etcd takes 1,572,864 a request; what the API server adds (who applied what) is the rest."""
CONFIG_MAP_BYTES = 1_000_000
"""The API server takes 1,048,576 of the values together."""
PRINTABLE = "".join(map(chr, range(32, 127)))
PATH = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_~!$'()*+,;=:@%-"
WIDE = "".join(map(chr, range(0x4E00, 0x9FA5)))
NAMES_OF_FIELDS = '"env":[],"egress":[],"routes":[],"expose":,'
LARGEST_PIECE = 26_000
Document = dict[str, Any]
Fill = Callable[[Document, random.Random], Iterator[Any]]
"""Adds to a document piece by piece, and tells each."""


def document(services: int, tag: str, letter: str) -> Document:
    made = [{"name": f"{letter}{number}", "image": f"example.org/s:{tag}", "port": 8080} for number in range(services)]
    spec = {"services": made, "canary": {"weight": 5}}
    metadata = {"name": "a" * 30, "uid": "0" * 36}
    return {"apiVersion": "resilientslice.dev/v1alpha1", "kind": "ResilientSlice", "metadata": metadata, "spec": spec}


def with_env(letters: str, length: int = 4000) -> Fill:
    def fill(made: Document, draw: random.Random) -> Iterator[bool]:
        for number in range(128):
            for service in made["spec"]["services"]:
                if len(service.setdefault("env", [])) < 128:
                    value = "".join(draw.choices(letters, k=length))
                    service["env"].append({"name": f"V{number}_{length}", "value": value})
                    yield service["env"][-1]

    return fill


def with_routes(made: Document, draw: random.Random) -> Iterator[bool]:
    for service in made["spec"]["services"]:
        service["expose"] = {"pathPrefix": "/" + "".join(draw.choices(PATH, k=255))}
        yield service["expose"]
    for number in range(MAX_ROUTES):
        service = made["spec"]["services"][number % len(made["spec"]["services"])]
        if len(service.setdefault("routes", [])) < 16:
            prefix = "/" + "".join(draw.choices(PATH, k=255))
            retries = {"attempts": 3, "perTryTimeout": "99ms"}
            route = {"pathPrefix": prefix, "timeout": "30s", "idleTimeout": "3600s", "retries": retries}
            service["routes"].append(route | {"websocket": True})
            yield service["routes"][-1]


def with_egress(made: Document, draw: random.Random) -> Iterator[bool]:
    for _ in range(32):
        for service in made["spec"]["services"]:
            cidr = ":".join(f"{draw.randrange(65536):04x}" for _ in range(8)) + "/128"
            ports = draw.sample(range(10_000, 65_536), 32)
            service.setdefault("egress", []).append({"cidr": cidr, "ports": ports})
            yield service["egress"][-1]


FILLS: dict[str, Fill] = {
    "text": with_env(PRINTABLE),
    "text of other scripts": with_env(WIDE),
    "characters that JSON escapes": with_env('<>&"\\\u0001\u2028'),
    "short texts": with_env(PRINTABLE, 20),
    "routes": with_routes,
    "egress": with_egress,
}


def filled(made: Document, fills: list[Fill], seed: int) -> Document:
    """As far as the limit lets it, each in turn."""
    draw = random.Random(seed)
    size = stored_bytes(made["spec"]) + len(made["spec"]["services"]) * len(NAMES_OF_FIELDS)
    for piece in itertools.chain.from_iterable(fill(made, draw) for fill in fills):
        size += stored_bytes(piece) + 1
        if size > MAX_SPEC_BYTES - LARGEST_PIECE:
            break
    assert stored_bytes(made["spec"]) <= MAX_SPEC_BYTES
    return made


def at_the_limit(services: int, names: list[str], seed: int, *, renamed: bool) -> tuple[ResilientSlice, ResilientSlice]:
    """Two states of a slice that have nothing in common but, unless `renamed`, the names of their services."""
    fills = [FILLS[name] for name in names]
    first = filled(document(services, "1", "s"), fills, seed)
    second = filled(document(services, "2", "t" if renamed else "s"), fills, seed + 1)
    return parse_slice(first), parse_slice(second)


def check(before: ResilientSlice, after: ResilientSlice) -> None:
    """Of both states at once: the second is the canary of the first."""
    stable = revision_of(before)
    canary = revision_of(after, after=stable)
    changed = changed_services(stable, canary)
    state = State(stable=stable.name, canary=canary.name, services=tuple(sorted(changed)))
    accepted = policy_of(before.spec)
    memory = Memory(stable=stable, canary=canary, state=state, history=(stable,), accepted=accepted)
    record = record_of(after, memory)
    track = CanaryTrack(revision=canary, services=changed, weight=30)
    made = [record.state, *(record.revision(name) for name in record.known), *render_objects(after, stable, track)]
    for one in made:
        name = f"{one['kind']} {one['metadata']['name']}"
        assert stored_bytes(one) < OBJECT_BYTES, name
        if one["kind"] == "ConfigMap":
            values = [*one.get("data", {}).values(), *one.get("binaryData", {}).values()]
            assert sum(len(value.encode()) for value in values) < CONFIG_MAP_BYTES, name
    config = render_envoy(after, stable, track, cluster_topology(after, stable, track))
    pushed = render_pushed(config, epoch=(1, 1)).get("binaryData", {}).get("config.json.gz")
    assert pushed is None or len(gzip.decompress(base64.b64decode(pushed))) < BODY_LIMIT
    assert read_state(json.loads(json.dumps(record.state))).names == tuple(sorted({stable.name, canary.name}))
    for name in record.known:
        assert revision_of_object(json.loads(json.dumps(record.revision(name)))) == record.known[name]


@pytest.mark.parametrize(("services", "renamed"), [(1, False), (64, True)], ids=["one service", "64, all replaced"])
@pytest.mark.parametrize("name", FILLS)
def test_a_slice_at_the_limit_fits(name: str, services: int, renamed: bool) -> None:
    check(*at_the_limit(services, [name], 1, renamed=renamed))


@given(st.integers(1, 64), st.lists(st.sampled_from(sorted(FILLS)), min_size=2, max_size=6, unique=True), st.integers())
@settings(max_examples=4, deadline=None)
def test_a_slice_that_validates_fits(services: int, names: list[str], seed: int) -> None:
    check(*at_the_limit(services, names, seed, renamed=False))


def test_one_that_is_too_large_is_refused_with_its_size_and_what_to_shrink() -> None:
    made = document(2, "1", "s")
    made["spec"]["services"][1]["env"] = [{"name": f"V{number}", "value": "é" * 4000} for number in range(70)]
    size = stored_bytes(made["spec"])
    assert size > MAX_SPEC_BYTES
    with pytest.raises(InvalidSliceError) as error:
        parse_slice(made)
    assert f"spec: is {size:,} bytes as JSON and may be {MAX_SPEC_BYTES:,}" in str(error.value)
    assert "spec.services[1].env alone is" in str(error.value)
    del made["spec"]["services"][1]["env"][60:]
    parse_slice(made)


def test_more_routes_than_agents_take_are_refused() -> None:
    made = document(17, "1", "s")
    for service in made["spec"]["services"]:
        service["routes"] = [{"pathPrefix": f"/{number}", "timeout": "30s"} for number in range(16)]
    with pytest.raises(InvalidSliceError, match=r"spec.services: have 272 routes together and may have 256"):
        parse_slice(made)
    del made["spec"]["services"][16]
    parse_slice(made)


@pytest.mark.parametrize(
    ("value", "size"),
    [("a", 3), ("é", 4), ("<", 8), ("\u2028", 8), ("\u0001", 8), ("\n", 4), ({"a": [1]}, 9)],
    ids=repr,
)
def test_bytes_are_counted_as_the_api_server_writes_them(value: object, size: int) -> None:
    assert stored_bytes(value) == size
