"""One operating system process: started in a session of its own, entered in the ledger, ended with all it started."""

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resilientslice.local.ledger import TOKEN_VARIABLE, Ledger


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

    def __init__(self, command: Command, ledger: Ledger, token: str, child: asyncio.subprocess.Process) -> None:
        self._command = command
        self._ledger = ledger
        self._token = token
        self._child = child

    @classmethod
    async def start(cls, command: Command, ledger: Ledger) -> "Process":
        """CommandError when there is no such command, or it may not be run."""
        token = ledger.intend(command.argv, command.stop_signal)
        try:
            with command.log.open("ab") as log:
                child = await asyncio.create_subprocess_exec(
                    *command.argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=command.directory,
                    env={**command.environment, TOKEN_VARIABLE: token},
                    start_new_session=True,
                    pass_fds=command.descriptors,
                    user=command.user.uid if command.user else None,
                    group=command.user.gid if command.user else None,
                    extra_groups=[] if command.user else None,
                )
        except OSError as error:
            ledger.ended(token)
            raise CommandError(_explain(error, command)) from error
        ledger.started(token, child.pid)
        return cls(command, ledger, token, child)

    @property
    def pid(self) -> int:
        return self._child.pid

    async def wait(self) -> int:
        """Exit code; negative for a signal. What the process started itself ends with it."""
        code = await self._child.wait()
        self._signal_group(signal.SIGKILL)
        self._ledger.ended(self._token)
        return code

    async def stop(self) -> None:
        """Ask it to end, and kill it when its grace is over."""
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(self._command.stop_signal)
        try:
            async with asyncio.timeout(self._command.grace):
                await self._child.wait()
        except TimeoutError:
            self.kill()
        await self.wait()

    def kill(self) -> None:
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
            os.killpg(self._child.pid, number)


async def run_to_end(command: Command, ledger: Ledger) -> int:
    """Exit code of a command that ends by itself; it does not outlive the one who waits. Raises CommandError."""
    process = await Process.start(command, ledger)
    try:
        return await process.wait()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise


def exit_reason(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(-code).name}"
    return f"exited with code {code}"


def _explain(error: OSError, command: Command) -> str:
    name = command.argv[0]
    if error.errno == errno.ENOENT:
        if not command.directory.is_dir():
            return f"working directory {command.directory} does not exist"
        return f"command not found: {name}; check the procfile, or the service's `command`"
    if error.errno == errno.EACCES:
        return f"not executable: {name}; set its permission (chmod +x), or check the procfile"
    return f"can't start {name}: {error.strerror}"
