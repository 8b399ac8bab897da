"""Which replicas to start and which to retire next: a rolling update with a surge of one. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

SURGE = 1


@dataclass(frozen=True, slots=True)
class Member:
    """A replica that isn't draining. `current`: it runs what is wanted."""

    index: int
    current: bool
    ready: bool


@dataclass(frozen=True, slots=True)
class Steps:
    """`start`: how many to start; `retire`: indices to drain and stop."""

    start: int = 0
    retire: tuple[int, ...] = ()


def next_steps(members: Sequence[Member], desired: int) -> Steps:
    """Ready replicas never become fewer than `desired` by an update, nor replicas more than `desired` and the surge.

    Old ones that aren't ready serve nobody and go at once, so an update always gets past what crash-loops.
    """
    current = [m for m in members if m.current]
    old = [m for m in members if not m.current]
    if desired == 0:
        return Steps(retire=tuple(m.index for m in members))
    retire = _surplus(current, desired) + [m.index for m in old if not m.ready]
    staying = len(members) - len(retire)
    room = desired + (SURGE if old else 0) - staying
    start = max(0, min(desired - len(current), room))
    spare = sum(m.ready for m in members if m.index not in retire) - desired
    ready_old = sorted((m.index for m in old if m.ready), reverse=True)
    return Steps(start=start, retire=tuple(retire + ready_old[: max(0, spare)]))


def _surplus(current: Sequence[Member], desired: int) -> list[int]:
    """Too many of the wanted kind: first those that aren't ready, then the highest index."""
    order = sorted(current, key=lambda m: (m.ready, -m.index))
    return [m.index for m in order[: max(0, len(current) - desired)]]
