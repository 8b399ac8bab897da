"""Seconds as they would be on a machine of one's own: what is asked to happen in time is measured by this clock.

Where six processes want two processors, the clock runs at a third of the speed. While this process gets none, it stands
still.
"""

import os
import threading
import time
from pathlib import Path

PAUSE_SECONDS = 0.05
MOST_SECONDS = 0.1
"""Counted of one round: what is longer is a process that was not run."""
_SMOOTH = 0.2
_LOAD = Path("/proc/loadavg")


class FairClock:
    """Use as a context manager; `now` is in fair seconds."""

    def __init__(self) -> None:
        self._now, self.speed = 0.0, 1.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "FairClock":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def now(self) -> float:
        return self._now

    def _run(self) -> None:
        last = time.perf_counter()
        while not self._stop.wait(PAUSE_SECONDS):
            self.speed += (_share() - self.speed) * _SMOOTH
            now = time.perf_counter()
            self._now += min(now - last, MOST_SECONDS) * self.speed
            last = now


def _share() -> float:
    """Of a processor that each process has which wants one; this one's own thread is not counted."""
    if not _LOAD.exists():
        return 1.0
    wanting = int(_LOAD.read_text().split()[3].partition("/")[0]) - 1
    return min(1.0, (os.cpu_count() or 1) / max(1, wanting))
