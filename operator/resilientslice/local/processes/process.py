"""One operating system process: started in a session of its own, entered in the ledger, ended with all it started."""

import asyncio
import contextlib
import errno
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resilientslice.local.processes import descent
from resilientslice.local.processes.child import Child
from resilientslice.local.processes.ledger import Ledger
from resilientslice.text import visible

SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class User:
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Command:
    """What to start. `environment` is complete; output is appended to `log`; `grace` in seconds between the stop
    signal and SIGKILL; `user` to run as, None for the own one."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    log: Path
    grace: float = 10
    stop_signal: int = signal.SIGTERM
    user: User | None = None
    descriptors: tuple[int, ...] = ()
    """Open files that the process takes over under the same numbers."""


class CommandError(Exception):
    """The command could not be started at all; the message says why."""


class Process:
    """A running process. Its output goes straight to the file, so that neither side waits for the other."""

    def __init__(self, command: Command, ledger: Ledger, token: str, child: Child) -> None:
        self.token = token
        self._command = command
        self._ledger = ledger
        self._child = child

    @classmethod
    def start(cls, command: Command, ledger: Ledger) -> "Process":
        """CommandError when there is no such command, or it can't be run."""
        token = ledger.intend(command.argv, command.stop_signal)
        started = None
        try:
            started = _spawn(command, token)
            ledger.started(token, started.pid)
            return cls(command, ledger, token, Child(started, token))
        except BaseException as error:
            if started is not None:
                started.kill()
                started.wait()
            ledger.ended(token)
            # ValueError: a NUL byte in a word or in a variable, half of a surrogate pair
            if isinstance(error, OSError | ValueError | subprocess.SubprocessError):
                raise CommandError(_explain(error, command)) from error
            raise

    @property
    def pid(self) -> int:
        return self._child.pid

    async def wait(self) -> int:
        """Exit code; negative for a signal. What the process started itself has ended with it."""
        code = await self._child.wait()
        self._ledger.ended(self.token)
        return code

    async def stop(self) -> None:
        """Ask it to end, and kill it when its grace is over."""
        self._child.ask(self._command.stop_signal)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._command.grace):
                await self._child.wait()
        self._child.kill()
        await self.wait()

    def kill(self) -> None:
        """End it now. Harmless when it has ended."""
        self._child.kill()


def _spawn(command: Command, token: str) -> "subprocess.Popen[bytes]":
    with command.log.open("ab") as log:
        return subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=command.directory,
            env={**command.environment, descent.TOKEN_VARIABLE: token},
            start_new_session=True,
            pass_fds=command.descriptors,
            user=command.user.uid if command.user else None,
            group=command.user.gid if command.user else None,
            extra_groups=[] if command.user else None,
        )


async def run_to_end(command: Command, ledger: Ledger) -> int:
    """Exit code of a command that ends by itself; it does not outlive the one who waits. Raises CommandError."""
    process = Process.start(command, ledger)
    try:
        return await process.wait()
    except BaseException:
        process.kill()
        await process.wait()
        raise


def exit_reason(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(-code).name}"
    return f"exited with code {code}"


def _explain(error: Exception, command: Command) -> str:
    name = visible(command.argv[0], SHOWN_CHARACTERS)
    if not isinstance(error, OSError):
        return f"can't start {name}: {error}; check the command and its variables"
    if error.filename == str(command.log):
        return f"can't write the log {command.log}: {error.strerror}"
    if error.errno == errno.ENOENT and not command.directory.is_dir():
        return f"working directory {command.directory} does not exist"
    known = {
        errno.ENOENT: f"command not found: {name}; check the procfile, or the service's `command`",
        errno.EACCES: f"not executable: {name}; set its permission (chmod +x), or check the procfile",
        errno.ENOEXEC: f"can't start {name}: neither a program of this machine nor a script that begins with `#!`",
    }
    return known.get(error.errno or 0, f"can't start {name}: {error.strerror}")
