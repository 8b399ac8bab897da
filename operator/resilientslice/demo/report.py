"""What a claim came to, as a table for people and as JSON for machines."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Result:
    """One claim: what was measured, the bar it is held against, and whether it held."""

    claim: str
    measured: str
    bar: str
    verdict: Verdict
    seconds: float = 0.0

    def line(self) -> str:
        return f"{self.verdict.upper():4}  {self.claim}: {self.measured} (bar: {self.bar})"


@dataclass(frozen=True, slots=True)
class Measured:
    """What a claim returns: the figures as text, and whether they hold the bar."""

    figures: str
    holds: bool


def write_report(results: Sequence[Result], path: Path) -> None:
    """Write `[{"claim", "measured", "bar", "verdict"}]`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = ("claim", "measured", "bar", "verdict")
    rows: list[dict[str, Any]] = [{k: v for k, v in asdict(result).items() if k in fields} for result in results]
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def all_hold(results: Sequence[Result]) -> bool:
    return bool(results) and all(result.verdict is Verdict.PASS for result in results)
