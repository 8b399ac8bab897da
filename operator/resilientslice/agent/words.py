"""Texts of others on their way to status, Events, logs and terminals: one line, bounded, with nothing that acts."""

import unicodedata

MOST_WORDS = 2000
"""Characters of a text that people are to read."""
_READ = 4 * MOST_WORDS
"""What is looked at of a longer text."""
_ACTING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of control and format characters, surrogates, and what has no agreed meaning."""


def words(text: str, most: int = MOST_WORDS) -> str:
    """Return `text` as one line of at most `most` characters, without control, format and escape characters."""
    plain = "".join(" " if unicodedata.category(letter) in _ACTING else letter for letter in text[:_READ])
    line = " ".join(plain.split())
    return line if len(line) <= most and len(text) <= _READ else f"{line[: most - 1]}…"
