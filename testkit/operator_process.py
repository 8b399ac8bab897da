"""The operator as a process: `rslice operator` as people start it, or another program that is one."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

from testkit.processes import answers
from testkit.waiting import StartError

START_SECONDS = 120.0
Command = Callable[[int, Path], Sequence[str]]
"""What starts an operator that listens on a port and may write to a folder."""


def rslice_operator(port: int, _: Path) -> Sequence[str]:
    rslice = str(Path(sys.executable).with_name("rslice"))
    return [rslice, "operator", f"--listen=127.0.0.1:{port}", "--lease-name=bench"]


class Operator:
    """One process of the operator. `arguments` are more of the command's."""

    def __init__(
        self,
        kubeconfig: Path,
        folder: Path,
        port: int,
        *,
        command: Command = rslice_operator,
        arguments: Sequence[str] = (),
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "operator.log"
        self._kubeconfig = kubeconfig
        self._command = [*command(port, folder), *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it is ready: everything was listed. StartError with its last words when it isn't in time."""
        with self._log.open("ab") as out:
            environ = {**os.environ, "KUBECONFIG": str(self._kubeconfig)}
            self._process = subprocess.Popen(self._command, stdout=out, stderr=out, env=environ)
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"{self.url}/readyz"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise StartError(f"the operator isn't ready:\n{self.said()}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @property
    def process(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)

    def said(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]

    def health(self) -> dict[str, Any]:
        with urlopen(f"{self.url}/readyz", timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found

    def passes(self) -> float:
        """That have ended so far."""
        return self.metric("reconciles_total")

    def metric(self, name: str) -> float:
        """Over all labels."""
        with urlopen(f"{self.url}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found = re.compile(rf"rslice_operator_{name}[ {{]")
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if found.match(line))
