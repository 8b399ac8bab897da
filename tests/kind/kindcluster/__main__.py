"""`python -m kindcluster up | down | load-images | images`: what the cluster targets of the Makefile call.

`up --images` is `up` and `load-images` in less time than one after the other.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import build_apiserver as source

from kindcluster import cluster, daemon, images
from kindcluster.places import Cluster
from kindcluster.words import ClusterError


def run(verb: str, cache: Path, *, with_images: bool) -> None:
    named = Cluster.named(os.environ)
    match verb:
        case "up":
            cluster.up(named, cache, with_images=with_images)
        case "down":
            cluster.down(named, cache)
        case "load-images":
            cluster.load_images(named, cache)
        case _:
            daemon.ensure()
            print(images.describe(images.ours(cache)))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="kindcluster", description=__doc__)
    parser.add_argument("verb", choices=("up", "down", "load-images", "images"))
    parser.add_argument("--images", action="store_true", help="with up: also what load-images does, at the same time")
    chosen = parser.parse_args(arguments)
    if chosen.images and chosen.verb != "up":
        parser.error(f"--images goes with up, not with {chosen.verb}")
    cache = source.cache_folder(os.environ)
    cache.mkdir(parents=True, exist_ok=True)
    try:
        with source.locked(cache / "kind-cluster.lock"):
            run(chosen.verb, cache, with_images=chosen.images)
    except (ClusterError, source.BuildError, OSError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
