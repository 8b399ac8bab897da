"""A pushed configuration as the text of each of its resources, without reading those that are known. Pure.

The operator writes canonical JSON, so a resource that has not changed is found by comparing text: some fifty times as
fast as reading it, and writing it again for its digest. Whatever is written otherwise is read as a whole.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from resilientslice.agent.resources import ResourceType, canonical_json

_FRAMED = re.compile(rb'(\{"epoch":\[\d+,\d+\],"config":)(\{.*\})(,"timeout_ms":\d+\})', re.DOTALL)
_read_at = json.JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True)
class Piece:
    """One resource's canonical JSON. `value` is what it says, None if nobody has read it: `text` is a known one's."""

    text: str
    value: Any = None


Pieces = Mapping[ResourceType, tuple[Piece, ...]]


def framed(body: bytes) -> tuple[bytes, str] | None:
    """A push without its configuration, and the configuration's text; None if the body is written in another way.

    Nothing is proven by that: what counts as the configuration may be no JSON.
    """
    found = _FRAMED.fullmatch(body)
    if found is None or not body.isascii():
        return None
    return found[1] + b"{}" + found[3], found[2].decode("ascii")


def pieces_of(text: str, known: Mapping[ResourceType, Iterable[str]]) -> Pieces | None:
    """The resources of a configuration's text; None unless it is canonical JSON with all types in it.

    `known` are canonical texts of JSON objects, by type, in the order in which they are likely to come.
    """
    pieces: dict[ResourceType, tuple[Piece, ...]] = {}
    at = 0
    for kind in sorted(ResourceType):
        opening = f'{"," if pieces else "{"}"{kind}":['
        if not text.startswith(opening, at):
            return None
        found = _listed(text, at + len(opening), list(known.get(kind, ())))
        if found is None:
            return None
        pieces[kind], at = found
    return pieces if text[at:] == "}" else None


def _listed(text: str, at: int, known: list[str]) -> tuple[tuple[Piece, ...], int] | None:
    """From behind the opening bracket to behind the closing one."""
    found: list[Piece] = []
    while not text.startswith("]", at):
        if found and not text.startswith(",", at):
            return None
        piece = _piece(text, at + bool(found), known[len(found) : len(found) + 1])
        if piece is None:
            return None
        at += bool(found) + len(piece.text)
        found.append(piece)
    return tuple(found), at + 1


def _piece(text: str, at: int, known: list[str]) -> Piece | None:
    """An object's text ends where the object does, so no other value begins with it."""
    for guess in known:
        if text.startswith(guess, at):
            return Piece(guess)
    try:
        value, end = _read_at(text, at)
        written = canonical_json(value)
    except (ValueError, RecursionError):
        return None
    return Piece(written, value) if written == text[at:end] else None
