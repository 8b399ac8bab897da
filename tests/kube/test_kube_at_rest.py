"""An operator with nothing to do writes nothing, and one that starts asks for everything once; the server counts."""

import asyncio

import pytest
import yaml

from resilientslice.kube.kinds import RESILIENT_SLICE
from testkit.audit_log import Asked, counted, lists, writes
from testkit.documents import many
from testkit.files import ROOT
from testkit.many_slices import agents, all_ready, create
from testkit.stage import Stage, stage
from testkit.waiting import eventually

SLICES = 20
REST_SECONDS = 22.0
"""Twice the time after which agents are asked by themselves, and several renewals of the Lease."""
STORES = 2
"""Of the one with everything."""
LOG_SECONDS = 1.0
"""The audit log is written in batches of 200 ms."""


def documents():
    """Many small ones, and one with everything."""
    shop = yaml.safe_load((ROOT / "samples" / "shop.yaml").read_text())
    shop["metadata"]["namespace"] = "many-0"
    return [shop, *(many(number) for number in range(1, SLICES))]


@pytest.fixture
async def at(programs, network):
    async with stage(programs, answered=False, network=network) as at:
        with agents(at, SLICES * 2) as key:
            await create(at, documents(), key)
            await all_ready(at, SLICES)
            await quiet(at)
            yield at


async def quiet(at: Stage) -> None:
    """Return when nothing was written for a while: what follows from the last change has been done."""

    async def unwritten() -> bool:
        mark = at.plane.mark()
        await asyncio.sleep(2 + LOG_SECONDS)
        return not writes(at.plane.requests(mark))

    await eventually(unwritten, "the operator comes to rest")


async def asked_in(at: Stage, seconds: float) -> list[Asked]:
    mark = at.plane.mark()
    await asyncio.sleep(seconds + LOG_SECONDS)
    return at.plane.requests(mark)


async def test_at_rest_and_after_a_restart_nothing_is_written(at):
    found = counted(await asked_in(at, REST_SECONDS))
    # Secrets are not watched: each store's is looked for every 50 s, whose turn may come in this time
    # whether CloudNativePG has come is asked now and then, which a slow machine sees
    assert set(found) - {("get", "secrets"), ("list", "clusters")} == {("update", "leases")}, found
    assert found["get", "secrets"] <= STORES, found
    assert found["update", "leases"] >= 3

    mark = at.plane.mark()
    await asyncio.to_thread(at.operator.stop)
    await asyncio.to_thread(at.operator.start)
    await eventually(lambda: asyncio.to_thread(lambda: at.operator.passes() >= SLICES), "each was looked at")
    await asyncio.sleep(LOG_SECONDS * 3)
    asked = at.plane.requests(mark)
    assert not writes(asked)
    listed = lists(asked)
    assert len(listed) >= 12
    assert "resilientslices" in listed
    assert set(listed.values()) == {1}, listed

    mark = at.plane.mark()
    slice_ = await at.client.get(RESILIENT_SLICE, "many-1", "s1")
    slice_["spec"]["services"][0]["replicas"] = 3
    await at.client.replace(slice_)
    await eventually(lambda: seen(at, mark), "an edit is written, and the log shows it")


async def seen(at: Stage, mark: int) -> bool:
    return counted(writes(at.plane.requests(mark)))["patch", "deployments"] == 1
