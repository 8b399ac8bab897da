"""The operators: real processes that are started, killed, frozen and thawed."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from testkit.ports import free_port


@dataclass
class Process:
    name: str
    port: int
    log: Path
    process: subprocess.Popen[bytes]
    frozen: bool = False
    ending: bool = False
    """It was told to end, or will find out that it has lost the Lease."""

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def role(self) -> str:
        """`leader`, `standby`, or empty while it doesn't answer."""
        if self.frozen or not self.alive:
            return ""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as answer:
                return str(json.loads(answer.read()).get("role", ""))
        except (HTTPError, URLError, OSError, ValueError):
            return ""


@dataclass
class Operators:
    """`ended` are those that ended though nobody had told them to, with their last words."""

    kubeconfig: Path
    folder: Path
    namespace: str
    processes: list[Process] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    stopped: bool = True
    """Nobody is to run."""
    _count: int = 0

    def start(self) -> Process:
        self.stopped = False
        self._count += 1
        name, port = f"operator-{self._count}", free_port()
        log = self.folder / f"{name}.log"
        rslice = str(Path(sys.executable).with_name("rslice"))
        command = [rslice, "operator", f"--listen=127.0.0.1:{port}", f"--namespace={self.namespace}"]
        command += [f"--lease-namespace={self.namespace}", "--lease-name=operator", "--log-level=INFO"]
        with log.open("wb") as out:
            environ = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
            process = subprocess.Popen(command, stdout=out, stderr=out, env=environ)
        made = Process(name, port, log, process)
        self.processes.append(made)
        return made

    def reap(self) -> None:
        """Take note of what has ended, and start another one where none is left, as a cluster would."""
        for one in list(self.processes):
            if not one.alive:
                self.processes.remove(one)
                code = one.process.returncode
                if not one.ending:
                    self.ended.append(f"{one.name} ended with {code}:\n{tail(one.log)}")
        if not self.stopped and not any(not one.ending for one in self.processes):
            self.start()

    def leader(self) -> Process | None:
        return next((one for one in self.processes if one.role() == "leader"), None)

    def kill(self, one: Process) -> None:
        one.ending = True
        one.process.kill()
        one.process.wait()
        self.processes.remove(one)

    def terminate(self, one: Process) -> None:
        one.ending = True
        one.process.send_signal(signal.SIGTERM)

    def freeze(self, one: Process) -> None:
        one.frozen = one.ending = True
        one.process.send_signal(signal.SIGSTOP)

    def thaw(self, one: Process) -> None:
        one.frozen = False
        one.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.stopped = True
        for one in self.processes:
            if one.frozen:
                self.thaw(one)
            one.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 30
        for one in self.processes:
            try:
                one.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                one.process.kill()
                one.process.wait()


def tail(log: Path, lines: int = 30) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
