"""Faults on demand: answer errors, answer slowly, refuse connections. Each one ends by itself.

Time and chance come from outside, so that a test neither waits nor repeats.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from slicekit.durations import parse_seconds

DEFAULT_SECONDS = 30.0
LONGEST_SECONDS = 600.0
LONGEST_DELAY = 300.0


class FaultKind(StrEnum):
    FAIL = "fail"
    SLOW = "slow"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `lasts` and `delay` are seconds; a kind ignores the fields that mean nothing to it."""

    kind: FaultKind
    probability: float = 1.0
    status: int = 503
    delay: float = 1.0
    lasts: float = DEFAULT_SECONDS

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability {self.probability:g} must be from 0 to 1")
        if not 400 <= self.status <= 599:
            raise ValueError(f"status {self.status} must be from 400 to 599")
        if not 0 <= self.delay <= LONGEST_DELAY:
            raise ValueError(f"delay {self.delay:g}s must be from 0s to {LONGEST_DELAY:g}s")
        if not 0 < self.lasts <= LONGEST_SECONDS:
            raise ValueError(f"for {self.lasts:g}s must be more than 0s and at most {LONGEST_SECONDS / 60:g}m")


def parse_fault_mode(kind: FaultKind, text: str) -> Fault:
    """A fault from `probability=0.5,status=503,delay=2s,for=30s`; ValueError says which part is wrong."""
    parts: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key not in {"probability", "status", "delay", "for"}:
            raise ValueError(f"{part[:40]!r} is not one of probability=0.5, status=503, delay=2s, for=30s")
        if key in parts:
            raise ValueError(f"{key} is given twice")
        parts[key] = value
    try:
        probability, status = float(parts.get("probability", "1")), int(parts.get("status", "503"))
    except ValueError as exc:
        raise ValueError("probability must be a number from 0 to 1 and status a whole number") from exc
    return Fault(
        kind=kind,
        probability=probability,
        status=status,
        delay=parse_seconds(parts.get("delay", "1s")),
        lasts=parse_seconds(parts.get("for", f"{DEFAULT_SECONDS:g}s")),
    )


@dataclass(frozen=True, slots=True)
class Effect:
    """What befalls one request: a delay in seconds, then an answer of `status` in place of the handler's."""

    delay: float
    status: int | None


class Faults:
    """The faults in force. At most one of each kind; a new one replaces the old one."""

    def __init__(self, *, clock: Callable[[], float], draw: Callable[[], float]) -> None:
        self._clock = clock
        self._draw = draw
        self._active: dict[FaultKind, tuple[Fault, float]] = {}
        self.changed = asyncio.Event()

    def put(self, fault: Fault) -> None:
        self._active[fault.kind] = (fault, self._clock() + fault.lasts)
        self.changed.set()

    def clear(self, kind: FaultKind | None = None) -> None:
        """Ends one kind, or all of them."""
        for each in [kind] if kind else list(FaultKind):
            self._active.pop(each, None)
        self.changed.set()

    def remaining(self, kind: FaultKind) -> float:
        """Seconds until the fault ends; 0 when there is none."""
        entry = self._active.get(kind)
        return max(0.0, entry[1] - self._clock()) if entry else 0.0

    def active(self) -> list[Fault]:
        """The faults that have not expired."""
        return [fault for kind, (fault, _) in self._active.items() if self.remaining(kind) > 0]

    def effect(self) -> Effect:
        """Draws what happens to one request."""
        fault = self._strike(FaultKind.SLOW)
        delay = fault.delay if fault else 0.0
        fault = self._strike(FaultKind.FAIL)
        return Effect(delay, fault.status if fault else None)

    def _strike(self, kind: FaultKind) -> Fault | None:
        if not self._active or self.remaining(kind) <= 0:
            return None
        fault = self._active[kind][0]
        return fault if self._draw() < fault.probability else None
