"""Text of others: a terminal shows it and obeys nothing in it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilientslice.text import is_visible, visible, visible_lines

HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
ANY = st.text(st.characters(categories=None))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain words, 100 %", "plain words, 100 %"),
        ("Ünïcode … 日本 🍵", "Ünïcode … 日本 🍵"),
        ("\x1b[31mred\x1b[0m and \x9b1;4mbold\x1b[m", "red and bold"),
        ("\x1b[2J\x1b[Hgone", r"\x1b[2J\x1b[Hgone"),
        ("\x1b]0;title\x07\x1b]52;c;cm0gLXJm\x1b\\", r"\x1b]0;title\x07\x1b]52;c;cm0gLXJm\x1b" + "\\"),
        ("\x9b2J \x85 \x7f", r"\x9b2J \x85 \x7f"),
        ("a\r\nb\n\n\tc\rd\v\fe ", "a b c d e"),
        ("ok\b\bno", r"ok\x08\x08no"),
        ("user\u202egnp.exe \u2066x\u2069", r"user\u202egnp.exe \u2066x\u2069"),
        ("a\u2028b\u2029c\ufeff\u200b", r"a\u2028b\u2029c\ufeff\u200b"),
        ("tag \U000e0041", r"tag \U000e0041"),
        ("half \ud83d", r"half \ud83d"),
        ("\x1b\x1b[0m[2J", r"\x1b[2J"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert is_visible(shown)


@pytest.mark.parametrize(
    ("limit", "shown"), [(7, "abc\\x1b"), (8, "abc\\x1b"), (6, "abc\\x…"), (2, "a…"), (1, "…"), (0, "")]
)
def test_a_limit_counts_what_is_shown(limit: int, shown: str) -> None:
    assert visible("abc\x1b", limit) == shown


def test_lines_keep_their_breaks_and_indentation() -> None:
    assert visible_lines("a\r\n  b\x1b[2J\n\tc\rd\n") == "a\n  b\\x1b[2J\n    c\\x0dd\n"


@given(ANY)
def test_nothing_hidden_is_left_of_any_text(text: str) -> None:
    for shown in (visible(text), visible_lines(text).replace("\n", "")):
        assert not [each for each in shown if unicodedata.category(each) in HIDDEN]
        shown.encode()
        assert is_visible(shown)
    assert visible(visible(text)) == visible(text)


@given(ANY, st.integers(0, 40))
def test_no_more_than_the_limit(text: str, limit: int) -> None:
    assert len(visible(text, limit)) <= limit
