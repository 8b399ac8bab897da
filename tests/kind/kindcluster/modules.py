"""Builds the programs of a cluster from the Go modules that the committed go.sum files pin: once, then from the cache.

What can't share its dependencies has a go.mod of its own below tests/kind/tools. They pin what they have in common to
Kubernetes' own versions, so that it is compiled once. The API server and etcd are the very ones that tests/apiserver
uses.
"""

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import build_apiserver as source

from kindcluster.places import TOOLS
from kindcluster.words import ClusterError, say

PLAIN_FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w")


@dataclass(frozen=True, slots=True)
class Module:
    """A folder of tests/kind/tools, what `go build` is told there, and the programs that it makes. `renamed`: programs
    whose package has another name."""

    name: str
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    minutes: str
    renamed: tuple[tuple[str, str], ...] = ()


KUBERNETES = Module(
    "kubernetes",
    ("tool",),
    ("kube-controller-manager", "kube-proxy", "kube-scheduler", "kubeadm", "kubectl", "kubelet"),
    "3 to 6 minutes",
)
ADDONS = Module(
    "addons",
    ("tool", "./coredns"),
    ("coredns", "network-policies"),
    "a minute",
    renamed=(("cmd", "network-policies"),),
)
KIND = Module("kind", ("tool",), ("kind",), "10 seconds")
METRICS_SERVER = Module("metrics-server", ("tool",), ("metrics-server",), "2 minutes")
STORAGE = Module("storage", ("tool",), ("local-path-provisioner",), "a minute")
PAUSE = Module("pause", (".",), ("pause",), "a second")


def flags(module: Module) -> list[str]:
    """Kubernetes reports the version of its release; the others don't care."""
    if module is not KUBERNETES:
        return [*PLAIN_FLAGS]
    version = source.kubernetes_version((TOOLS / module.name / "go.mod").read_text())
    return source.build_flags(version)


def digest_of(module: Module, go_version: str) -> str:
    """Names everything that the programs are made of."""
    folder = TOOLS / module.name
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    parts = [part for path in files for part in (str(path.relative_to(folder)), path.read_bytes())]
    return source.digest(*parts, *flags(module), go_version, os.uname().machine)


def build(module: Module, cache: Path) -> Path:
    """The folder with the module's programs, built now if the cache hasn't it."""
    go = source.find_go(cache, source.required_go((TOOLS / module.name / "go.mod").read_text()))
    target = cache / f"kind-{module.name}-{digest_of(module, go.version)}"
    if not target.is_dir():
        with source.locked(cache / f"{target.name}.lock"):
            if not target.is_dir():
                _build(module, go.program, target)
    return target


def module_folder(module: Module, cache: Path, path: str) -> Path:
    """Where the source of one of its dependencies lies, as `go build` unpacked it."""
    go = source.find_go(cache, source.required_go((TOOLS / module.name / "go.mod").read_text()))
    command = [str(go.program), "-C", str(TOOLS / module.name), "list", "-m", "-f", "{{.Dir}}", path]
    answer = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    folder = answer.stdout.strip()
    if answer.returncode != 0 or not folder:
        raise ClusterError(f"the source of {path} is not there: {answer.stderr.strip() or 'go list names no folder'}")
    return Path(folder)


def environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    return source.build_environment(environ)


def _build(module: Module, go: Path, target: Path) -> None:
    say(f"building {', '.join(module.programs)} from source (once; about {module.minutes} on 2 cores)")
    started = time.monotonic()
    with source.staged(target) as staging:
        command = [str(go), "build", "-C", str(TOOLS / module.name), "-v", *flags(module)]
        with subprocess.Popen(
            [*command, "-o", f"{staging}/", *module.packages],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            tail = source.report_progress(process.stdout or (), started)
        if process.returncode != 0:
            said = "\n    ".join(tail)
            raise ClusterError(f"go build ended with {process.returncode} in {TOOLS / module.name}:\n    {said}")
        for made, name in module.renamed:
            (staging / made).rename(staging / name)
        missing = [name for name in module.programs if not (staging / name).is_file()]
        if missing:
            raise ClusterError(f"go build made no {' and no '.join(missing)} in {TOOLS / module.name}")
    say(f"built in {time.monotonic() - started:.0f} s, kept in {target}")
