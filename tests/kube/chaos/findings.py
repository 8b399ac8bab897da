"""What was found to be broken: at once, or because it stayed so for longer than it may.

Times are on the slice's clock, which stands still while something keeps its operator from acting.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.kube.chaos.world import World

UNNAMED = "API's refusal unnamed"
"""The rule that is looked at while a slice's clock stands still, and by everybody's."""


@dataclass(frozen=True, slots=True)
class Finding:
    at: float
    slice_: str
    rule: str
    words: str


@dataclass
class Findings:
    world: World
    on_finding: Callable[[Finding], None]
    _since: dict[tuple[str, ...], float] = field(default_factory=dict)
    _told: set[tuple[str, ...]] = field(default_factory=set)
    _asked: set[tuple[str, ...]] = field(default_factory=set)
    """What was looked at in this round."""

    def begin(self) -> None:
        """A round."""
        self._asked.clear()

    def end(self) -> None:
        for key in [key for key in self._since if key not in self._asked and key[1] != UNNAMED]:
            del self._since[key]  # what it was about is gone

    def find(self, slice_: str, rule: str, words: str) -> None:
        self.on_finding(Finding(self.world.fair.now(), slice_, rule, words))

    def hold(self, key: tuple[str, ...], ok: bool, seconds: float, words: Callable[[], str]) -> None:
        """A finding once `ok` was false for longer than `seconds` without a break; told once until it is true again."""
        now = self.world.now(key[0])
        self._asked.add(key)
        if ok:
            self._since.pop(key, None)
            self._told.discard(key)
            return
        since = self._since.setdefault(key, now)
        if now - since >= seconds and key not in self._told:
            self._told.add(key)
            self.find(key[0], key[1], f"{' '.join(key[2:])}: {words()} (for {now - since:.1f} s)")

    def release(self, key: tuple[str, ...]) -> None:
        """It holds, or can't be said not to."""
        self._since.pop(key, None)
        self._told.discard(key)

    def overdue(self, key: tuple[str, ...], now: float, seconds: float) -> float | None:
        """For how long it hasn't held, by the caller's clock; None up to `seconds`, and once that was told."""
        since = self._since.setdefault(key, now)
        if now - since > seconds and key not in self._told:
            self._told.add(key)
            return now - since
        return None
