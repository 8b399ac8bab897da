"""What of a service's stable track is still on its way from one revision to the next.

Part of no revision and never stored with one: `render.leaving` adds it for rendering, while pods of former revisions
may still run.
"""

from dataclasses import dataclass
from enum import StrEnum

from resilientslice.api.services import Protocol, Service


@dataclass(frozen=True, slots=True)
class Target:
    """What the pods of a service listen on."""

    port: int
    protocol: Protocol


class Stage(StrEnum):
    """How far the stable track is with its newest revision."""

    ROLLING = "Rolling"
    """Pods of former revisions may serve."""
    ENDING = "Ending"
    """Only pods of the newest serve; former ones may still end, and call others meanwhile."""
    GONE = "Gone"
    """Former pods have ended. Pods of removed services are asked to end, and keep what they may call meanwhile."""


@dataclass(frozen=True, slots=True)
class Former:
    """A service as pods that may still run know it."""

    spec: Service
    internal_port: int | None


@dataclass(frozen=True, slots=True)
class Transit:
    """`former`: newest first. `removed`: the stable revision doesn't have the service any more."""

    former: tuple[Former, ...] = ()
    aim: Target | None = None
    """Where its proxies send while not all pods run the newest template; None: where that one listens."""
    floor: int = 0
    """Replicas below which an autoscaler may not go for now."""
    stage: Stage = Stage.ROLLING
    removed: bool = False


AT_REST = Transit()


def target_of(spec: Service) -> Target | None:
    """None for a service that nobody calls."""
    return None if spec.port is None else Target(spec.port, spec.protocol)
