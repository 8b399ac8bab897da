"""All that the live view shows, as one value: gathered by the runtime, drawn by `view`, compared by tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from resilientslice.local.processes.report import Event
from resilientslice.local.proxy.traffic import Answers
from resilientslice.render.names import Track


@dataclass(frozen=True, slots=True)
class TrackRow:
    """One service on one track. `weight`: percent drawn for it, None where nothing is drawn. `rate`: tries a second.
    `problem`: why a replica isn't ready."""

    service: str
    track: Track
    ready: int
    desired: int
    versions: Sequence[str]
    weight: int | None = None
    answers: Answers = field(default_factory=Answers)
    rate: float = 0.0
    ejected: Sequence[str] = ()
    restarts: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """`rejected`: why the last edit was refused. `trouble`: what hinders the runtime itself, such as a full disk."""

    slice: str
    phase: str
    message: str
    front_url: str
    rows: Sequence[TrackRow]
    stores: Sequence[tuple[str, bool]]
    canary: str = ""
    rejected: str = ""
    trouble: str = ""
    limited: Sequence[tuple[str, int]] = ()
    events: Sequence[Event] = ()
    hints: Sequence[str] = field(default=())
