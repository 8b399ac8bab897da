"""Claims about tenants' limits where the services count them in Redis: exact, and no burden while Redis is away."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from resilientslice.api.services import StoreName
from resilientslice.demo.load import Background, Tally
from resilientslice.demo.report import Measured
from resilientslice.demo.stage import ClaimError, Stage, until
from resilientslice.demo.traffic import ADMITTED, GOLD, LIMITED, NOISY, SILVER, browse, light
from resilientslice.local.processes.report import ReplicaInfo

REQUESTS, PER_SECOND = 1250, 250
TOLERANCE = 1.0
"""Percent."""
OFFERED, LOAD_SECONDS = 250, 2
PATIENCE = 0.5
"""Seconds: half of what api is given to answer. That requests do not wait for Redis one by one is the median's bar."""
SPEED, MOST_WAIT = 0.9, 0.02
"""Of the throughput with Redis; and the seconds that its loss may add to the median. Waiting for Redis in each request
would add at least what Redis is given."""
ROUGHLY = 20.0
"""Percent that a limit may be off while each replica counts its share by itself."""
NOISY_SECONDS, NOISY_RATE = 2, 80
NOTICED_WITHIN = 10.0


@dataclass(frozen=True, slots=True)
class Count:
    """How many requests of a tenant were let in, and how many a bucket that was full at the first one lets in: between
    `least` and `most`, because a caller knows the time of a decision only to the length of its request."""

    admitted: int
    least: float
    most: float

    @property
    def off(self) -> float:
        """Percent by which it is outside."""
        return 100 * max(self.least - self.admitted, self.admitted - self.most, 0.0) / self.most


def count_of(tally: Tally, *, per_second: float, burst: float) -> Count:
    """`tally`: every request of the tenant since its bucket was full, the first one sent alone. ClaimError when none
    was refused: then nothing is known of the limit."""
    first, *_ = ordered = sorted(tally.answers, key=lambda answer: answer.began)
    refused = [answer for answer in ordered if answer.status == LIMITED]
    if not refused:
        raise ClaimError(f"none of {tally.total} requests was over the limit")
    # when a request is refused, all that the bucket ever held has been taken
    least = burst + per_second * max(0.0, refused[-1].began - first.ended) - 1
    most = burst + per_second * (max(answer.ended for answer in ordered) - first.began)
    return Count(tally.statuses[ADMITTED], least, most)


async def limits_are_exact(stage: Stage) -> Measured:
    """Two replicas let in, together, what the tenant's limit allows: its burst, and its rate times the time."""
    replicas = stage.replicas("api")
    before = [await _exactly_admitted(stage, replica) for replica in replicas]
    first = await stage.client.send(light(0, tenant=SILVER))
    rest = await stage.client.paced([light(n, tenant=SILVER) for n in range(REQUESTS)], per_second=PER_SECOND)
    tally = Tally([first, *rest.answers])
    after = [await _exactly_admitted(stage, replica) for replica in replicas]
    shares = [int(now - then) for now, then in zip(after, before, strict=True)]
    counted = count_of(tally, **_limit(stage, SILVER))
    strange = tally.total - tally.statuses[ADMITTED] - tally.statuses[LIMITED]
    figures = (
        f"{counted.admitted} of {tally.total} let in ({' + '.join(map(str, shares))} by {len(replicas)} replicas),"
        f" {counted.least:.0f} to {counted.most:.0f} due: {counted.off:.1f} % off"
    )
    if strange:
        figures = f"{figures}; {strange} answered otherwise ({tally.failures()})"
    holds = counted.off <= TOLERANCE and strange == 0 and len(shares) > 1 and all(shares)
    return Measured(figures, holds)


async def redis_may_stall_and_die(stage: Stage) -> Measured:
    """Redis stops answering, continues, is killed and started again: callers keep their speed, tenants their limits."""
    before = await _load(stage)
    with _stopped(stage.pid(StoreName.REDIS)):
        stalled = await _load(stage)
        degraded = await _degraded(stage)
        noisy = await _flood(stage)
        served = await stage.client.paced([browse(n) for n in range(60)], per_second=40)
    noticed = await _exact_again(stage)
    after = await _load(stage)
    async with Background(stage.client, browse, per_second=40) as traffic:
        killed = stage.pid(StoreName.REDIS)
        os.kill(killed, signal.SIGKILL)
        await stage.restarted(StoreName.REDIS, killed, within=30)
        noticed = max(noticed, await _exact_again(stage))
    await stage.settled()
    healthy = Tally([*before.answers, *after.answers])
    speed, wait = in_time(stalled) / in_time(healthy), stalled.percentile(50) - healthy.percentile(50)
    failed, total = served.failed + traffic.tally.failed, served.total + traffic.tally.total
    replicas = len(stage.replicas("api"))
    figures = (
        f"at {OFFERED} requests/s, {100 * speed:.0f} % of the healthy throughput, median"
        f" {stalled.percentile(50) * 1000:.0f} ms (healthy {healthy.percentile(50) * 1000:.0f} ms), slowest"
        f" {stalled.percentile(100) * 1000:.0f} ms; the limit {noisy.off:.0f} % off meanwhile; degraded shown by"
        f" {degraded} of {replicas} replicas, recovery noticed within {noticed:.1f} s; {failed} of {total} product"
        " pages failed"
    )
    holds = speed >= SPEED and wait <= MOST_WAIT and noisy.off <= ROUGHLY and degraded == replicas and failed == 0
    return Measured(figures, holds)


async def _load(stage: Stage) -> Tally:
    """A steady load on api alone. At a rate that it can take: how fast it goes at most depends on what else the
    machine does at that moment, and that is not the claim."""
    requests = [light(n, tenant=GOLD) for n in range(OFFERED * LOAD_SECONDS)]
    return await stage.client.paced(requests, per_second=OFFERED)


def in_time(tally: Tally) -> float:
    """The share of the requests that were let in, and answered before a caller's patience ends. Never 0, so that it can
    be compared with."""
    answered = sum(one.status == ADMITTED and one.seconds <= PATIENCE for one in tally.answers)
    return max(answered, 1) / max(tally.total, 1)


async def _flood(stage: Stage) -> Count:
    """A tenant far over its limit, from its first request on."""
    first = await stage.client.send(light(0, tenant=NOISY))
    requests = [light(n, tenant=NOISY) for n in range(NOISY_SECONDS * NOISY_RATE)]
    rest = await stage.client.paced(requests, per_second=NOISY_RATE)
    return count_of(Tally([first, *rest.answers]), **_limit(stage, NOISY))


async def _degraded(stage: Stage) -> int:
    """How many replicas say that Redis does not count."""
    return sum([await stage.metric(replica, "rate_limit_degraded") > 0 for replica in stage.replicas("api")])


async def _exact_again(stage: Stage) -> float:
    async def exact() -> bool:
        return await _degraded(stage) == 0

    return await until(exact, within=NOTICED_WITHIN, what="exact limits after Redis came back")


async def _exactly_admitted(stage: Stage, replica: ReplicaInfo) -> float:
    return await stage.metric(replica, "rate_limit_requests_total", decision="allowed", mode="exact")


def _limit(stage: Stage, tenant: str) -> dict[str, float]:
    limits = stage.document["spec"]["rateLimit"]
    own = next((one for one in limits["tenants"] if one["name"] == tenant), limits["default"])
    return {"per_second": own["requestsPerSecond"], "burst": own["burst"]}


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    """The process accepts connections and answers nothing. It always continues in the end, so that it can be ended."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
