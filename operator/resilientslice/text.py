"""Text of others made safe to show: what a service, an Envoy, an agent, an API server or a file says is only ever read.

A terminal obeys more than it shows: sequences that begin with ESC or a C1 control move the cursor, set titles and the
clipboard; a carriage return overwrites a line; bidirectional controls reorder it; a newline makes one line look like
two. Colours are dropped, white space becomes a space, everything else that is no visible character is shown as an
escape such as `\\x1b` or `\\u202e`. Pure.
"""

import re
import unicodedata

_COLOUR = re.compile("(?:\x1b\\[|\x9b)[0-9;:]*m")
_SPACE = re.compile(r"[ \t\r\n\v\f]+")
_LINE_END = re.compile(r"\r\n|\n")
_PLAIN = re.compile(r"[ -~]*\Z")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of Unicode: controls, formats such as bidirectional overrides, halves of surrogate pairs, separators of
lines and of paragraphs."""


def visible(text: str, limit: int | None = None) -> str:
    """Return `text` as one line that a terminal only shows, of at most `limit` characters; `…` ends what was cut."""
    return _cut(_escaped(_SPACE.sub(" ", _COLOUR.sub("", text)).strip(" ")), limit)


def visible_lines(text: str) -> str:
    """Return `text` with the line breaks and the indentation it has, each line as in `visible`."""
    return "\n".join(_escaped(_COLOUR.sub("", line).replace("\t", "    ")) for line in _LINE_END.split(text))


def is_visible(text: str) -> bool:
    """Return whether a terminal shows all of `text` as it is; line breaks count as shown."""
    return _escaped(text.replace("\n", "")) == text.replace("\n", "")


def _escaped(text: str) -> str:
    if _PLAIN.match(text):
        return text
    return "".join(_escape(each) if unicodedata.category(each) in _HIDDEN else each for each in text)


def _escape(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _cut(text: str, limit: int | None) -> str:
    return text if limit is None or len(text) <= limit else text[: max(0, limit - 1)] + "…"[:limit]
