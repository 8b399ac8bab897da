"""What the agent is started with."""

from dataclasses import dataclass
from pathlib import Path

BODY_LIMIT = 8 * 1024 * 1024
"""Bytes of a push: a slice of 40 services needs well under one megabyte."""
PUSH_TIMEOUT_SECONDS = 5.0
ADMIN_TIMEOUT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Paths may be relative to the working directory, which keeps them within the 107 bytes of a socket's name.

    `fallback` is a mounted copy of a configuration, taken when it is newer than what `state_dir` has.
    """

    ads_socket: Path
    api_socket: Path
    admin_socket: Path
    state_dir: Path
    fallback: Path | None = None
