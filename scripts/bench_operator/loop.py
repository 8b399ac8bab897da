"""A pass of the operator beside a loop that only applies the same objects: what deciding costs on top of writing.

In one process, with Envoys that take whatever they are handed, so that nothing but the pass and the API server is seen.
"""

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from typing import Any

from scripts.bench.figures import Figure, median_of, ratio
from scripts.bench_operator.sizes import Sizes
from scripts.build_apiserver import built

from resilientslice.applying.writer import AT_ONCE
from resilientslice.kube.client import KubeClient
from resilientslice.kube.kinds import SECRET, Object, SliceKey
from resilientslice.kube.session import Session
from testkit.control_plane import control_plane
from testkit.documents import NAME, NEW, OLD, four_services
from testkit.pass_world import World

ROUNDS = 5
MOST = 2.0
"""A new slice: each name is looked up before it is taken, and status, Events and what is remembered are written too."""
MOST_PASSES = 4
MANAGER = "loop"


class Recording(KubeClient):
    """Keeps what was applied or created."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.made: list[Object] = []

    async def apply(self, obj: Object, *, manager: str, force: bool = False) -> Object:
        self.made.append(obj)
        return await super().apply(obj, manager=manager, force=force)

    async def create(self, obj: Object, *, manager: str = "") -> Object:
        self.made.append(obj)
        return await super().create(obj, manager=manager)


async def figures(sizes: Sizes) -> AsyncIterator[Figure]:  # noqa: ARG001 - all parts are called alike
    found: dict[str, list[float]] = {}
    with control_plane(built()) as plane:
        async with Session(plane.login) as session:
            for number in range(ROUNDS + 1):
                times = await _round(session, number)
                if number:  # the first one warms
                    for name, seconds in times.items():
                        found.setdefault(name, []).append(seconds)
    detail = ", ".join(f"{name} {median_of(values) * 1000:.0f} ms" for name, values in found.items())
    yield Figure(
        "a new slice: pass / loop that applies the same objects", ratio(found, "new", "loop"), None, MOST, detail
    )
    what = "an edit of one image: pass / loop that applies everything again"
    yield Figure(what, ratio(found, "edit", "again"), None, 1.0)
    yield Figure("ms, a pass over an unchanged slice", median_of(found["unchanged"]) * 1000)


async def _round(session: Session, number: int) -> dict[str, float]:
    world = World(session, KubeClient(session), f"ours-{number}", [])
    world.client = recording = Recording(session)
    world.restart()
    theirs = f"loop-{number}"
    for namespace in (world.namespace, theirs):
        await world.others.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    await world.apply(four_services(world.namespace, OLD, 1))
    times = {"new": await _pass(world)}
    made = [_moved(obj, theirs) for obj in recording.made if obj["kind"] not in ("Event", SECRET.kind)]
    times["loop"] = await _loop(session, made)
    await world.settle(NAME)
    times["unchanged"] = await _pass(world)
    changed = four_services(world.namespace, NEW, 1)
    del changed["spec"]["canary"]
    await world.apply(changed)
    times["edit"] = await _pass(world)
    times["again"] = await _loop(session, made)
    return times


async def _pass(world: World) -> float:
    """With those that it asks for at once: the first may leave the status to the next."""
    await world.sync()
    began = time.perf_counter()
    for _ in range(MOST_PASSES):
        due = (await world.reconciler.reconcile(SliceKey(world.namespace, NAME))).next_deadline
        if due is None or due > world.now:
            return time.perf_counter() - began
    raise AssertionError(f"{MOST_PASSES} passes at once, and another one is due")


async def _loop(session: Session, made: Sequence[Object]) -> float:
    """One kind after the other, as many at once as a pass has."""
    client, places = KubeClient(session), asyncio.Semaphore(AT_ONCE)

    async def one(obj: Object) -> None:
        async with places:
            await client.apply(obj, manager=MANAGER, force=True)

    began = time.perf_counter()
    for _, same in groupby(made, key=lambda obj: obj["kind"]):
        await asyncio.gather(*(one(obj) for obj in same))
    return time.perf_counter() - began


def _moved(obj: Object, namespace: str) -> Object:
    moved: dict[str, Any] = copy.deepcopy(obj)
    moved["metadata"]["namespace"] = namespace
    for name in ("ownerReferences", "uid"):
        moved["metadata"].pop(name, None)
    return moved
