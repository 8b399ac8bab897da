"""What the runtime tells others about itself: the view, the status file, the demo and the tests read these."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from resilientslice.render.names import Track

_log = logging.getLogger(__name__)


class ReplicaState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    NOT_READY = "not ready"
    BACK_OFF = "back-off"
    DRAINING = "draining"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ReplicaInfo:
    """One process of a service, as it is now.

    `pid` is None between two tries; `port` is what it serves on at 127.0.0.1, `admin_port` its own control port
    (faults); both stay over its restarts. `version` is the image's tag, `revision` the digest of its pod template.
    `message` says why it is not ready, with the last lines it wrote if it crashed.
    """

    service: str
    track: Track
    index: int
    name: str
    pid: int | None
    port: int
    admin_port: int
    state: ReplicaState
    version: str
    restarts: int
    message: str
    log: Path

    @property
    def ready(self) -> bool:
        return self.state is ReplicaState.READY


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """The server of a managed store, as it is now. `pid` is None between two tries; `url` holds a password."""

    name: str
    pid: int | None
    ready: bool
    message: str
    url: str = field(repr=False)


class Severity(StrEnum):
    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `at` is UTC."""

    at: datetime
    severity: Severity
    reason: str
    message: str


@dataclass(slots=True)
class Journal:
    """The last events, and listeners for new ones. Holds no file: the view and the log lines listen."""

    capacity: int = 500
    events: list[Event] = field(default_factory=list)
    listeners: list[Callable[[Event], None]] = field(default_factory=list)

    def normal(self, reason: str, message: str) -> None:
        self.add(Event(datetime.now(UTC), Severity.NORMAL, reason, message))

    def warning(self, reason: str, message: str) -> None:
        self.add(Event(datetime.now(UTC), Severity.WARNING, reason, message))

    def add(self, event: Event) -> None:
        self.events.append(event)
        del self.events[: -self.capacity]
        for listener in self.listeners:
            try:
                listener(event)
            except Exception:  # a listener must not end what the event is about
                _log.exception("an event could not be told: %s", event.reason)
