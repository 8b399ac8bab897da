"""Thirty slices at once; and an operator that has nothing to do, counted by the API server."""

import asyncio
import time

import audit
import operators
import pytest
import yaml

from testkit.audit_log import lists, words, writes
from testkit.files import sample
from testkit.live_cluster import LABELS, gets, shrink, until

pytestmark = pytest.mark.e2e

SLICES = 30
REST_SECONDS = 120.0
QUIET_SECONDS = 5.0
TINY = {"requests": {"cpu": "5m", "memory": "24Mi"}}


def small(number):
    """A slice of one pod and one Envoy: thirty of them have to fit onto one node."""
    document = sample("minimal")
    document["metadata"]["name"] = f"s{number:02}"
    document["spec"]["services"][0].update(resources=TINY, replicas=1)
    document["spec"]["proxy"] = {"replicas": 1, "resources": TINY}
    shrink(document["spec"])
    return document


async def all_ready(cluster, namespace, seconds):
    async def ready() -> bool:
        slices = await cluster.list("resilientslices", namespace)
        phases = [(slice_.get("status") or {}).get("phase") for slice_ in slices]
        return phases.count("Ready") == SLICES

    await until(ready, f"{SLICES} slices are Ready", seconds)


async def serves(slice_):
    """Ten answers in a row. Pods that were made a moment ago share the machine with all the others that still start."""
    async with slice_.client() as client:

        async def answered() -> bool:
            tally = await client.closed_loop(gets(), count=10, workers=2)
            return not tally.failed

        await until(answered, f"{slice_.name} serves", 60)


async def quiet(cluster):
    """Return when nothing was written for a while: what follows from the last change has been done."""

    async def unwritten() -> bool:
        place = await audit.mark(cluster)
        await asyncio.sleep(QUIET_SECONDS)
        return not writes(await audit.since(cluster, place))

    await until(unwritten, "the operator comes to rest", 120)


async def test_thirty_at_once_are_ready_and_then_nothing_is_written(operator, namespace):
    cluster = operator
    documents = [small(number) for number in range(SLICES)]
    began = time.monotonic()
    await cluster.apply(yaml.safe_dump_all(documents), namespace)
    await all_ready(cluster, namespace, 540)
    print(f"{SLICES} slices made at once: all Ready after {time.monotonic() - began:.0f} s")
    for document in documents:
        await serves(cluster.slice(namespace, document["metadata"]["name"]))
    pods = await cluster.list("pods", namespace, f"{LABELS['component']}=proxy")
    assert len(pods) == SLICES

    if audit.KEPT:
        await nothing_is_written(cluster)


async def nothing_is_written(cluster):
    await quiet(cluster)
    place = await audit.mark(cluster)
    await asyncio.sleep(REST_SECONDS)
    asked = await audit.since(cluster, place)
    print(f"{REST_SECONDS:.0f} s at rest: {words(asked)}")
    assert not writes(asked)
    assert asked, "the Lease at least is renewed, or else the log tells of another operator"

    place = await audit.mark(cluster)
    await operators.restart(cluster)
    await operators.leader(cluster)
    await quiet(cluster)
    asked = await audit.since(cluster, place)
    print(f"after a restart: {words(asked)}")
    assert not writes(asked)
    found = [request for request in asked if request.code < 400]  # of what is not installed there is no list
    processes = {request.source for request in found}
    listed = {source: lists(request for request in found if request.source == source) for source in processes}
    assert any(listed.values())
    assert {count for counts in listed.values() for count in counts.values()} == {1}, listed
