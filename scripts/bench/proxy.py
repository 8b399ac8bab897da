"""What the slice's Envoy costs with everything on, against one that only forwards.

Twice: before a service, which is what its users see, and before an Envoy that answers by itself, so that nothing but
the measured Envoy is the bottleneck. That one has a processor of its own where there are two.
"""

import os
from collections.abc import Iterator

import psutil
from scripts.bench import slices
from scripts.bench.figures import Figure, in_turn, median_of, ratio
from scripts.bench.servers import Bench, bench, load

from testkit.envoy_bootstraps import plain
from testkit.processes import processor_seconds

ROUNDS, SECONDS = 7, 3.0
LOCAL = {"default": slices.PLENTY, "tenants": [{"name": "gold", **slices.PLENTY}]}


class Envoys:
    """The two Envoys before the same ports, and what each request cost them."""

    def __init__(self, at: Bench, ports: list[int], *, mine: str = "", others: str = "") -> None:
        self._others = others
        self._of: dict[str, tuple[psutil.Process, str]] = {}
        self.costs: dict[str, list[float]] = {}
        for name, (bootstrap, url) in {
            "plain": plain(ports),
            "everything": slices.fronted(at.folder, ports, limits=LOCAL, canary=30),
        }.items():
            self._of[name] = at.envoy(bootstrap, url, cpus=mine), url

    def rates(self) -> dict[str, list[float]]:
        """Requests a second of each, by round."""
        measures = {name: (lambda name=name: self._measure(name)) for name in self._of}
        in_turn(measures, 1)  # warm
        self.costs = {name: [] for name in self._of}
        return in_turn(measures, ROUNDS)

    def _measure(self, name: str) -> float:
        process, url = self._of[name]
        before = processor_seconds(process)
        seen = load(url, SECONDS, processors=self._others)
        seen.demand_answers(name)
        self.costs.setdefault(name, []).append((processor_seconds(process) - before) / seen.requests)
        return seen.rate


def figures() -> Iterator[Figure]:
    with bench() as at:
        rates = Envoys(at, [at.service({})[0] for _ in range(2)]).rates()
    detail = ", ".join(f"{name} {median_of(values):.0f}/s" for name, values in rates.items())
    what = "Envoy with everything on / forwarding only, requests/s, before two replicas of a service"
    yield Figure(what, ratio(rates, "everything", "plain"), at_least=0.8, detail=detail)
    mine, others = ("0", "1") if (os.cpu_count() or 1) > 1 else ("", "")
    with bench() as at:
        answering, url = slices.origin()
        at.envoy(answering, url, cpus=others)
        port = int(url.split(":")[2].split("/")[0])
        envoys = Envoys(at, [port, port], mine=mine, others=others)
        rates = envoys.rates()
    detail = ", ".join(f"{name} {median_of(values):.0f}/s" for name, values in rates.items())
    what = "the same before an origin that costs nothing: Envoy alone is the bottleneck"
    yield Figure(what, ratio(rates, "everything", "plain"), detail=detail)
    least = {name: min(values) for name, values in envoys.costs.items()}
    detail = ", ".join(f"{name} {value * 1e6:.0f} us" for name, value in least.items())
    what = "processor time of a request in that Envoy, everything on / forwarding only"
    yield Figure(what, least["everything"] / least["plain"], detail=detail)
