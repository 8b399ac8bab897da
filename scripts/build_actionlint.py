"""Builds actionlint, which checks the GitHub workflows: once, from source that a committed go.sum pins, then from the
cache outside of the checkout. Prints the path of the program; everything for people goes to standard error.
"""

import os
import subprocess
import sys
from pathlib import Path

from scripts.build_apiserver import (
    BuildError,
    build_environment,
    cache_folder,
    digest,
    find_go,
    locked,
    required_go,
    say,
    staged,
)

MODULE = Path(__file__).resolve().parent / "tools" / "actionlint"
FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w")


def program(cache: Path) -> Path:
    """actionlint, built now if it isn't in the cache."""
    go_mod = (MODULE / "go.mod").read_text()
    go = find_go(cache, required_go(go_mod))
    key = digest(go_mod, (MODULE / "go.sum").read_bytes(), *FLAGS, go.version, os.uname().machine)
    target = cache / f"actionlint-{key}"
    if not target.is_dir():
        with locked(cache / f"{target.name}.lock"):
            if not target.is_dir():
                say(f"==> building actionlint with {go.version} (once; about half a minute)")
                with staged(target) as staging:
                    command = [str(go.program), "build", "-C", str(MODULE), *FLAGS, "-o", f"{staging}/", "tool"]
                    subprocess.run(command, env=build_environment(os.environ), check=True, stdout=sys.stderr)
    return target / "actionlint"


def main() -> int:
    try:
        print(program(cache_folder(os.environ)))
    except (BuildError, OSError, subprocess.CalledProcessError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
