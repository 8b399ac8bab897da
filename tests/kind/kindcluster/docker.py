"""The docker command: builds, labels, and whether a registry can be reached."""

import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kindcluster.words import ClusterError, say

INPUTS = "dev.resilientslice.inputs"
"""Label of every image built here: the digest of what it was made of. An image without it is not ours."""
REGISTRY_SECONDS = 20.0
"""A registry that has not begun to answer by then counts as out of reach."""


def run(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Standard output of a docker command; its words as a ClusterError when it fails."""
    done = subprocess.run(["docker", *arguments], env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()[-40:]
        raise ClusterError(f"docker {' '.join(arguments)} ended with {done.returncode}:\n" + "\n".join(said))
    return done.stdout.decode(errors="replace")


def labels(image: str) -> dict[str, str] | None:
    """The labels of a local image; None if there is no such image."""
    done = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{json .Config.Labels}}", image],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        return None
    found: dict[str, str] | None = json.loads(done.stdout)
    return found or {}


def is_built(image: str, inputs: str) -> bool:
    """Whether a local image was made of just these inputs."""
    found = labels(image)
    return found is not None and found.get(INPUTS) == inputs


def is_foreign(image: str) -> bool:
    """Whether there is a local image of that name which was not built here: the real one."""
    found = labels(image)
    return found is not None and INPUTS not in found


def pull(image: str) -> bool:
    """Pull an image; False if no registry begins to answer in time, or has no such image."""
    with subprocess.Popen(
        ["docker", "pull", image], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            process.wait(REGISTRY_SECONDS)
        except subprocess.TimeoutExpired:
            # the first line comes when the registry has named the layers; without one there is nobody
            os.set_blocking(process.stdout.fileno(), False)  # type: ignore[union-attr]
            if not process.stdout.read():  # type: ignore[union-attr]
                process.terminate()
                return False
            os.set_blocking(process.stdout.fileno(), True)  # type: ignore[union-attr]
            for _ in process.stdout or ():
                pass
        return process.wait() == 0


@functools.cache
def builder() -> dict[str, str]:
    """The environment for `docker build`: BuildKit where its component is installed, else the builder in the daemon."""
    done = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False)
    return {**os.environ, "DOCKER_BUILDKIT": "1" if done.returncode == 0 else "0"}


@contextmanager
def context(files: Mapping[str, Path | str | bytes], modes: Mapping[str, int] | None = None) -> Iterator[Path]:
    """A folder to build from. Values: a file or folder to link or copy, or the text itself."""
    with tempfile.TemporaryDirectory(prefix="rslice-build-", dir=scratch()) as name:
        root = Path(name)
        for path, source in files.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(source, Path):
                _place(source, target)
            else:
                target.write_bytes(source.encode() if isinstance(source, str) else source)
            if modes and path in modes:
                target.chmod(modes[path])
        yield root


def scratch() -> Path:
    """On the file system of the cache, where links cost nothing, and never a small tmpfs."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resilientslice"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _place(source: Path, target: Path) -> None:
    """Hard links where possible: node programs weigh hundreds of megabytes."""
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, copy_function=_link)
    else:
        _link(str(source), str(target))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=True)
    except OSError:
        shutil.copy2(source, target)


def build(
    image: str,
    dockerfile: Path,
    folder: Path,
    *,
    inputs: str,
    arguments: Mapping[str, str] | None = None,
    target: str | None = None,
    network: str | None = None,
    tags: Iterable[str] = (),
) -> None:
    """Build an image that says what it was made of. `network` is for RUN steps; None is Docker's default."""
    say(f"building image {image}")
    values: dict[str, Any] = dict(arguments or {})
    run(
        "build",
        "--quiet",
        f"--file={dockerfile}",
        f"--label={INPUTS}={inputs}",
        *(f"--build-arg={name}={value}" for name, value in sorted(values.items())),
        *([f"--target={target}"] if target else []),
        *([f"--network={network}"] if network else []),
        *(f"--tag={tag}" for tag in (image, *tags)),
        str(folder),
        env=builder(),
    )
