"""The queue between what happens and who acts: a few workers, and never two of them on one key.

Only the waiting is here; who is next is decided in `schedule`.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from resilientslice.workqueue.schedule import Schedule

K = TypeVar("K", bound=Hashable)
K_contra = TypeVar("K_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Result:
    """`next_deadline` as in `Plan`: seconds since the epoch, None if nothing happens by itself."""

    next_deadline: float | None = None


class Wake(Protocol[K_contra]):
    """Has a key processed again, `after` seconds from now or sooner: `WorkQueue.add`."""

    def __call__(self, key: K_contra, /, *, after: float = 0.0) -> None: ...


class CancelledPassError(Exception):
    """Someone cancelled a pass that was under way."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A pass that raised: `attempts` in a row so far, and the next in `wait` seconds."""

    error: Exception
    wait: float


def _spread() -> float:
    return random.uniform(0.8, 1.2)  # noqa: S311 - spread, not secrecy


class WorkQueue(Generic[K]):
    """Every key that is added is handed to a worker afterwards, also one that is just being worked on.

    `monotonic` and `wall` in seconds. `patience` tells how long a failure must be waited for at least: what the error
    knows (`retry_after`), or a minute for one that only an edit can mend.
    """

    def __init__(
        self,
        *,
        workers: int = 8,
        patience: Callable[[Exception], float] = lambda error: float(getattr(error, "retry_after", 0.0)),
        on_failure: Callable[[K, Failure], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        spread: Callable[[], float] = _spread,
    ) -> None:
        self._workers = workers
        self._patience = patience
        self._on_failure = on_failure
        self._monotonic = monotonic
        self._wall = wall
        self._schedule: Schedule[K] = Schedule(spread=spread)
        self._changed = asyncio.Event()
        self._started: dict[K, float] = {}
        self._closing = False

    def add(self, key: K, *, after: float = 0.0, urgent: bool = False) -> None:
        """Have `key` processed, `after` seconds from now or sooner. Never blocks; not for other threads."""
        self._schedule.add(key, self._monotonic(), after=after, urgent=urgent)
        self._changed.set()

    async def run(self, worker: Callable[[K], Awaitable[Result]]) -> None:
        """Hand keys to `worker` until `drain`, and return when what was under way has ended.

        An exception of `worker` is a failed pass; anything else that it raises (cancellation) ends the queue.
        """
        async with asyncio.TaskGroup() as group:
            while not self._closing:
                self._changed.clear()
                while len(self._started) < self._workers and (key := self._take()) is not None:
                    group.create_task(self._process(key, worker), name=f"reconcile {key}")
                await self._wait()

    async def drain(self, seconds: float) -> bool:
        """Start nothing more and wait for what is under way. False when it has not ended in that time."""
        self._closing = True
        self._changed.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._started:
                    self._changed.clear()
                    await self._changed.wait()
        return not self._started

    @property
    def depth(self) -> int:
        """Keys that are due and wait for a worker."""
        return self._schedule.depth

    @property
    def working(self) -> int:
        return len(self._started)

    def oldest(self) -> float:
        """Seconds that the longest-waiting key has been due; 0 if none waits."""
        return self._schedule.oldest(self._monotonic())

    def longest(self) -> tuple[K, float] | None:
        """The pass that is under way longest, and for how many seconds."""
        if not self._started:
            return None
        key = min(self._started, key=self._started.__getitem__)
        return key, self._monotonic() - self._started[key]

    def _take(self) -> K | None:
        now = self._monotonic()
        key = self._schedule.take(now)
        if key is not None:
            self._started[key] = now
        return key

    async def _wait(self) -> None:
        """Until something is added or ends, or a key becomes due and someone is free to take it."""
        due = self._schedule.next_at() if len(self._started) < self._workers else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if due is None else max(due - self._monotonic(), 0.0)):
                await self._changed.wait()

    async def _process(self, key: K, worker: Callable[[K], Awaitable[Result]]) -> None:
        # stays if the pass is cancelled: whatever happens, the key must come back
        failure: Exception | None = CancelledPassError(f"the pass of {key} was cancelled")
        result = Result()
        try:
            result = await worker(key)
            failure = None
        except Exception as error:
            failure = error
        finally:
            del self._started[key]
            self._finish(key, result, failure)
            self._changed.set()

    def _finish(self, key: K, result: Result, failure: Exception | None) -> None:
        now = self._monotonic()
        if failure is None:
            deadline = result.next_deadline
            self._schedule.done(key, now, next_at=None if deadline is None else now + max(deadline - self._wall(), 0.0))
            return
        wait = self._schedule.failed(key, now, at_least=self._patience(failure))
        if self._on_failure is not None:
            self._on_failure(key, Failure(failure, wait))
