"""The largest slice that validates, and one that is too large."""

import random
import string

import pytest
import yaml
from tests.kube.memory_shop import revisions, shop_with_canary, templates

from resilientslice.api.size import MAX_SPEC_BYTES, stored_bytes
from testkit.files import ROOT
from testkit.pass_world import writes


@pytest.fixture
async def shop(world):
    return await shop_with_canary(world)


def long_text(seed, length):
    draw = random.Random(seed)
    return "".join(draw.choices(string.ascii_letters + string.digits + string.punctuation, k=length))


@pytest.mark.parametrize("spread", [1, 4], ids=["in one service", "in four"])
async def test_the_largest_slice_that_validates_starts_and_gets_a_canary(world, spread):
    """Text that can't be compressed, all of it new with the second revision."""
    document = yaml.safe_load((ROOT / "samples" / "shop.yaml").read_text())

    def fill(seed):
        for number, service in enumerate(document["spec"]["services"][:spread]):
            service["env"] = []
            while stored_bytes(document["spec"]) < MAX_SPEC_BYTES * (number + 1) / spread - 20_000:
                values = [(f"V{len(service['env']) + more}", 4000) for more in range(3)]
                service["env"] += [{"name": name, "value": long_text(seed + name, size)} for name, size in values]

    fill("first")
    assert stored_bytes(document["spec"]) > MAX_SPEC_BYTES * 0.9
    await world.apply(document)
    await world.settle("shop")
    assert (await world.condition("shop", "Ready"))[0] == "True"
    for service in document["spec"]["services"]:
        service.pop("env", None)
    fill("second")
    document["spec"]["canary"]["weight"] = 30
    await world.apply(document)
    await world.settle("shop")
    told = (await world.slice("shop"))["status"]
    assert told["canary"]["weight"] == 30
    world.restart()
    assert not writes(await world.reconcile("shop"))
    assert await revisions(world) == told["revision"]
    document["spec"]["canary"]["weight"] = 100
    await world.apply(document)
    await world.settle("shop", seconds=40)
    assert await revisions(world) == {"stable": told["revision"]["canary"], "canary": ""}


async def test_one_that_does_not_validate_is_said_with_its_size(shop):
    before = await templates(shop)
    service = shop.document["spec"]["services"][0]
    service["env"] = [{"name": f"V{number}", "value": long_text(number, 4000)} for number in range(128)]
    shop.document["spec"]["services"][1]["env"] = service["env"][:10]
    await shop.apply(shop.document)
    await shop.reconcile("shop")
    status, reason, message = await shop.condition("shop", "Stalled")
    assert (status, reason) == ("True", "InvalidSpec")
    assert f"may be {MAX_SPEC_BYTES:,}" in message
    assert "spec.services[0].env alone is" in message
    assert await templates(shop) == before
