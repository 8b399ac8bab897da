"""When a key is replaced, when its former one goes, and how often a doubt may cost a reading."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilientslice.envoys.key_rotation import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    MOST_SECONDS,
    KeyNote,
    KeyStep,
    Rereading,
    key_step,
)
from resilientslice.planning.timestamps import rfc3339, seconds_of

NOW = 10_000.0
ENDED = NOW - MOST_SECONDS


@pytest.mark.parametrize(
    ("note", "asked", "known_by_all", "step"),
    [
        (KeyNote(True), "", True, KeyStep.REST),
        (KeyNote(True, "1"), "1", True, KeyStep.REST),
        (KeyNote(True, "1"), "", True, KeyStep.REST),  # the annotation was taken away
        (KeyNote(True, "1"), "2", True, KeyStep.ROTATE),
        (KeyNote(True), "1", False, KeyStep.ROTATE),
        (KeyNote(False), "1", True, KeyStep.FOREIGN),
        (KeyNote(False, "1"), "1", True, KeyStep.REST),
        (KeyNote(True, "1", NOW), "1", False, KeyStep.WAIT),
        (KeyNote(True, "1", NOW), "1", True, KeyStep.DROP),
        (KeyNote(True, "1", ENDED + 1), "1", False, KeyStep.WAIT),
        (KeyNote(True, "1", ENDED), "1", False, KeyStep.DROP),
        (KeyNote(True, "1", NOW), "2", False, KeyStep.WAIT),  # a third key would lock out who knows the first
        (KeyNote(True, "1", NOW), "2", True, KeyStep.DROP),
        (KeyNote(False, "", ENDED), "", True, KeyStep.REST),  # whoever made it takes it away
    ],
)
def test_what_is_to_be_done(note, asked, known_by_all, step):
    assert key_step(note, asked, known_by_all=known_by_all, now=NOW) is step


@settings(deadline=None)
@given(
    ours=st.booleans(),
    followed=st.text(max_size=2),
    since=st.floats(0, NOW),
    asked=st.text(max_size=2),
    known=st.booleans(),
)
def test_while_there_are_two_keys_there_is_never_a_third(ours, followed, since, asked, known):
    step = key_step(KeyNote(ours, followed, since), asked, known_by_all=known, now=NOW)
    assert step is not KeyStep.ROTATE


def test_each_reading_in_vain_doubles_the_pause():
    reading, at, pauses = Rereading(), 0.0, []
    assert reading.due(at)
    for _ in range(9):
        reading = reading.read(at, changed=False)
        assert not reading.due(reading.until - 0.1)
        pauses.append(reading.until - at)
        at = reading.until
    assert pauses[:3] == [10, 20, 40]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    assert reading.read(at, changed=True) == Rereading(at + FIRST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS)


def test_a_time_is_read_as_it_is_written_and_nothing_else_is():
    assert seconds_of(rfc3339(1_800_000_000.9)) == 1_800_000_000.0
    assert [seconds_of(text) for text in ("", "yesterday", "2026-01-31")] == [None, None, None]
