"""Of what is worth keeping for those that are worked on, only so much is kept."""

from itertools import count

from resilientslice.controller.interning import Recent


def test_the_ones_asked_for_last_are_kept():
    numbers = count()
    recent = Recent[str, int](2, lambda: next(numbers))
    assert [recent.of(key) for key in ("a", "b", "a", "c", "a", "b")] == [0, 1, 0, 2, 0, 3]


def test_what_is_forgotten_is_made_anew():
    numbers = count()
    recent = Recent[str, int](2, lambda: next(numbers))
    recent.of("a")
    recent.forget("a")
    recent.forget("never there")
    assert recent.of("a") == 1
