"""The view says everything in words: it is read here without any colour."""

import io
import re
from datetime import UTC, datetime

from rich.console import Console

from resilientslice.local.processes.report import Event, Severity
from resilientslice.local.proxy.traffic import Answers
from resilientslice.local.view.drawing import draw, plain_line
from resilientslice.local.view.scene import Scene, TrackRow
from resilientslice.render.names import Track
from resilientslice.text import is_visible

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def text_of(scene: Scene, width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    console.print(draw(scene))
    return console.file.getvalue()  # type: ignore[attr-defined]


def scene(**changes: object) -> Scene:
    base: dict[str, object] = {
        "slice": "shop",
        "phase": "Ready",
        "message": "all good",
        "front_url": "http://127.0.0.1:8080",
        "rows": [TrackRow("api", Track.STABLE, 2, 2, ["1.0"])],
        "stores": [],
    }
    return Scene(**{**base, **changes})  # type: ignore[arg-type]


def test_headline_and_row() -> None:
    shown = text_of(scene(canary="canary shop-abc Progressing 30 %"))
    assert "shop  Ready  http://127.0.0.1:8080  canary shop-abc Progressing 30 %" in shown
    assert "all good" in shown
    row = next(line for line in shown.splitlines() if line.startswith("api"))
    assert row.split() == ["api", "stable", "2/2", "1.0", "-", "0", "0", "0", "0", "-", "ok"]


def test_everything_that_can_be_wrong_is_said() -> None:
    shown = text_of(
        scene(
            phase="Degraded",
            rows=[
                TrackRow(
                    "payments",
                    Track.CANARY,
                    ready=1,
                    desired=3,
                    versions=["1.0", "1.1"],
                    weight=30,
                    answers=Answers(ok=12, client_error=3, server_error=7),
                    rate=41.6,
                    ejected=["127.0.0.1:20001"],
                    restarts=4,
                    problem="exited with code 1",
                )
            ],
            stores=[("postgres", True), ("redis", False)],
            rejected="spec.x: wrong",
            trouble="no space left",
            limited=[(f"t{n}", 9 - n) for n in range(7)],
            events=[Event(AT, Severity.WARNING, "CrashLoopBackOff", "line one\nline two")],
            hints=["curl http://127.0.0.1:8080"],
        )
    )
    row = next(line for line in shown.splitlines() if line.startswith("payments"))
    cells = ["payments", "canary", "1/3", "1.0,1.1", "30%", "12", "3", "7", "42", "127.0.0.1:20001"]
    assert row.split()[:10] == cells
    assert "exited with code 1 (restarts: 4)" in row
    assert "stores: postgres ready, redis not ready" in shown
    assert "! edit refused, the last good one runs on: spec.x: wrong" in shown
    assert "! trouble: no space left" in shown
    assert "(429): t0 9x, t1 8x, t2 7x, t3 6x, t4 5x, 2 more" in shown
    assert "CrashLoopBackOff: line one" in shown
    assert "line two" not in shown
    assert "curl http://127.0.0.1:8080" in shown


def test_only_the_last_events_are_shown() -> None:
    events = [Event(AT, Severity.NORMAL, f"E{n}", "m") for n in range(20)]
    shown = text_of(scene(events=events))
    assert "E19: m" in shown
    assert "E12: m" in shown
    assert "E11: m" not in shown


def test_plain_lines_keep_the_whole_message() -> None:
    event = Event(AT, Severity.WARNING, "EditRefused", "one\ntwo")
    assert plain_line(event) == "2026-01-02T03:04:05Z WARNING EditRefused one\n    two"


EVIL = "\x1b[2J\x1b]0;title\x07\u202e\x9b31m\rover"


def test_what_others_say_is_shown_and_not_obeyed() -> None:
    row = TrackRow("a" + EVIL, Track.STABLE, 0, 1, ["1" + EVIL], ejected=["h" + EVIL], problem="p" + EVIL)
    event = Event(AT, Severity.WARNING, "R" + EVIL, f"m{EVIL}\nsecond")
    console = Console(file=io.StringIO(), width=400, force_terminal=True, color_system="standard")
    shown = scene(
        slice="s" + EVIL,
        message=f"m{EVIL}\nline",
        rows=[row],
        canary="c" + EVIL,
        rejected="r" + EVIL,
        trouble="t" + EVIL,
        limited=[("gold" + EVIL, 1)],
        events=[event],
        hints=["h" + EVIL],
    )
    console.print(draw(shown))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[" in text, "our own colours stay"
    left = re.sub("\x1b\\[[0-9;]*m", "", text).replace("\n", "")
    assert is_visible(left)
    assert left.count(r"\x1b[2J\x1b]0;title\x07\u202e") == 13
    assert is_visible(plain_line(event))
    assert plain_line(event).count("\n") == 1
