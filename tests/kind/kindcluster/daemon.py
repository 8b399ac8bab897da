"""Docker's daemon: the one that runs, or else one of our own that `cluster-down` stops again.

Only a machine without an init system is short of a daemon, and such a machine is one's own: a container or a sandbox.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import build_apiserver as source

from kindcluster.places import HERE
from kindcluster.words import ClusterError, say

# beside the cache rather than in build/, which `make clean` removes while the daemon runs
RECORD = source.cache_folder(os.environ) / "dockerd.json"
LOG = RECORD.with_suffix(".log")
WRAPPER = HERE / "runc-wrapper"
START_SECONDS = 90.0
STOP_SECONDS = 60.0
CAP_SYS_RESOURCE = 24
PACKAGES = ("docker.io", "iptables")


@dataclass(frozen=True, slots=True)
class Started:
    """A process that we started. A PID alone may be someone else's by now; with its start time it can't be."""

    pid: int
    start_ticks: int


def start_ticks(stat: str) -> int:
    """When a process started, in clock ticks since boot, from /proc/PID/stat; the name in it may hold anything."""
    return int(stat.rpartition(")")[2].split()[19])


def has_capability(status: str, number: int) -> bool:
    """Whether a capability is in the bounding set of /proc/PID/status."""
    for line in status.splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    raise ClusterError("/proc/self/status has no CapBnd line: this needs Linux")


def command(status: str) -> list[str]:
    """How to start dockerd, given this process's /proc/self/status."""
    if has_capability(status, CAP_SYS_RESOURCE):
        return ["dockerd"]
    # kind names no runtime, so it must be the default one
    return ["dockerd", f"--add-runtime=runc-possible={WRAPPER}", "--default-runtime=runc-possible"]


def answers() -> bool:
    """Whether a daemon answers the docker command."""
    if shutil.which("docker") is None:
        return False
    done = subprocess.run(["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, check=False)
    return done.returncode == 0


def ensure() -> None:
    """Return when a daemon answers: the one that runs, or one that is started now."""
    if answers():
        return
    if os.environ.get("DOCKER_HOST"):
        raise ClusterError(f"no Docker answers at DOCKER_HOST={os.environ['DOCKER_HOST']}: start it, or unset it")
    if not Path("/proc/self/status").exists() or os.geteuid() != 0:
        raise ClusterError("Docker does not answer: start it, or give this user the right to use it")
    if shutil.which("dockerd") is None:
        install(*PACKAGES)
    _start()


def install(*packages: str) -> None:
    """Install Debian packages, for root on a machine that has apt-get."""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise ClusterError(f"missing: {', '.join(packages)}: install them and try again")
    say(f"installing {', '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", "--quiet=2", *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ClusterError(f"apt-get {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


def _start() -> None:
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    say(f"starting dockerd (log: {LOG})")
    with LOG.open("wb") as log:
        process = subprocess.Popen(
            command(Path("/proc/self/status").read_text()),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    ticks = start_ticks(Path(f"/proc/{process.pid}/stat").read_text())
    RECORD.write_text(json.dumps({"pid": process.pid, "start_ticks": ticks}))
    deadline = time.monotonic() + START_SECONDS
    while not answers():
        if process.poll() is not None:
            RECORD.unlink()
            raise ClusterError(f"dockerd ended with {process.returncode}; its last words:\n{_tail()}")
        if time.monotonic() > deadline:
            raise ClusterError(f"dockerd did not answer within {START_SECONDS:.0f} s; its last words:\n{_tail()}")
        time.sleep(0.2)


def recorded() -> Started | None:
    """The daemon that we started, if it still runs."""
    try:
        started = Started(**json.loads(RECORD.read_text()))
        running = start_ticks(Path(f"/proc/{started.pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return started if running == started.start_ticks else None


def stop() -> None:
    """Stop the daemon if it is ours."""
    started = recorded()
    if started is not None:
        say("stopping dockerd, which was started here")
        os.kill(started.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while recorded() == started and not _is_zombie(started.pid):
            if time.monotonic() > deadline:
                raise ClusterError(f"dockerd (PID {started.pid}) does not end: see {LOG}")
            time.sleep(0.1)
    RECORD.unlink(missing_ok=True)


def _is_zombie(pid: int) -> bool:
    """Ended, but its parent has not noticed; nobody may ever, where PID 1 is no init."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _tail(lines: int = 15) -> str:
    return "\n".join(LOG.read_text(errors="replace").splitlines()[-lines:])
