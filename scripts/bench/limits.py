"""What limiting tenants costs, how exact it is over two replicas, and what is left of it while Redis hangs."""

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from scripts.bench import slices
from scripts.bench.figures import Figure, in_turn, median_of, ratio
from scripts.bench.servers import Bench, Load, bench, load

ROUNDS, SECONDS = 5, 3.0
CONNECTIONS = 64
"""So many requests are under way, as in a busy service: checks of one turn of its loop go out together."""
RATE, BURST, ACCURACY_SECONDS = 400, 400, 10.0


def limited_service(at: Bench, redis: int, limit: dict[str, int], replicas: int) -> int:
    path = at.folder / f"limits-{replicas}-{limit['requestsPerSecond']}.json"
    path.write_text(json.dumps({"scope": "bench", "replicas": replicas, "default": limit}))
    env = {"RATE_LIMITS_FILE": str(path), "REDIS_URL": f"redis://127.0.0.1:{redis}/0"}
    return at.service(env)[0]


def figures() -> Iterator[Figure]:
    """Envoy before one service, 1000 tenants, none of which reaches its limit."""
    with bench() as at:
        redis, _ = at.valkey()
        bare = at.service({})[0]
        urls = {}
        for name, port, limits in (
            ("none", bare, None),
            ("Local", bare, {"default": slices.PLENTY}),
            ("Middleware", limited_service(at, redis, slices.PLENTY, 1), None),
        ):
            bootstrap, urls[name] = slices.fronted(at.folder, [port], limits=limits)
            at.envoy(bootstrap, urls[name])
        measures = {
            name: (lambda url=url: _all_answered(load(url, SECONDS, connections=CONNECTIONS)))
            for name, url in urls.items()
        }
        in_turn(measures, 1)  # warm
        found = in_turn(measures, ROUNDS)
    rates = ", ".join(f"{name} {median_of(values):.0f}/s" for name, values in found.items())
    for name in ("Local", "Middleware"):
        yield Figure(
            f"limits by {name} / no limits, requests/s, 1000 tenants", ratio(found, name, "none"), 0.7, None, rates
        )


def accuracy() -> Iterator[Figure]:
    """One tenant asks two replicas for far more than it may have."""
    with bench() as at:
        redis, _ = at.valkey()
        limit = {"requestsPerSecond": RATE, "burst": BURST}
        urls = [f"http://127.0.0.1:{limited_service(at, redis, limit, 2)}/products" for _ in range(2)]
        with ThreadPoolExecutor(2) as both:
            started = time.monotonic()
            seen = list(both.map(lambda url: load(url, ACCURACY_SECONDS, connections=8, tenants=1), urls))
            elapsed = max(time.monotonic() - started - _START_UP, *(one.seconds for one in seen))
    admitted = sum(one.ok for one in seen)
    allowed = BURST + RATE * elapsed
    asked = sum(one.requests for one in seen) / elapsed
    yield Figure(
        "admitted / allowed, one tenant, two replicas",
        admitted / allowed,
        0.99,
        1.01,
        f"{admitted} of {allowed:.0f} in {elapsed:.1f} s, {asked:.0f}/s asked",
    )


_START_UP = 0.05
"""Seconds that wrk takes to start and to end, within which it asks nothing."""


def stall() -> Iterator[Figure]:
    """Redis stops answering without closing a connection: the same load before and after."""
    with bench() as at:
        redis, process = at.valkey()
        port = limited_service(at, redis, slices.PLENTY, 1)
        bootstrap, url = slices.fronted(at.folder, [port], limits=None)
        at.envoy(bootstrap, url)

        def healthy() -> float:
            return _all_answered(load(url, SECONDS, connections=CONNECTIONS))

        def stalled() -> float:
            process.send_signal(signal.SIGSTOP)
            try:
                return _all_answered(load(url, SECONDS, connections=CONNECTIONS))
            finally:
                process.send_signal(signal.SIGCONT)

        healthy()  # warm
        found = in_turn({"healthy": healthy, "stalled": stalled}, ROUNDS)
    rates = ", ".join(f"{name} {median_of(values):.0f}/s" for name, values in found.items())
    yield Figure("Redis stalled / healthy, requests/s", ratio(found, "stalled", "healthy"), 0.9, None, rates)


def _all_answered(seen: Load) -> float:
    seen.demand_answers("limits")
    return seen.rate
