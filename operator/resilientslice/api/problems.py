"""What is wrong with a resource, in one form for schema and rules: where, which value, which rule, and what to do."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from resilientslice.text import visible

Path = tuple[str | int, ...]
"""Names of fields and indices of lists, from the top of the document."""

_MAX_SHOWN = 60
_PLAIN = re.compile(r"^[A-Za-z_][A-Za-z0-9_-]*$")


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule. `value` is as shown to people, empty where there is none; `subject` names the service."""

    path: Path
    value: str
    rule: str
    fix: str = ""
    subject: str = ""

    @property
    def where(self) -> str:
        """`spec.services[1].port (service api)`."""
        return format_path(self.path) + (f" ({self.subject})" if self.subject else "")

    def __str__(self) -> str:
        found = f"{self.value}: " if self.value else ""
        return f"{self.where}: {found}{self.rule}{'; ' + self.fix if self.fix else ''}"


class InvalidSliceError(ValueError):
    """A resource that breaks rules; `problems` has all of them, in the order of the document where that is known."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def problem(path: Path, value: Any, rule: str, fix: str = "") -> Problem:
    """A problem of a value that is there, which is shown shortened."""
    return Problem(path, shown(value), rule, fix)


def missing(path: Path, rule: str, fix: str = "") -> Problem:
    """A problem of something that is not there."""
    return Problem(path, "", rule, fix)


def shown(value: Any) -> str:
    """A value as JSON on one line, at most 60 characters long."""
    return visible(json.dumps(value, ensure_ascii=False, default=str), _MAX_SHOWN)


def format_path(path: Path) -> str:
    """`spec.services[1].env[0]`, and `labels["example.org/team"]` for a key that is no plain name."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN.match(part):
            text += f".{part}" if text else part
        else:
            text += f"[{visible(json.dumps(part, ensure_ascii=False))}]"
    return text or "the document"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant, whatever its case, or None."""
    folded = {candidate.lower().replace("_", ""): candidate for candidate in known}
    close = get_close_matches(name.lower().replace("_", "").replace("-", ""), folded, n=1, cutoff=0.7)
    return folded[close[0]] if close else None


def one_of(names: Iterable[str]) -> str:
    """`a, b or c`."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
