"""Seconds as they would be on a machine of one's own: what is asked to happen in time is measured by this clock.

It stands still while any of the run's processes waits for a processor that others have. So a busy machine makes a run
longer, and a process that is idle when it should act is noticed all the same.
"""

import os
import threading
import time
from pathlib import Path

import psutil

PAUSE_SECONDS = 0.05
MOST_SECONDS = 0.2
"""Counted of one round: what is longer is a process that was not run."""
FAMILY_SECONDS = 1.0
"""Until it is looked anew which processes there are."""


class FairClock:
    """Of this process and all that it started. Use as a context manager; `now` is in fair seconds."""

    def __init__(self) -> None:
        self._now, self.speed = 0.0, 1.0
        self._delays: dict[Path, int] = {}
        self._family: list[int] = [os.getpid()]
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
        last = looked = time.perf_counter()
        while not self._stop.wait(PAUSE_SECONDS):
            now = time.perf_counter()
            if now - looked > FAMILY_SECONDS:
                self._family, looked = _family(), now
            passed = min(now - last, MOST_SECONDS)
            fair = max(0.0, passed - self._waited())
            self._now += fair
            self.speed += (fair / (now - last) - self.speed) * 0.1
            last = now

    def _waited(self) -> float:
        """Seconds since the last look in which a thread of the family was ready and not run; of the one that waited
        longest."""
        found = {path: delay for pid in self._family for path, delay in _delays(pid)}
        waited = max((delay - self._delays.get(path, delay) for path, delay in found.items()), default=0)
        self._delays = found
        return waited / 1e9


def _family() -> list[int]:
    me = psutil.Process()
    return [me.pid, *(child.pid for child in me.children(recursive=True))]


def _delays(pid: int) -> list[tuple[Path, int]]:
    """Nanoseconds on the run queue by thread. A process that has just ended has none; where the kernel doesn't count
    them nobody waits."""
    found = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            path = task / "schedstat"
            found.append((path, int(path.read_text().split()[1])))
    except (OSError, IndexError, ValueError):
        return found
    return found
