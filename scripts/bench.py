"""Measures what rendering costs, as ratios within one run: a ratio survives a slow or busy machine, milliseconds don't.

Each figure is the fastest of several rounds, which is what the code costs when nothing disturbs it. Writes
build/bench/report.json.
"""

import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from resilientslice.api.slice import ResilientSlice
from resilientslice.render.envoy import render_envoy
from resilientslice.render.objects import render_objects
from resilientslice.render.proxy import cluster_topology
from resilientslice.render.revision import revision_of

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "build" / "bench" / "report.json"
ROUNDS = 7
SMALL, LARGE = 10, 40
LAYER = 4


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured ratio and the most it may be."""

    what: str
    measured: float
    at_most: float

    @property
    def holds(self) -> bool:
        return self.measured <= self.at_most


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


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def figures() -> list[Figure]:
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
    return [
        Figure(
            f"rendering {LARGE} services / {SMALL} services", rendering / seconds(lambda: render(small)), 2 * linear
        ),
        Figure(f"rendering / writing the same objects as JSON, {LARGE} services", rendering / written, 45.0),
        Figure(f"`rslice render` of {LARGE} services / starting Python with its imports", whole / nothing, 4.0),
    ]


def main() -> int:
    found = figures()
    for figure in found:
        verdict = "ok    " if figure.holds else "FAILED"
        print(f"{verdict}  {figure.measured:7.2f}  at most {figure.at_most:6.2f}  {figure.what}")
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps([{**asdict(figure), "holds": figure.holds} for figure in found], indent=2) + "\n")
    return 0 if all(figure.holds for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
