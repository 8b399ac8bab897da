"""Claims about change under load: every service is replaced, and what is too much is turned away at once."""

import itertools
from collections.abc import Callable

from resilientslice.demo.canaries import set_tag
from resilientslice.demo.load import Background, Request
from resilientslice.demo.report import Measured
from resilientslice.demo.stage import Spec, Stage
from resilientslice.demo.traffic import SKUS, browse, order
from resilientslice.render.names import Track

NEXT_TAG = "1.2.0"
READS, WRITES = 40, 10
"""Requests a second during the update."""
UPDATED_WITHIN = 90.0
SLOTS = 10
"""Requests that api may have under way while it is overloaded."""
DELAY = "100ms"
"""What each of them takes at least: time, not CPU, so that the capacity is the same on any machine."""
CAPACITY_REQUESTS = 200
OVERLOAD, OVERLOAD_SECONDS = 3, 4
GOODPUT = 0.8
REFUSED_WITHIN = 0.025

_keys = itertools.count()


async def every_service_is_replaced(stage: Stage) -> Measured:
    """Another image for every service, without a canary, rolls each of them out while requests and orders come in."""
    async with (
        Background(stage.client, browse, per_second=READS) as reads,
        Background(stage.client, _next_order, per_second=WRITES) as writes,
    ):
        before = {replica.pid for replica in stage.runtime.replicas()}
        await stage.change(_everything_new)
        await stage.settled(UPDATED_WITHIN)
    replicas = stage.runtime.replicas()
    replaced = [one for one in replicas if one.version == NEXT_TAG and one.pid not in before]
    failed, total = reads.tally.failed + writes.tally.failed, reads.tally.total + writes.tally.total
    figures = f"{len(replaced)} of {len(replicas)} processes replaced, {failed} of {total} requests failed"
    why = ", ".join(filter(None, (reads.tally.failures(), writes.tally.failures())))
    return Measured(f"{figures} ({why})" if why else figures, failed == 0 and len(replaced) == len(replicas))


def _everything_new(spec: Spec) -> None:
    """With the same update the services' library takes the tenants' limits over from Envoy, for the claims that follow.

    Two variables fit them to a machine that runs everything at once: Redis gets more time before it counts as away, for
    everybody waits for a CPU here, and a worker takes up what a dead one left sooner than after 15 s."""
    spec.pop("canary", None)
    set_tag(spec, NEXT_TAG)
    spec["rateLimit"]["enforcement"] = "Middleware"
    _service(spec, "api")["env"] = [{"name": "RATE_LIMITS_PATIENCE", "value": "100ms"}]
    _service(spec, "worker")["env"] = [{"name": "WORKER_CLAIM_IDLE", "value": "4s"}]


def _service(spec: Spec, name: str) -> Spec:
    return next(service for service in spec["services"] if service["name"] == name)


def _next_order(number: int) -> Request:
    return order(f"update-{next(_keys)}", SKUS[number % len(SKUS)])


async def overload_is_turned_away(stage: Stage) -> Measured:
    """Three times what api can take: its bulkhead lets in what fits and refuses the rest without delay."""
    replicas = stage.replicas("api", Track.STABLE)
    await stage.change(_set_slots(SLOTS))
    await stage.settled()
    await stage.fault(replicas, "slow", probability=1.0, delay=DELAY, **{"for": "60s"})
    calm = await stage.client.closed_loop(browse, count=CAPACITY_REQUESTS, workers=SLOTS)
    capacity = calm.rate(200)
    offered = OVERLOAD * capacity
    storm = await stage.client.paced([browse(n) for n in range(int(offered * OVERLOAD_SECONDS))], per_second=offered)
    await stage.heal(replicas)
    await stage.change(_set_slots(None))
    refused = storm.only(503)
    goodput = storm.rate(200) / capacity if capacity else 0.0
    figures = (
        f"capacity {capacity:.0f}/s, offered {offered:.0f}/s: goodput {100 * goodput:.0f} %, {refused.total} of"
        f" {storm.total} refused in {refused.percentile(50) * 1000:.1f} ms (median), p99 of those served"
        f" {storm.only(200).percentile(99) * 1000:.0f} ms"
    )
    holds = goodput >= GOODPUT and refused.total > 0 and refused.percentile(50) <= REFUSED_WITHIN
    return Measured(figures, holds)


def _set_slots(slots: int | None) -> Callable[[Spec], None]:
    def change(spec: Spec) -> None:
        api = _service(spec, "api")
        if slots is None:
            del api["resilience"]["bulkhead"]
        else:
            api["resilience"]["bulkhead"] = {"maxRequests": slots}

    return change
