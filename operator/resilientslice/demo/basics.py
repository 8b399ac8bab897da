"""Claims about a slice at rest: orders get through, tenants are kept apart, what is undeclared or wrong is refused."""

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp

from resilientslice.demo.load import Background, Request
from resilientslice.demo.report import Measured
from resilientslice.demo.stage import ClaimError, Spec, Stage, until
from resilientslice.demo.traffic import GOLD, NOISY, SILVER, SKUS, browse, order

ORDERS = 60
SETTLED_WITHIN = 10.0


async def orders_succeed(stage: Stage) -> Measured:
    """Orders are taken by api, priced by catalog, charged by payments and settled by worker."""
    requests = [order(f"first-{n}", SKUS[n % len(SKUS)]) for n in range(ORDERS)]
    tally = await stage.client.paced(requests, per_second=40)
    ids = [answer.body["order_id"] for answer in tally.answers if answer.succeeded]
    took = await until_settled(stage, ids, within=SETTLED_WITHIN)
    figures = f"{tally.total - tally.failed} of {tally.total} taken, {len(ids)} settled {took:.1f} s later"
    return Measured(tally.explain(figures), tally.failed == 0 and len(ids) == ORDERS)


async def until_settled(stage: Stage, ids: Sequence[str], *, within: float) -> float:
    """Wait until each order says that it is settled; the seconds it took."""
    waiting = set(ids)

    async def all_settled() -> bool:
        for identifier in sorted(waiting):
            answer = await stage.client.send(_read_order(identifier))
            if answer.succeeded and answer.body["status"] == "settled":
                waiting.discard(identifier)
        return not waiting

    return await until(all_settled, within=within, what=f"settlement of {len(ids)} orders")


def _read_order(identifier: str) -> Request:
    return Request("GET", f"/orders/{identifier}", {"X-Tenant": GOLD}, keep_body=True)


async def tenants_are_kept_apart(stage: Stage) -> Measured:
    """A tenant over its limit gets 429 at once; another one, at the same time, notices nothing."""
    seconds, noisy_rate, silver_rate = 3, 100, 40
    noisy, silver = await asyncio.gather(
        stage.client.paced([browse(n, tenant=NOISY) for n in range(seconds * noisy_rate)], per_second=noisy_rate),
        stage.client.paced([browse(n, tenant=SILVER) for n in range(seconds * silver_rate)], per_second=silver_rate),
    )
    limit = stage.document["spec"]["rateLimit"]["default"]
    allowed = limit["burst"] + limit["requestsPerSecond"] * (seconds + 1)
    passed, limited = noisy.statuses[200], noisy.statuses[429]
    figures = (
        f"noisy: {limited} of {noisy.total} limited, {passed} passed; silver: {silver.failed} of {silver.total} failed"
    )
    holds = limited > 0 and limited + passed == noisy.total and passed <= allowed and silver.failed == 0
    return Measured(figures, holds)


async def undeclared_calls_are_refused(stage: Stage) -> Measured:
    """Only declared calls have a way: no Host header and no path leads from one service's listener to another's."""
    front = stage.runtime.front_url
    catalog = stage.runtime.internal_url("catalog")
    payments_host = urlsplit(stage.runtime.internal_url("payments")).netloc
    attempts = [
        (base, path, {"Host": host, **extra})
        for base in (front, catalog)
        for host in ("shop-payments", "shop-payments:8080", "shop-payments.default.svc.cluster.local", payments_host)
        for path, extra in (("/pay", {}), ("/payments/x", {"X-Envoy-Original-Dst-Host": payments_host}))
    ]
    before = await _payments_requests(stage)
    reached = 0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        for base, path, headers in attempts:
            async with session.get(base + path, headers={"X-Tenant": GOLD, **headers}) as response:
                reached += "payments@" in response.headers.get("X-Served-By", "") or response.status < 400
    arrived = await _payments_requests(stage) - before
    return Measured(f"{reached} of {len(attempts)} tries reached payments", reached == 0 and arrived == 0)


async def _payments_requests(stage: Stage) -> int:
    """What payments has answered, but for the outbox, which api asks for by itself."""
    total = 0.0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        for replica in stage.replicas("payments"):
            async with session.get(f"http://127.0.0.1:{replica.admin_port}/metrics") as response:
                lines = (await response.text()).splitlines()
            counted = [line for line in lines if line.startswith("http_requests_total{")]
            total += sum(float(line.rpartition(" ")[2]) for line in counted if 'route="/outbox/' not in line)
    return int(total)


async def bad_edits_are_refused(stage: Stage) -> Measured:
    """A wrong edit is refused with its reason; what runs continues."""

    def break_it(spec: Spec) -> None:
        spec["services"][0]["dependsOn"] = ["paymets"]
        spec["resilience"]["timeout"] = "soon"

    async with Background(stage.client, browse, per_second=60) as traffic:
        reason = await stage.edit(break_it)
        served = len(traffic.tally.answers)

        async def more_served() -> bool:
            return len(traffic.tally.answers) >= served + 60

        await until(more_served, within=10, what="further traffic after the refused edit")
    restored = await stage.restore()
    if restored:
        raise ClaimError(f"the good file was refused after the bad one: {restored}")
    named = "spec.resilience.timeout" in reason
    figures = f"refused ({_first_line(reason)}), {traffic.tally.failed} of {traffic.tally.total} requests failed"
    return Measured(traffic.tally.explain(figures), named and traffic.tally.failed == 0)


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if "spec." in line), text.strip())
    return line if len(line) <= 90 else f"{line[:89]}…"
