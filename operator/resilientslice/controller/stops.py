"""What stops a pass before anything is decided, and how the status says so.

Nothing is touched then: the last good configuration serves.
"""

from dataclasses import dataclass
from math import inf

from resilientslice.agent.signing import UnusableKeyError
from resilientslice.api.reasons import Reason
from resilientslice.controller.wanted import NothingStoredError
from resilientslice.history.recall import unreadable
from resilientslice.kube.kinds import SliceKey
from resilientslice.planning.memory import UnreadableMemoryError

KEY_SECONDS = 30.0
"""Until a Secret whose key can't be used is read again: Secrets are not watched."""


class InvalidResourceError(Exception):
    """The resource can't be understood; the text says what to correct."""


STOPPING = (InvalidResourceError, UnreadableMemoryError, UnusableKeyError, NothingStoredError)
"""Errors that `stop_of` knows."""


@dataclass(frozen=True, slots=True)
class Stop:
    """`until`: when to try again by itself, in seconds since the
    epoch."""

    message: str
    reason: Reason = Reason.INVALID_SPEC
    until: float = inf


def stop_of(key: SliceKey, error: Exception, now: float) -> Stop:
    """`error` is one of `STOPPING`; `now` in seconds since the epoch."""
    match error:
        case UnreadableMemoryError():
            return Stop(unreadable(key, error), Reason.MEMORY_UNREADABLE)
        case UnusableKeyError():
            return Stop(str(error), Reason.AGENT_KEY_INVALID, now + KEY_SECONDS)
        case NothingStoredError(refusal=refusal):
            return Stop(refusal.trouble.message, refusal.trouble.reason, refusal.until)
        case _:
            return Stop(str(error))
