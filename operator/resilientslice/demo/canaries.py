"""Claims about a canary: the header, the share, a bad canary that costs nothing, and a promotion without a failure."""

from collections.abc import Callable

from resilientslice.demo.load import Background
from resilientslice.demo.report import Measured
from resilientslice.demo.stage import ClaimError, Spec, Stage, until
from resilientslice.demo.traffic import SKUS, browse, order
from resilientslice.render.names import Track

CANARY_TAG = "1.1.0"
HEADER_REQUESTS = 60
SHARE_WEIGHT = 30
SHARE_REQUESTS = 3000
SHARE_TOLERANCE = 3.0
BAD_WEIGHT = 50
BAD_REQUESTS = 500
WORKERS = 8
"""Few, so that a request is not late by its own company and tried again on the other track."""
HOPS = ("api", "catalog", "payments")


def set_weight(weight: int) -> Callable[[Spec], None]:
    def change(spec: Spec) -> None:
        spec["canary"]["weight"] = weight

    return change


def set_tag(spec: Spec, tag: str) -> None:
    for service in spec["services"]:
        service["image"] = service["image"].rsplit(":", 1)[0] + f":{tag}"


def _new_image(spec: Spec) -> None:
    set_tag(spec, CANARY_TAG)
    set_weight(0)(spec)


async def header_reaches_only_the_canary(stage: Stage) -> Measured:
    """A new image makes a canary of each service at weight 0; the header, and only it, leads there on every hop."""
    await stage.change(_new_image)
    await stage.settled()
    with_header = await stage.client.paced(
        [order(f"header-{n}", SKUS[0], headers={"X-Canary": "1"}) for n in range(HEADER_REQUESTS)], per_second=40
    )
    without = await stage.client.paced([order(f"plain-{n}", SKUS[0]) for n in range(HEADER_REQUESTS)], per_second=40)
    canary_hops, stable_hops = ({f"{hop}@{track}" for hop in HOPS} for track in (Track.CANARY, Track.STABLE))
    reached = sum(answer.succeeded and set(answer.hops) == canary_hops for answer in with_header.answers)
    stayed = sum(answer.succeeded and set(answer.hops) == stable_hops for answer in without.answers)
    figures = (
        f"{reached} of {HEADER_REQUESTS} with the header saw only the canary on {len(HOPS)} hops, "
        f"{HEADER_REQUESTS - stayed} of {HEADER_REQUESTS} without it did"
    )
    return Measured(figures, reached == HEADER_REQUESTS and stayed == HEADER_REQUESTS)


async def weight_moves_the_share(stage: Stage) -> Measured:
    """An edit of the weight moves that share of the requests, as whole requests, and fails none."""
    async with Background(stage.client, browse, per_second=80) as during:
        await stage.change(set_weight(SHARE_WEIGHT))
        await _until_weight(stage, SHARE_WEIGHT)
    tally = await stage.client.closed_loop(browse, count=SHARE_REQUESTS, workers=WORKERS)
    share = tally.share("api@canary")
    mixed = sum(len({hop.partition("@")[2] for hop in answer.hops}) > 1 for answer in tally.answers)
    failed = tally.failed + during.tally.failed
    figures = f"{share:.1f} % of {tally.total} requests at weight {SHARE_WEIGHT}, {mixed} mixed tracks, {failed} failed"
    return Measured(figures, abs(share - SHARE_WEIGHT) <= SHARE_TOLERANCE and failed == 0 and mixed == 0)


async def refusing_canary_costs_nothing(stage: Stage) -> Measured:
    """A canary at weight 50 refuses connections: what may be retried is answered by stable."""
    return await _bad_canary(stage, "refuse", {}, "hosts_cx_connect_fail")


async def failing_canary_costs_nothing(stage: Stage) -> Measured:
    """A canary at weight 50 answers only 503: what may be retried is answered by stable."""
    return await _bad_canary(stage, "fail", {"probability": 1.0, "status": 503}, "hosts_rq_error")


async def _bad_canary(stage: Stage, fault: str, parameters: dict[str, object], counter: str) -> Measured:
    canaries = [replica for name in HOPS for replica in stage.replicas(name, Track.CANARY)]
    await stage.change(set_weight(BAD_WEIGHT))
    await _until_weight(stage, BAD_WEIGHT)
    before = {name: await stage.counter(f"{name}-canary", counter) for name in HOPS}
    await stage.fault(canaries, fault, **parameters, **{"for": "60s"})
    tally = await stage.client.closed_loop(browse, count=BAD_REQUESTS, workers=WORKERS)
    own = sum([await stage.counter(f"{name}-canary", counter) - before[name] for name in HOPS])
    await stage.heal(canaries)
    await stage.settled()
    for replica in canaries:
        await stage.returned(replica, within=30)
    figures = f"{tally.failed} of {tally.total} failed for callers, {own} failures counted at the canary"
    return Measured(tally.explain(figures), tally.failed == 0 and own > 0)


async def hundred_promotes(stage: Stage) -> Measured:
    """Weight 100 promotes the canary: stable runs it, the canary is gone, and no request failed on the way."""
    wanted = stage.status.revision.canary
    if not wanted:
        raise ClaimError("there is no canary to promote")

    async def promoted() -> bool:
        revision = stage.status.revision
        return bool(revision.stable == wanted and not revision.canary and not stage.replicas("api", Track.CANARY))

    async with Background(stage.client, browse, per_second=50) as traffic:
        await stage.change(set_weight(100))
        took = await until(promoted, within=60, what=f"promotion of {wanted}")
        await stage.settled()
    tally = traffic.tally
    tags = {replica.version for name in HOPS for replica in stage.replicas(name)}
    figures = f"{wanted} promoted in {took:.1f} s, {tally.failed} of {tally.total} requests failed"
    return Measured(tally.explain(figures), tally.failed == 0 and tags == {CANARY_TAG})


async def _until_weight(stage: Stage, weight: int) -> None:
    async def reached() -> bool:
        return bool(stage.status.canary.weight == weight)

    await until(reached, within=30, what=f"weight {weight} (it is {stage.status.canary.weight})")
    await stage.settled()
