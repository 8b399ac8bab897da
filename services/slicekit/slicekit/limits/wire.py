"""How questions and answers travel: one script call for many tenants, one string back."""

from collections.abc import Sequence
from importlib.resources import files

from slicekit.limits.accounts import Ask
from slicekit.limits.gcra import Grant

SCRIPT = files("slicekit.limits").joinpath("gcra.lua").read_text(encoding="utf-8")
LARGEST_CALL = 256
"""Tenants in one call. Redis does nothing else meanwhile; this many take it about a millisecond."""


class WireError(Exception):
    """An answer that doesn't fit its question."""


def render_call(sha: str, asks: Sequence[Ask]) -> list[str | int | bytes]:
    """The words of the command."""
    keys = [account.key for account, _, _ in asks]
    return ["EVALSHA", sha, len(asks), *keys, *(f"{account.rate.words} {owed} {want}" for account, owed, want in asks)]


def parse_answer(answer: object, asks: Sequence[Ask]) -> list[Grant]:
    """WireError for anything but three numbers an ask."""
    try:
        numbers = [int(word) for word in answer.split()] if isinstance(answer, bytes) else []
    except ValueError as exc:
        raise WireError(f"Redis answered {answer!r:.80}") from exc
    if len(numbers) != 3 * len(asks):
        raise WireError(f"Redis answered {len(numbers)} numbers to {len(asks)} questions")
    return [Grant(*numbers[i : i + 3]) for i in range(0, len(numbers), 3)]
