"""What the agent is started with."""

from dataclasses import dataclass
from pathlib import Path

BODY_LIMIT = 10 * 1024 * 1024
"""Bytes of a push: a slice of 40 services needs well under one megabyte."""
PUSH_TIMEOUT_SECONDS = 5.0
ADMIN_TIMEOUT_SECONDS = 1.0
DRAIN_SECONDS = 45.0
LEAST_DRAIN_SECONDS = 8.0
"""Until everybody who sends requests knows that this proxy leaves: a pod's own pause (5 s), and DNS caches."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Paths may be relative to the working directory, which keeps them within the 107 bytes of a socket's name.

    `fallback` is a mounted copy of a configuration, taken when it is newer than what `state_dir` has, and followed
    while the agent runs. `remote` says how the operator reaches the agent, `drain` how Envoy is drained at SIGTERM;
    None: not at all. `ready_file` exists while the agent is ready.
    """

    ads_socket: Path
    api_socket: Path
    admin_socket: Path
    state_dir: Path
    fallback: Path | None = None
    ready_file: Path | None = None
    remote: "Remote | None" = None
    drain: "DrainTimes | None" = None


@dataclass(frozen=True, slots=True)
class Remote:
    """`key_dir` has the files `current` and `previous`; `uid` is the pod's."""

    host: str
    port: int
    key_dir: Path
    uid: str


@dataclass(frozen=True, slots=True)
class DrainTimes:
    """Seconds. Draining ends at `most`, and not before `least`."""

    most: float = DRAIN_SECONDS
    least: float = LEAST_DRAIN_SECONDS
