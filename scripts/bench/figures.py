"""A measured ratio with its bar, and how two things are measured side by side."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """`at_least` and `at_most` are the bar; without either it is told and not judged. `detail`: what it is made of."""

    what: str
    measured: float
    at_least: float | None = None
    at_most: float | None = None
    detail: str = ""

    @property
    def holds(self) -> bool:
        above = self.at_least is None or self.measured >= self.at_least
        return above and (self.at_most is None or self.measured <= self.at_most)

    def __str__(self) -> str:
        bars = ((">=", self.at_least), ("<=", self.at_most))
        bar = " ".join(f"{sign} {value:g}" for sign, value in bars if value is not None)
        verdict = ("ok" if self.holds else "FAILED") if bar else "-"
        return f"{verdict:<7}{self.measured:8.3f}  {bar:<9} {self.what}{f' ({self.detail})' if self.detail else ''}"


def in_turn(measures: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """A value of each per round, one after another: what disturbs the machine for a while disturbs all of them."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
    return found


def ratio(found: Mapping[str, list[float]], name: str, base: str) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(found[name], found[base], strict=True))


def median_of(values: list[float]) -> float:
    return statistics.median(values)
