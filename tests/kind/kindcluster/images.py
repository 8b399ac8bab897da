"""The project's own images, and the public ones that slices name: built or stood in for, and put onto the nodes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import build_apiserver as source

import resilientslice
from kindcluster import debian, docker, standins
from kindcluster.places import HERE, ROOT
from kindcluster.programs import Programs
from kindcluster.words import ClusterError, say
from resilientslice.render.images import DEFAULT_IMAGES

PYTHON = "python:3.11-slim"
SERVICES = ("api", "payments", "catalog", "worker")
SHOP = "example.org/shop"
WEB = "example.org/web"
WITHOUT_LIMITS = "example.org/envoy:without-limits"
"""An Envoy that refuses what others take: for tests of refusals."""
OPERATOR = f"resilientslice-operator:{resilientslice.__version__}"
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host")
"""Of pip's own configuration: where packages are found. Given to the build, and not kept in the image."""


@dataclass(frozen=True, slots=True)
class Build:
    """An image of ours: `names` are all its names, the first of which says whether it is up to date."""

    names: tuple[str, ...]
    dockerfile: Path
    folder: Path
    sources: tuple[Path, ...]
    target: str | None = None
    version: str = resilientslice.__version__
    arguments: Mapping[str, str] = field(default_factory=dict)


def sample_tags(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The tags that slices use of each image of the shop and of `web`: {"example.org/shop/api": ("1.0.0",), …}."""
    pattern = re.compile(rf"\b({re.escape(SHOP)}/(?:{'|'.join(SERVICES)})|{re.escape(WEB)}):([\w.-]+)")
    found: dict[str, set[str]] = {name: set() for name in (*(f"{SHOP}/{service}" for service in SERVICES), WEB)}
    for text in texts:
        for name, tag in pattern.findall(text):
            found[name].add(tag)
    return {name: tuple(sorted(tags)) for name, tags in found.items()}


def builds(tags: Mapping[str, Sequence[str]]) -> list[Build]:
    """Every image of ours. `tags` are those that the services get; the operator's are its version."""
    shared = ROOT / "services" / "slicekit" / "slicekit"
    lock = ROOT / "requirements" / "services.txt"
    services = [
        Build(
            names=tuple(f"{SHOP}/{service}:{tag}" for tag in tags[f"{SHOP}/{service}"]),
            dockerfile=ROOT / "services" / "Dockerfile",
            folder=ROOT,
            sources=(lock, shared, *(ROOT / "services" / each / f"shop_{each}" for each in SERVICES)),
            target=service,
        )
        for service in SERVICES
    ]
    operator = Build(
        names=(OPERATOR, DEFAULT_IMAGES.agent),
        dockerfile=ROOT / "Dockerfile.operator",
        folder=ROOT,
        sources=(ROOT / "requirements" / "operator.txt", ROOT / "operator" / "resilientslice"),
    )
    web = Build(
        names=tuple(f"{WEB}:{tag}" for tag in tags[WEB]),
        dockerfile=HERE / "web" / "Dockerfile",
        folder=HERE / "web",
        sources=(HERE / "web" / "greeting.py", *services[0].sources, services[0].dockerfile),
        arguments={"SERVICE": services[0].names[0]},
    )
    return [operator, *services, web]


def all_tags(environ: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The tags of the samples, and those of TAGS (`TAGS="1.1.0 1.2.0"`), which every service and `web` get."""
    texts = [path.read_text() for path in sorted((ROOT / "samples").glob("*.yaml"))]
    more = environ.get("TAGS", "").split()
    return {name: tuple(sorted({*tags, *more})) for name, tags in sample_tags(texts).items()}


def pip_arguments(configuration: Mapping[str, str], certificates: str | None) -> dict[str, str]:
    """Build arguments for where pip finds packages, from `pip config list`. The environment wins over files."""
    found: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):
        for name in PIP_SETTINGS:
            if f"{section}{name}" in configuration:
                found[f"PIP_{name.upper().replace('-', '_')}"] = configuration[f"{section}{name}"]
    return {**found, **({"PIP_CERT": certificates} if certificates else {})}


def pip_configuration(listed: str) -> dict[str, str]:
    """`pip config list` as a mapping: lines of `NAME='VALUE'`."""
    lines = (line.partition("=") for line in listed.splitlines() if "=" in line)
    return {name: value.strip("'\"") for name, _, value in lines}


def ours(cache: Path, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Build what is not up to date; the names of all our images."""
    standin = prepare_python(cache)
    found = builds(all_tags(environ))
    for build in found:
        _build(build, standin=standin)
    return [name for build in found for name in build.names]


def prepare_python(cache: Path) -> bool:
    """See to it that there is a base image: pulled, or a stand-in. Whether it is a stand-in."""
    if docker.labels(PYTHON) is None and docker.pull(PYTHON):
        return False
    if docker.is_foreign(PYTHON):
        return False
    standins.ensure(standins.python(PYTHON), cache)
    return True


def third_party(cache: Path) -> list[str]:
    """Stand-ins for the images that rendered objects name by default."""
    wanted = [
        standins.envoy(DEFAULT_IMAGES.envoy),
        standins.postgres(DEFAULT_IMAGES.postgres),
        standins.redis(DEFAULT_IMAGES.redis),
    ]
    for each in wanted:
        standins.ensure(each, cache)
    return [each.image for each in wanted]


def everything(cache: Path) -> list[str]:
    """Build our images, and where there is no registry stand-ins for those of others; the names of all."""
    names = ours(cache)
    standin = prepare_python(cache)
    names += third_party(cache) if standin else []
    return names + variants(standin=standin)


def variants(*, standin: bool) -> list[str]:
    """Made from images of others, so after those."""
    folder = HERE / "envoy-without-limits"
    build = Build(
        names=(WITHOUT_LIMITS,),
        dockerfile=folder / "Dockerfile",
        folder=folder,
        sources=(folder / "envoy",),
        arguments={"ENVOY": DEFAULT_IMAGES.envoy},
    )
    _build(build, standin=standin)
    return list(build.names)


def _build(build: Build, *, standin: bool) -> None:
    base = docker.run("image", "inspect", "--format={{.Id}}", PYTHON).strip()
    inputs = source.digest(base, build.target or "", build.dockerfile.read_bytes(), *_contents(build.sources))
    if all(docker.is_built(name, inputs) for name in build.names):
        return
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        raise ClusterError(f"pip config list failed: {listed.stderr.strip()}")
    certificates = str(debian.MACHINE_CERTIFICATES) if standin else None
    docker.build(
        build.names[0],
        build.dockerfile,
        build.folder,
        inputs=inputs,
        target=build.target,
        tags=build.names[1:],
        # without a registry, packages are reached as the machine itself reaches them
        network="host" if standin else None,
        arguments={
            **pip_arguments(pip_configuration(listed.stdout), certificates),
            "VERSION": build.version,
            "REVISION": _revision(),
            **build.arguments,
        },
    )


def _contents(paths: Iterable[Path]) -> list[str | bytes]:
    parts: list[str | bytes] = []
    for path in paths:
        files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if _is_source(each))
        for each in files:
            parts += [str(each.relative_to(ROOT)), each.read_bytes()]
    return parts


def _is_source(path: Path) -> bool:
    return path.is_file() and path.suffix != ".pyc"


def _revision() -> str:
    """The commit, as far as git knows it."""
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def load(programs: Programs, names: Sequence[str]) -> None:
    """Put images onto every node; kind leaves out what is there already."""
    say(f"loading {len(names)} images onto the nodes: {', '.join(names)}")
    programs.run_kind("load", "docker-image", f"--name={programs.cluster.name}", *names)
    say("the images are on the nodes")


def describe(names: Iterable[str]) -> str:
    """Each image with its size, for people."""
    lines = []
    for name in names:
        size = json.loads(docker.run("image", "inspect", "--format={{.Size}}", name))
        lines.append(f"{size / 1e6:6.0f} MB  {name}")
    return "\n".join(lines)
