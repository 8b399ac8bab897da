"""When to try Redis again: soon after a first failure, later after each further one.

A state machine with the time as input. A Redis that comes back and fails at once is *half-alive*: only a recovery that
lasted starts the pauses from the beginning.
"""

from dataclasses import dataclass
from enum import Enum

from slicekit.limits.gcra import SECOND

SHORTEST_PAUSE = 0.05 * SECOND
LONGEST_PAUSE = 2.0 * SECOND
STEADY = 5.0 * SECOND
"""Who served for this long has recovered."""


class State(Enum):
    OPEN = "open"
    """Redis is not asked."""
    CLOSED = "closed"
    """Redis is asked."""


@dataclass(slots=True)
class Breaker:
    """Starts open: Redis is used after its first reply."""

    state: State = State.OPEN
    reason: str = "not connected yet"
    _since: float = 0.0
    _pause: float = SHORTEST_PAUSE

    @property
    def closed(self) -> bool:
        return self.state is State.CLOSED

    def close(self, now: float) -> None:
        """Redis has replied to a probe."""
        self.state, self.reason, self._since = State.CLOSED, "", now

    def open(self, now: float, reason: str) -> None:
        """Redis has failed, in use or at a probe."""
        if self.closed and now - self._since >= STEADY:
            self._pause = SHORTEST_PAUSE
        self.state, self.reason = State.OPEN, reason

    def pause(self, luck: float) -> float:
        """Microseconds to wait before the next probe; `luck` from 0 to 1 spreads the replicas over half of it."""
        pause = self._pause
        self._pause = min(pause * 2, LONGEST_PAUSE)
        return pause * (0.5 + luck / 2)
