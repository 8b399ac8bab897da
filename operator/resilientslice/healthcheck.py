"""`python -m resilientslice.healthcheck`: exit 0 if what this container runs is well, 1 with the reason if not.

Docker asks that of an image, and one image holds three programs: which of them runs is read off its command line. In
Kubernetes nobody asks; there every pod has probes of its own. Standard library only, so that asking costs milliseconds.
"""

import http.client
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROCESSES = Path("/proc")
DEFAULT_LISTEN = "0.0.0.0:8080"
"""Of `rslice operator`."""
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "::1", "": "127.0.0.1"}
_SECONDS = 3.0
_WORDS = 500


@dataclass(frozen=True, slots=True)
class Process:
    arguments: Sequence[str]
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Operator:
    """Is asked at `/healthz`: 503 there when only a restart helps."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Agent:
    """Keeps a file while it is ready."""

    ready_file: Path


def server_of(process: Process) -> Operator | Agent | None:
    """What answers for the health of a process; None if it is no server of ours, or nobody can be asked."""
    names = [Path(argument).name for argument in process.arguments]
    if ["rslice", "operator"] in (names[:2], names[1:3]):
        listen = _option(process.arguments, "--listen") or process.environ.get("RSLICE_LISTEN") or DEFAULT_LISTEN
        host, _, port = listen.rpartition(":")
        return Operator(_EVERYWHERE.get(host, host.strip("[]")), int(port))
    if "resilientslice.agent" in process.arguments:
        file = _option(process.arguments, "--ready-file")
        return Agent(Path(file)) if file else None
    return None


def _option(arguments: Sequence[str], name: str) -> str:
    """The last value that is given, as `--name value` or `--name=value`."""
    found = ""
    for at, argument in enumerate(arguments):
        if argument == name and at + 1 < len(arguments):
            found = arguments[at + 1]
        elif argument.startswith(f"{name}="):
            found = argument.removeprefix(f"{name}=")
    return found


def trouble(server: Operator | Agent) -> str:
    """Why it isn't well; empty if it is."""
    if isinstance(server, Agent):
        return "" if server.ready_file.exists() else f"the agent is not ready: {server.ready_file} does not exist"
    connection = http.client.HTTPConnection(server.host, server.port, timeout=_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        said = answer.read(_WORDS).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"the operator does not answer on {server.host}:{server.port}: {error}"
    finally:
        connection.close()
    return "" if answer.status == 200 else f"the operator answers {answer.status}: {said}"


def running(processes: Path) -> list[Process]:
    """The container's, in the order in which they were started. One that ends meanwhile is left out."""
    found = []
    for folder in sorted((path for path in processes.iterdir() if path.name.isdecimal()), key=lambda at: int(at.name)):
        try:
            arguments, environ = _strings(folder / "cmdline"), _strings(folder / "environ")
        except OSError:
            continue
        found.append(Process(arguments, dict(pair.split("=", 1) for pair in environ if "=" in pair)))
    return found


def _strings(file: Path) -> list[str]:
    return file.read_bytes().decode(errors="replace").rstrip("\0").split("\0")


def main(processes: Path = PROCESSES) -> int:
    servers = [server for process in running(processes) if (server := server_of(process)) is not None]
    if not servers:
        sys.stdout.write("no operator and no agent runs here\n")
        return 0
    words = trouble(servers[0])
    sys.stdout.write(f"{words or 'well'}\n")
    return 1 if words else 0


if __name__ == "__main__":
    sys.exit(main())
