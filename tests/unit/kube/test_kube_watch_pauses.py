"""What an API server answers again and again is asked for less and less often: on a clock that only pauses move."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from resilientslice.kube.errors import TooManyRequestsError, UnreachableError
from resilientslice.kube.kinds import CONFIG_MAP
from resilientslice.kube.overheard import Pace
from resilientslice.kube.watch import HEALTHY_SECONDS, LONGEST_SECONDS, Reflector, pause_after

ROUNDS = 12


class PlayedOutError(Exception):
    """The test has seen enough."""


class Sink:
    def told(self, obj):
        pass

    gone = told

    def listed(self, kind, namespace, uids, resource_version):
        pass


class FakeSession:
    """Lists are empty, unless `listing` raises; each watch does what `watching` says next."""

    def __init__(self, watching, listing=None):
        self.watching, self.listing, self.lists, self.watches = watching, listing, 0, 0

    async def request(self, *args, **more):
        self.lists += 1
        if self.listing:
            raise self.listing
        return {"metadata": {"resourceVersion": "9"}, "items": []}

    @asynccontextmanager
    async def stream(self, *args, **more):
        self.watches += 1
        yield self.watching()


async def lines(*events):
    for event in events:
        yield json.dumps(event).encode() if isinstance(event, dict) else event


def error(code):
    return {"type": "ERROR", "object": {"kind": "Status", "code": code, "message": "no"}}


BOOKMARK = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "10"}}}


async def pauses(session, monkeypatch, *, rounds=ROUNDS, clock=None):
    """Seconds that a reflector pauses, the first few."""
    clock, found = clock or [0.0], []

    async def pause(self, seconds):
        if seconds > 0:
            found.append(seconds)
            clock[0] += seconds
        if len(found) == rounds:
            raise PlayedOutError

    monkeypatch.setattr(Reflector, "_sleep", pause)
    monkeypatch.setattr("random.uniform", lambda low, high: 1.0)
    turn = asyncio.Semaphore(1)
    reflector = Reflector(
        session, CONFIG_MAP, None, "", Sink(), turn, lambda: None, relist=1e9, monotonic=lambda: clock[0]
    )
    with pytest.raises(PlayedOutError):
        await asyncio.wait_for(reflector.run(), 30)
    return found


@pytest.mark.parametrize(
    "events",
    [
        [error(410)],
        [BOOKMARK, error(410)],
        [error(500)],
        [],
        [b"no json"],
        [{"type": "ADDED", "object": {}}],
        [{"type": "ERROR", "object": "text"}],
        [{"type": "ERROR", "object": {"code": "text"}}],
    ],
    ids=str,
)
async def test_what_is_answered_again_and_again_is_asked_for_less_and_less(events, monkeypatch):
    session = FakeSession(lambda: lines(*events))
    found = await pauses(session, monkeypatch)
    assert found == sorted(found)
    assert found[-1] == LONGEST_SECONDS
    assert session.lists + session.watches <= 2 * ROUNDS + 4


async def test_the_first_410_lists_at_once(monkeypatch):
    session = FakeSession(lambda: lines(error(410)))
    await pauses(session, monkeypatch, rounds=1)
    assert (session.lists, session.watches) == (2, 2)


async def test_after_a_watch_that_worked_the_pauses_begin_anew(monkeypatch):
    clock, told = [0.0], []

    async def works_now_and_then():
        told.append(1)
        if len(told) == ROUNDS // 2:
            clock[0] += HEALTHY_SECONDS
            yield json.dumps(BOOKMARK).encode()
        yield json.dumps(error(410)).encode()

    found = await pauses(FakeSession(works_now_and_then), monkeypatch, clock=clock)
    assert [at for at, seconds in enumerate(found) if seconds == found[0]] == [0, found.index(max(found[:5])) + 1]


async def test_a_list_that_fails_is_paused_for_as_long_as_the_server_asks(monkeypatch):
    busy = TooManyRequestsError("list", status=429)
    busy.retry_after = 40.0
    assert await pauses(FakeSession(lines, busy), monkeypatch, rounds=3) == [40.0, 40.0, 40.0]
    found = await pauses(FakeSession(lines, UnreachableError("list", status=503)), monkeypatch)
    assert (found, found[-1]) == (sorted(found), LONGEST_SECONDS)


@pytest.mark.parametrize("watch", [True, False])
async def test_kopf_is_kept_from_asking_again_and_again(watch, monkeypatch):
    clock, found = [0.0], []

    async def sleep(seconds):
        found.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr("resilientslice.kube.overheard.asyncio.sleep", sleep)
    monkeypatch.setattr("random.uniform", lambda low, high: 1.0)
    pace = Pace(lambda: clock[0])

    async def ask():
        soon = pace.soon("/slices", watch=watch)
        await pace.keep(soon)
        pace.answered("/slices", watch=watch, soon=soon)

    await ask()
    await ask()
    assert found == [], "an end now and then costs nothing"
    for _ in range(10):
        await ask()
    assert found == [pause_after(failures) for failures in range(1, 11)]
    clock[0] += 30.0
    await ask()
    await ask()
    assert len(found) == 10
