"""Only what a restart mends is unhealthy; a standby is ready; both say why."""

import asyncio
import dataclasses
import json
import urllib.request
from urllib.error import HTTPError

import pytest

from resilientslice.operating.health import HealthServer, LoopLag, State, WatchState, problems

WELL = State(
    role="leader",
    term=3,
    holder="me",
    lag=0.0,
    queue_depth=0,
    queue_oldest=0.0,
    pass_longest=0.0,
    watches=(WatchState("Deployment", 30.0),),
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"watches": (WatchState("Deployment", 20.0, "503 ServiceUnavailable"),)}, None),
        ({"watches": (WatchState("Deployment", 151.0),)}, "watch of Deployment hangs for 151 s"),
        ({"pass_longest": 301.0}, "a pass has been under way for 301 s"),
        ({"queue_oldest": 301.0}, "a slice has waited for a pass for 301 s"),
        ({"queue_oldest": 301.0, "role": "standby"}, None),
        ({"lag": 30.0}, None),
        ({"unsynced": ("Deployment",)}, None),
    ],
)
def test_what_makes_it_unhealthy(change, words) -> None:
    assert problems(dataclasses.replace(WELL, **change)) == ([words] if words else [])


@pytest.mark.parametrize(
    ("path", "change", "status"),
    [
        ("/healthz", {}, 200),
        ("/healthz", {"pass_longest": 999.0}, 503),
        ("/healthz", {"unsynced": ("Pod",)}, 200),
        ("/readyz", {}, 200),
        ("/readyz", {"role": "standby"}, 200),
        ("/readyz", {"unsynced": ("Pod",)}, 503),
    ],
)
async def test_probes_answer_what_they_found(path, change, status) -> None:
    state = dataclasses.replace(WELL, **change)

    def ask(port: int) -> tuple[int, dict]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    async with HealthServer(lambda: state, lambda: b"").serving("127.0.0.1", 0) as port:
        code, said = await asyncio.to_thread(ask, port)
    assert (code, said["ok"], bool(said["problems"])) == (status, status == 200, status != 200)
    assert (said["role"], said["term"]) == (state.role, 3)


def test_lag_is_the_worst_of_the_last_minute_and_of_now() -> None:
    now = 0.0
    lag = LoopLag(lambda: now)
    now = 0.6
    lag.tick()
    assert lag.seconds() == pytest.approx(0.1)
    now = 5.1
    assert lag.seconds() == pytest.approx(4.0), "it is blocked now"
    lag.tick()
    now = 5.6
    lag.tick()
    assert lag.seconds() == pytest.approx(4.0)
    while now < 80:
        now += 0.5
        lag.tick()
    assert lag.seconds() == 0.0
