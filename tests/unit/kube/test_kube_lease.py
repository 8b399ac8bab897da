"""Two never lead at once: a Lease in memory, two clocks for each candidate, and delays of every kind."""

import asyncio
import copy
from typing import Any

import pytest

from resilientslice.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    KubeError,
    NotFoundError,
    NotLeadingError,
    UnreachableError,
)
from resilientslice.kube.lease import LeadershipLostError, LeaseElection, LeaseTimes

TIMES = LeaseTimes(duration=15, deadline=10, period=0.001)


class Time:
    """Both clocks of one process; they may part."""

    def __init__(self) -> None:
        self.monotonic = 100.0
        self.wall = 1_800_000_000.0

    def passes(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds


class Leases:
    """The API server's side of one Lease, with optimistic locking."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0
        self.failing: KubeError | None = None

    def _put(self, obj: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.stored = copy.deepcopy(obj)
        self.stored["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.stored)

    async def find(self, *_: Any) -> dict[str, Any] | None:
        if self.failing:
            raise self.failing
        return copy.deepcopy(self.stored)

    async def get(self, *_: Any) -> dict[str, Any]:
        found = await self.find()
        if found is None:
            raise NotFoundError("get Lease")
        return found

    async def create(self, obj: dict[str, Any]) -> dict[str, Any]:
        if self.stored is not None:
            raise AlreadyExistsError("create Lease")
        return self._put(obj)

    async def replace(self, obj: dict[str, Any]) -> dict[str, Any]:
        if self.failing:
            raise self.failing
        if self.stored is None:
            raise NotFoundError("update Lease")
        if obj["metadata"]["resourceVersion"] != self.stored["metadata"]["resourceVersion"]:
            raise ConflictError("update Lease")
        return self._put(obj)

    @property
    def holder(self) -> str:
        assert self.stored is not None
        return self.stored["spec"]["holderIdentity"]


@pytest.fixture
def leases() -> Leases:
    return Leases()


def candidate(leases: Leases, name: str, clock: Time, times: LeaseTimes = TIMES) -> LeaseElection:
    return LeaseElection(
        leases,  # type: ignore[arg-type]
        namespace="system",
        name="operator",
        identity=name,
        times=times,
        monotonic=lambda: clock.monotonic,
        wall=lambda: clock.wall,
    )


async def test_the_first_leads_and_the_second_waits_its_own_time_out(leases) -> None:
    clock = Time()
    first, second = candidate(leases, "first", clock), candidate(leases, "second", clock)
    await first.acquire()
    assert await second._try() is False
    clock.passes(14.9)
    assert await second._try() is False
    clock.passes(0.1)
    assert await second._try() is True
    assert (first.still_leading(), second.still_leading()) == (False, True)
    assert second.term == first.term + 1


async def test_a_renewal_that_was_seen_starts_the_waiting_anew(leases) -> None:
    clock = Time()
    first, second = candidate(leases, "first", clock), candidate(leases, "second", clock)
    await first.acquire()
    for _ in range(10):
        await second._try()
        clock.passes(8)
        await first._renew()
    assert await second._try() is False
    assert first.still_leading()


@pytest.mark.parametrize("clock_that_stops", ["monotonic", "wall"])
async def test_a_frozen_leader_notices_by_either_clock(leases, clock_that_stops) -> None:
    clock = Time()
    leader = candidate(leases, "first", clock)
    await leader.acquire()
    leader.check()
    setattr(clock, {"monotonic": "wall", "wall": "monotonic"}[clock_that_stops], 2_000_000_000.0)
    assert not leader.still_leading()
    with pytest.raises(NotLeadingError, match="system/operator"):
        leader.check()


async def test_the_lead_counts_from_when_a_renewal_was_sent_not_answered(leases) -> None:
    clock = Time()
    leader = candidate(leases, "first", clock)
    await leader.acquire()
    answer = leases.replace

    async def slow(obj: dict[str, Any]) -> dict[str, Any]:
        clock.passes(9)
        return await answer(obj)

    leases.replace = slow
    await leader._renew()
    assert leader.still_leading()
    clock.passes(1)
    assert not leader.still_leading()


async def test_an_api_that_is_away_ends_the_lead_in_time(leases) -> None:
    clock = Time()
    leader = candidate(leases, "first", clock)
    await leader.acquire()
    leases.failing = UnreachableError("update Lease", message="no answer in time")

    async def passing() -> None:
        while True:
            clock.passes(1)
            await asyncio.sleep(0.002)

    ticking = asyncio.create_task(passing())
    began = clock.monotonic
    with pytest.raises(LeadershipLostError, match="within 10 s"):
        await asyncio.wait_for(leader.hold(), 30)
    ticking.cancel()
    assert 10 <= clock.monotonic - began < 15
    assert not leader.still_leading()


@pytest.mark.parametrize("theft", ["taken", "deleted"])
async def test_a_lease_that_is_taken_or_deleted_ends_the_lead_at_once(leases, theft) -> None:
    clock = Time()
    leader = candidate(leases, "first", clock)
    await leader.acquire()
    if theft == "deleted":
        leases.stored = None
    else:
        leases.stored["spec"]["holderIdentity"] = "someone"
        leases._put(leases.stored)
    with pytest.raises(LeadershipLostError):
        await asyncio.wait_for(leader.hold(), 30)
    assert not leader.still_leading()


async def test_somebody_who_only_edits_the_lease_does_not_end_the_lead(leases) -> None:
    leader = candidate(leases, "first", Time())
    await leader.acquire()
    leases.stored["metadata"]["labels"] = {"edited": "yes"}
    leases._put(leases.stored)
    await leader._renew()
    assert leader.still_leading()
    assert leases.stored["metadata"]["labels"] == {"edited": "yes"}


async def test_a_released_lease_is_free_at_once_and_the_term_grows(leases) -> None:
    clock = Time()
    first, second = candidate(leases, "first", clock), candidate(leases, "second", clock)
    await first.acquire()
    assert await second._try() is False
    await first.release()
    assert (first.still_leading(), leases.holder) == (False, "")
    assert await second._try() is True
    assert second.term == first.term + 1
    await first.release()
    assert leases.holder == "second", "who doesn't lead releases nothing"


async def test_of_two_who_see_a_free_lease_one_gets_it(leases) -> None:
    clock = Time()
    first, second = candidate(leases, "first", clock), candidate(leases, "second", clock)
    await first.acquire()
    await first.release()
    seen = await leases.find()

    async def stale(*_: Any) -> dict[str, Any]:
        return copy.deepcopy(seen)

    assert await candidate(leases, "third", clock)._try() is True
    leases.find = stale
    assert await second._try() is False
    assert leases.holder == "third"


async def test_a_lease_made_anew_has_a_higher_term_than_the_one_that_was_deleted(leases) -> None:
    clock = Time()
    first = candidate(leases, "first", clock)
    before = await first.acquire()
    await first.release()
    second = candidate(leases, "second", clock)
    assert await second.acquire() == before + 1
    leases.stored = None
    clock.passes(180)
    assert await candidate(leases, "third", clock).acquire() > before + 1


async def test_a_holder_with_a_longer_duration_is_given_it(leases) -> None:
    clock = Time()
    slow = candidate(leases, "slow", clock, LeaseTimes(duration=60, deadline=40, period=2))
    await slow.acquire()
    other = candidate(leases, "other", clock)
    assert await other._try() is False
    clock.passes(59)
    assert await other._try() is False
    clock.passes(1)
    assert await other._try() is True


@pytest.mark.parametrize("times", [(15, 11, 2), (15, 10, 10), (15, 10, 0), (10, 15, 2)])
def test_times_that_would_let_two_write_are_refused(times) -> None:
    with pytest.raises(ValueError, match="does not hold"):
        LeaseTimes(*times)
