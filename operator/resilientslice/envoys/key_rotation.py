"""What is to be done about the key of a slice's agents: replaced, its former one dropped, or nothing. Holds no key.

Agents learn of a new key from the Secret that they mount, a minute or two after it was written. Until then both keys
count, so that nobody is locked out. The former one goes when every proxy has shown that it knows the new one, or after
`MOST_SECONDS`: a key that has leaked must not stay valid because one proxy can't be reached. See ADR 0017.
"""

from dataclasses import dataclass
from enum import Enum, auto

from resilientslice.render.names import DOMAIN

ROTATE_ANNOTATION = f"{DOMAIN}/rotate-agent-key"
"""On a slice: another value asks for a new key. On the Secret: the value that was followed last."""
ROTATED_AT_ANNOTATION = f"{DOMAIN}/rotated-at"

MOST_SECONDS = 600.0
"""A kubelet brings a changed Secret into its pods within one to two minutes."""
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 300.0


class KeyStep(Enum):
    REST = auto()
    WAIT = auto()
    """Both keys count: look again when an agent has shown something, or the time is up."""
    ROTATE = auto()
    DROP = auto()
    FOREIGN = auto()
    """A new key is asked for, and the Secret is someone else's."""


@dataclass(frozen=True, slots=True)
class KeyNote:
    """A slice's Secret as read last. `ours`: the slice controls it. `followed`: the value of the annotation that its
    key was made for. `former_since`: when there came to be a former key, in seconds since the epoch; None without."""

    ours: bool
    followed: str = ""
    former_since: float | None = None

    @property
    def ends_at(self) -> float | None:
        """When the former key is dropped at the latest."""
        return None if self.former_since is None or not self.ours else self.former_since + MOST_SECONDS


def key_step(note: KeyNote, asked: str, *, known_by_all: bool, now: float) -> KeyStep:
    """One rotation after the other: a third key would lock out proxies that know only the first.

    `asked` is the slice's annotation, empty without one; `known_by_all`: every proxy has shown that it knows the
    current key.
    """
    if note.ends_at is not None:
        return KeyStep.DROP if known_by_all or now >= note.ends_at else KeyStep.WAIT
    if not asked or asked == note.followed:
        return KeyStep.REST
    return KeyStep.ROTATE if note.ours else KeyStep.FOREIGN


@dataclass(frozen=True, slots=True)
class Rereading:
    """When the Secret may be read again because an agent seems to know another key. Times of one clock, in seconds.

    A process at a proxy's address can make it seem so: each reading that brings nothing new doubles the pause.
    """

    until: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS

    def due(self, now: float) -> bool:
        return now >= self.until

    def read(self, now: float, *, changed: bool) -> "Rereading":
        pause = FIRST_PAUSE_SECONDS if changed else min(self.pause * 2, LONGEST_PAUSE_SECONDS)
        return Rereading(now + pause, pause)
