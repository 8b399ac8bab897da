"""The queue's tasks: keys are worked on beside each other, never one of them twice at once, and it ends in order."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from resilientslice.workqueue.queue import Failure, Result, WorkQueue


@asynccontextmanager
async def running(queue: WorkQueue[str], worker) -> AsyncIterator[None]:
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(queue.run(worker))
        yield
        await queue.drain(10)


async def until(condition) -> None:
    while not condition():
        await asyncio.sleep(0)


async def test_every_key_is_worked_on_and_none_twice_at_once() -> None:
    queue: WorkQueue[str] = WorkQueue(workers=4)
    inside: defaultdict[str, int] = defaultdict(int)
    seen: defaultdict[str, int] = defaultdict(int)
    wanted = {f"k{index}": 0 for index in range(10)}
    most = 0

    async def worker(key: str) -> Result:
        nonlocal most
        inside[key] += 1
        assert inside[key] == 1
        most = max(most, sum(inside.values()))
        seen[key] = wanted[key]
        await asyncio.sleep(0)
        inside[key] -= 1
        return Result()

    async with running(queue, worker):
        for count in range(1, 200):
            for key in wanted:
                wanted[key] = count
                queue.add(key, urgent=count % 3 == 0)
            await asyncio.sleep(0)
        await until(lambda: seen == wanted)
    assert 1 < most <= 4


async def test_a_failed_key_comes_back_and_is_told_of() -> None:
    told: list[tuple[str, Failure]] = []
    queue: WorkQueue[str] = WorkQueue(on_failure=lambda key, failure: told.append((key, failure)), spread=lambda: 0.01)
    tries = 0

    async def worker(_: str) -> Result:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ValueError("not yet")
        return Result()

    async with running(queue, worker):
        queue.add("a")
        await until(lambda: tries == 3)
    assert [(key, str(failure.error)) for key, failure in told] == [("a", "not yet")] * 2
    assert told[1][1].wait == pytest.approx(2 * told[0][1].wait)


async def test_a_pass_that_is_cancelled_is_a_failed_one() -> None:
    told: list[Failure] = []
    queue: WorkQueue[str] = WorkQueue(on_failure=lambda _, failure: told.append(failure), spread=lambda: 0.01)
    tries = 0

    async def worker(_: str) -> Result:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise asyncio.CancelledError
        return Result()

    async with running(queue, worker):
        queue.add("a")
        await until(lambda: tries == 2)
    assert "cancelled" in str(told[0].error)


async def test_deadlines_are_of_the_wall_clock_and_may_have_passed() -> None:
    queue: WorkQueue[str] = WorkQueue(monotonic=lambda: 50.0, wall=lambda: 1000.0)
    passes = 0

    async def worker(_: str) -> Result:
        nonlocal passes
        passes += 1
        return Result(next_deadline=999.0 if passes < 3 else 1060.0)

    async with running(queue, worker):
        queue.add("a")
        await until(lambda: passes == 3)
        await until(lambda: not queue.working)
        assert queue._schedule.next_at() == 110.0


async def test_a_drained_queue_finishes_and_starts_nothing_more() -> None:
    queue: WorkQueue[str] = WorkQueue(workers=1)
    started, go = asyncio.Event(), asyncio.Event()
    finished: list[str] = []

    async def worker(key: str) -> Result:
        started.set()
        await go.wait()
        finished.append(key)
        return Result()

    task = asyncio.create_task(queue.run(worker))
    queue.add("a")
    queue.add("b")
    await started.wait()
    assert queue.working == 1
    assert await queue.drain(0.01) is False
    go.set()
    assert await queue.drain(10) is True
    await asyncio.wait_for(task, 10)
    assert finished == ["a"]


async def test_it_says_what_is_under_way_longest() -> None:
    now = 10.0
    queue: WorkQueue[str] = WorkQueue(monotonic=lambda: now)
    go = asyncio.Event()

    async def worker(_: str) -> Result:
        await go.wait()
        return Result()

    assert queue.longest() is None
    async with running(queue, worker):
        queue.add("a")
        await until(lambda: queue.working == 1)
        now = 13.0
        assert queue.longest() == ("a", 3.0)
        go.set()
