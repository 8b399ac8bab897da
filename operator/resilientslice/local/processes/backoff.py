"""How long to wait before something that ended is started again."""

from dataclasses import dataclass, replace

FIRST_SECONDS = 0.25
MAX_SECONDS = 30.0
STABLE_SECONDS = 20.0
"""A process that ran this long starts over with the shortest wait."""
CRASH_LOOP = 3
"""This many ends in a row, none after a stable run, are called a crash loop."""


@dataclass(frozen=True, slots=True)
class BackOff:
    """`failures` in a row."""

    failures: int = 0

    def after_run(self, seconds: float) -> "BackOff":
        return BackOff(1) if seconds >= STABLE_SECONDS else replace(self, failures=self.failures + 1)

    @property
    def delay(self) -> float:
        """Seconds to wait now."""
        return min(MAX_SECONDS, FIRST_SECONDS * 2 ** min(self.failures - 1, 16)) if self.failures else 0.0

    @property
    def crash_loop(self) -> bool:
        return self.failures >= CRASH_LOOP
