"""Seconds as they would be on a machine of one's own: what is asked to happen in time is measured by this clock.

A thread does the same small work over and over. Where it takes three times as long as at best, others use the machine,
and the clock runs at a third of the speed. While this process gets no processor, it stands still.
"""

import threading
import time
from collections.abc import Callable

PAUSE_SECONDS = 0.05
MOST_SECONDS = 0.1
"""Counted of one round: what is longer is a process that was not run."""
_WORK = 3000
_SLOWEST = 0.05


class FairClock:
    """Use as a context manager; `now` is in fair seconds."""

    def __init__(self) -> None:
        self._now, self._best, self._speed = 0.0, float("inf"), 1.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "FairClock":
        for _ in range(20):
            self._best = min(self._best, _probe(time.perf_counter))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def now(self) -> float:
        return self._now

    @property
    def speed(self) -> float:
        """Of the machine, as a share of its best."""
        return self._speed

    def _run(self) -> None:
        last = time.perf_counter()
        while not self._stop.wait(PAUSE_SECONDS):
            took = _probe(time.perf_counter)
            self._best = min(self._best, took)
            share = max(_SLOWEST, min(1.0, self._best / took))
            self._speed += (share - self._speed) * 0.1
            now = time.perf_counter()
            self._now += min(now - last, MOST_SECONDS) * self._speed
            last = now


def _probe(clock: Callable[[], float]) -> float:
    began, total = clock(), 0
    for number in range(_WORK):
        total += number * number
    return clock() - began
