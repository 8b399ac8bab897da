"""How much is held of a slice at rest, in bytes that Python counts: the same on a busy machine as on a quiet one."""

import gc
import json
import tracemalloc
from collections.abc import Iterable

import pytest

from resilientslice.api.slice import KIND
from resilientslice.controller.assemble import assemble
from resilientslice.kube.cache import Children, slice_key
from resilientslice.kube.children import noted
from resilientslice.kube.kinds import WATCHED_KINDS, Object, SliceKey
from resilientslice.kube.slices import Slices

FIRST, MORE = 10, 20
"""The first pay for what all share."""
PASSES = 3
MOST_BYTES = 50_000
"""Of a slice with two services and 23 children; 39,000 were measured, and 115,000 when each slice had everything of its
own and a copy of each of its objects."""


def document(number: int) -> Object:
    """As different from the others as slices are: names, images, policies."""
    api = {
        "name": "api",
        "image": f"example.org/team-{number}/api:1.{number}.0",
        "port": 8080,
        "expose": {"pathPrefix": "/"},
        "dependsOn": ["store"],
        "env": [{"name": "REGION", "value": f"region-{number}"}],
    }
    store = {"name": "store", "image": f"example.org/team-{number}/store:2.{number}.0", "port": 8080, "replicas": 3}
    return {
        "apiVersion": "resilientslice.dev/v1alpha1",
        "kind": KIND,
        "metadata": {"name": f"shop-{number}", "namespace": f"team-{number % 7}"},
        "spec": {
            "services": [api, store],
            "resilience": {"timeout": f"{500 + number}ms", "retries": {"attempts": 2, "perTryTimeout": "100ms"}},
            "canary": {"weight": 0},
        },
    }


class Operator:
    """The caches, and what the reconciler holds."""

    def __init__(self, client, agents) -> None:
        self.slices = Slices(on_change=lambda key: None)
        self.children = Children(on_change=lambda key: None, shape=noted)
        for kind in WATCHED_KINDS:
            self.children.listed(kind, None, set(), "1")
        self.reconciler = assemble(client, self.slices, self.children, agents)
        self._client = client

    def told(self, numbers: Iterable[int]) -> None:
        """What lists tell of these slices and their children."""
        keys = {key_of(number) for number in numbers}
        for (kind, namespace, name), text in self._client.texts.items():
            obj = json.loads(text)
            if kind == KIND and SliceKey(namespace, name) in keys:
                self.slices.told(obj)
            elif slice_key(obj) in keys:
                self.children.told(obj)

    async def rest(self, numbers: Iterable[int]) -> None:
        """Passes until nothing is left to do."""
        for number in numbers:
            for _ in range(PASSES):
                await self.reconciler.reconcile(key_of(number))


@pytest.fixture
async def at_rest(client, agents):
    """An API server with all slices, which an operator has brought to rest."""
    numbers = range(FIRST + MORE)
    for number in numbers:
        await client.apply(document(number), manager="user")
    operator = Operator(client, agents)
    operator.told(numbers)
    await operator.rest(numbers)
    client.writes.clear()
    return client


async def test_a_slice_at_rest_takes_little_memory(at_rest, agents) -> None:
    operator = Operator(at_rest, agents)
    tracemalloc.start()
    try:
        before = await _held(operator, range(FIRST))
        after = await _held(operator, range(FIRST, FIRST + MORE))
    finally:
        tracemalloc.stop()
    assert not at_rest.writes, "they were at rest"
    assert operator.children.count() >= 20 * (FIRST + MORE)
    assert (after - before) / MORE < MOST_BYTES


async def _held(operator: Operator, numbers: Iterable[int]) -> int:
    """Bytes that are in use once these slices, too, were listed and looked at."""
    operator.told(numbers)
    await operator.rest(numbers)
    operator.reconciler.shared.forget()  # how much is remembered goes up and down
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def key_of(number: int) -> SliceKey:
    return SliceKey(f"team-{number % 7}", f"shop-{number}")
