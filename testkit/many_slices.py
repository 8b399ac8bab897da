"""Many small slices on a stage, whose agents are one process: how they are made, and when they are done."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from resilientslice.envoys import new_key
from resilientslice.kube.kinds import RESILIENT_SLICE, SECRET, Object
from resilientslice.render.names import agent_key_name
from testkit.processes import piped, processor_seconds
from testkit.stage import Stage
from testkit.waiting import eventually

AT_ONCE = 8
MEGABYTE = 1 << 20
SETTLE_SECONDS = 1800.0
PROGRESS_SECONDS = 15.0


@contextmanager
def agents(at: Stage, count: int) -> Iterator[str]:
    """Answer for that many proxy pods while the block runs; yields the key that they all sign with."""
    key_dir, key = at.folder / "key", new_key()
    key_dir.mkdir(mode=0o700)
    (key_dir / "current").write_text(key)
    arguments = ["--network", at.network, "--count", str(count), "--key-dir", str(key_dir)]
    with piped(["testkit.fake_agent_process", *arguments]) as fakes:
        at.simulation.attach(fakes, at.network)
        yield key


async def create(at: Stage, slices: Sequence[Object], key: str) -> None:
    """Each with the Secret that its operator would make otherwise: the same key, so that one process can answer."""
    for namespace in sorted({made["metadata"]["namespace"] for made in slices}):
        await at.namespace(namespace)
    places = asyncio.Semaphore(AT_ONCE)

    async def one(made: Object) -> None:
        async with places:
            metadata = {**made["metadata"], "name": agent_key_name(made["metadata"]["name"])}
            secret = {"apiVersion": "v1", "kind": SECRET.kind, "metadata": metadata, "stringData": {"current": key}}
            await at.client.create(secret)
            await at.client.create(made)

    await asyncio.gather(*(one(made) for made in slices))


async def all_ready(at: Stage, count: int) -> None:
    told = time.monotonic()

    async def ready() -> bool:
        nonlocal told
        found = await at.client.list_all(RESILIENT_SLICE)
        phases = [(slice_.get("status") or {}).get("phase") for slice_ in found]
        done = phases.count("Ready")
        if time.monotonic() - told > PROGRESS_SECONDS:
            told = time.monotonic()
            print(f"    {done} of {count} Ready; {operator_cpu(at)}", flush=True)
        return done == count and not await asyncio.to_thread(busy, at)

    await eventually(ready, f"{count} slices are Ready", seconds=SETTLE_SECONDS, every=3.0)


def busy(at: Stage) -> bool:
    return bool(at.operator.health().get("queue_depth", 0))


def operator_cpu(at: Stage) -> str:
    process = at.operator.process
    return f"operator: {processor_seconds(process):.0f} s CPU, {process.memory_info().rss / MEGABYTE:.0f} MB"
