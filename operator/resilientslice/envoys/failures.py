"""Says which agents are not heard, and why: in the log, with the slice, and as a number."""

import time
from collections.abc import Callable

import structlog
from prometheus_client import CollectorRegistry

from resilientslice.agent.answers import AgentError
from resilientslice.envoys.wire import BrokenAnswerError, ForeignKeyError
from resilientslice.kube.kinds import SliceKey
from resilientslice.metrics import AGENT_FAILURES

_log = structlog.get_logger("resilientslice.agents")


QUIET_SECONDS = 60.0
"""Between two lines about one pod, of which an agent could make one with each answer; all are counted."""
MOST_PODS = 10_000


class AgentFailures:
    """`failed` is called each time that an agent is not heard for another reason than before."""

    def __init__(self, registry: CollectorRegistry | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._logged: dict[tuple[tuple[str, str], str, str], float] = {}
        self._count = AGENT_FAILURES.counter(registry)

    def failed(self, key: tuple[str, str], pod: str, error: Exception) -> None:
        reason = _reason(error)
        self._count.labels(reason).inc()
        if not self._due((key, pod, reason)):
            return
        about = {"slice": str(SliceKey(*key)), "pod": pod, "reason": reason}
        if reason == "defect":
            _log.error("a defect: what an agent led to was given up, and is tried again", **about, exc_info=error)
        else:
            _log.warning("an agent is not heard", **about, error=str(error))

    def _due(self, what: tuple[tuple[str, str], str, str]) -> bool:
        now = self._monotonic()
        if now - self._logged.get(what, -QUIET_SECONDS) < QUIET_SECONDS:
            return False
        if len(self._logged) >= MOST_PODS:
            self._logged.clear()
        self._logged[what] = now
        return True


def _reason(error: Exception) -> str:
    match error:
        case BrokenAnswerError():
            return "not_understood"
        case ForeignKeyError():
            return "foreign_key"
        case AgentError():
            return "unreachable"
        case _:
            return "defect"
