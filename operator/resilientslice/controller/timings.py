"""How long the stages of a pass take, for whoever measures."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Timings:
    """CPU and wall seconds of the last pass by stage."""

    stages: dict[str, tuple[float, float]] = field(default_factory=dict)
    _last: tuple[float, float] = (0.0, 0.0)

    def begin(self) -> None:
        self.stages, self._last = {}, (time.process_time(), time.perf_counter())

    def mark(self, stage: str) -> None:
        now = (time.process_time(), time.perf_counter())
        before = self.stages.get(stage, (0.0, 0.0))
        self.stages[stage] = (before[0] + now[0] - self._last[0], before[1] + now[1] - self._last[1])
        self._last = now
