"""Cron expressions as a CronJob takes them: five fields, or a word such as `@daily`.

The pattern holds each number within its field, so that the API server refuses most mistakes; a range that runs
backwards needs arithmetic and is found here. Sunday is 0 and not 7, as in Kubernetes' own parser.
"""

import re
from collections.abc import Iterator

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {name: number for names, first in ((_MONTHS, 1), (_DAYS, 0)) for number, name in enumerate(names, first)}


def _field(number: str) -> str:
    item = rf"(\*|\?|({number})(-({number}))?)(/[1-9][0-9]?)?"
    return f"{item}(,{item})*"


def _either_case(names: tuple[str, ...]) -> str:
    return "|".join((*names, *(name.upper() for name in names)))


_FIELDS = (
    _field("[0-5]?[0-9]"),
    _field("[01]?[0-9]|2[0-3]"),
    _field("0?[1-9]|[12][0-9]|3[01]"),
    _field(f"0?[1-9]|1[0-2]|{_either_case(_MONTHS)}"),
    _field(f"[0-6]|{_either_case(_DAYS)}"),
)
CRON_PATTERN = f"^(@(hourly|daily|midnight|weekly|monthly|yearly|annually)|{' '.join(_FIELDS)})$"


def backward_ranges(schedule: str) -> Iterator[str]:
    """Ranges of a schedule that fits the pattern whose end is before their start: `5-3`, `fri-mon`."""
    for first, last in re.findall(r"([0-9a-z]+)-([0-9a-z]+)", schedule.lower()):
        if _number(first) > _number(last):
            yield f"{first}-{last}"


def _number(text: str) -> int:
    return _NAMES[text] if text in _NAMES else int(text)
