"""Durations as people write them (`250ms`, `10s`, `1m30s`), so that every variable and fault reads the same way."""

import re

_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


def parse_seconds(text: str) -> float:
    """Seconds of a duration such as `250ms`; ValueError says what is wrong with it."""
    stripped = text.strip()
    if not _WHOLE.fullmatch(stripped):
        raise ValueError(f"{text[:40]!r} is not a duration; write it like 250ms, 10s or 1m30s")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _PART.findall(stripped))


def format_seconds(seconds: float) -> str:
    """The shortest honest form: `250ms` below a second, `1.5s` above."""
    return f"{round(seconds * 1000)}ms" if seconds < 1 else f"{round(seconds, 3):g}s"
