"""What rendering costs: it grows with the slice and no faster, and `rslice` stays quick.

Each figure is the fastest of several rounds, which is what the code costs when nothing disturbs it.
"""

import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from scripts.bench.figures import Figure

from resilientslice.api.slice import ResilientSlice
from resilientslice.render.envoy import render_envoy
from resilientslice.render.objects import render_objects
from resilientslice.render.proxy import cluster_topology
from resilientslice.render.revision import revision_of

ROUNDS = 7
SMALL, LARGE = 10, 40
LAYER = 4
THOUSAND, SERVICES_OF_MANY = 1000, 50


def below(number: int) -> range:
    top = number - number % LAYER
    return range(max(0, top - LAYER), top)


def document(services: int) -> dict[str, Any]:
    """A slice in layers of four, each service of which may call the whole layer below."""
    return {
        "apiVersion": "resilientslice.dev/v1alpha1",
        "kind": "ResilientSlice",
        "metadata": {"name": "bench"},
        "spec": {
            "services": [
                {
                    "name": f"s{number}",
                    "image": f"example.org/s{number}:1",
                    "port": 8080,
                    "expose": {"pathPrefix": f"/s{number}"},
                    "dependsOn": [f"s{other}" for other in below(number)],
                }
                for number in range(services)
            ]
        },
    }


def seconds(work: Callable[[], object]) -> float:
    """The fastest of some rounds, without the garbage collector, which would run in some of them."""
    times = []
    gc.disable()
    try:
        for _ in range(ROUNDS):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
    finally:
        gc.enable()
    return min(times)


def loaded(services: int) -> ResilientSlice:
    return ResilientSlice.model_validate_json(json.dumps(document(services)))


def render(slice_: ResilientSlice) -> None:
    """Everything an edit of the slice costs before something is sent: its revision, objects and Envoy configuration."""
    stable = revision_of(slice_)
    render_objects(slice_, stable, None)
    render_envoy(slice_, stable, None, cluster_topology(slice_, stable, None))


def render_all(slices: Iterable[ResilientSlice]) -> None:
    for one in slices:
        render(one)


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def figures() -> Iterator[Figure]:
    small, large = loaded(SMALL), loaded(LARGE)
    rendering = seconds(lambda: render(large))
    nothing = seconds(lambda: run("-c", "import resilientslice.render.objects, yaml, click"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slice.yaml"
        path.write_text(yaml.safe_dump(document(LARGE)))
        program = "from resilientslice.cli import main; main()"
        whole = seconds(lambda: run("-c", program, "render", "-f", str(path)))
    stable = revision_of(large)
    objects = render_objects(large, stable, None)
    written = seconds(lambda: json.dumps(objects))
    # a service more should cost what one before it did
    linear = LARGE / SMALL
    ratio = rendering / seconds(lambda: render(small))
    yield Figure(f"rendering {LARGE} services / {SMALL} services", ratio, at_most=2 * linear)
    what = f"rendering / writing the same objects as JSON, {LARGE} services"
    yield Figure(what, rendering / written, at_most=45.0)
    yield Figure(
        f"`rslice render` of {LARGE} services / starting Python with its imports", whole / nothing, at_most=4.0
    )
    many = [loaded(SERVICES_OF_MANY) for _ in range(THOUSAND // SERVICES_OF_MANY)]
    thousand = seconds(lambda: render_all(many))
    yield Figure(
        f"rendering {THOUSAND} services in {len(many)} slices / {LARGE} services in one",
        thousand / rendering,
        at_most=1.5 * THOUSAND / LARGE,
        detail=f"{thousand * 1000:.0f} ms",
    )
