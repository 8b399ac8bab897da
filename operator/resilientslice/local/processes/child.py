"""A child process with a session of its own, which ends with all that it started."""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable

from resilientslice.local.processes import descent

_log = logging.getLogger(__name__)


class Child:
    """Waits for the end of a process that was started with `start_new_session`, in a thread of its own.

    Until nothing of its session is left the dead process is not reaped, so its PID, which is the session's and the
    group's number too, can't be another's while something is killed by it. What carries `token` ends with it, too.
    """

    def __init__(self, child: "subprocess.Popen[bytes]", token: str = "") -> None:
        self._child = child
        self._token = token
        self._reaping = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._gone = asyncio.Event()
        threading.Thread(target=self._follow, name=f"wait for {child.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._child.pid

    async def wait(self) -> int:
        """Exit code, negative for a signal, once all that it started has ended."""
        await self._gone.wait()
        return self._child.wait()

    def ask(self, number: int) -> None:
        """Send a signal to the process alone. Harmless when it has ended."""
        self._signal(os.kill, number)

    def kill(self) -> None:
        """End the process and its group now; the rest follows. Harmless when it has ended."""
        self._signal(os.killpg, signal.SIGKILL)

    def _signal(self, send: Callable[[int, int], None], number: int) -> None:
        with self._reaping, contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for zombies
            if self._child.returncode is None:
                send(self._child.pid, number)

    def _follow(self) -> None:
        try:
            _until_exit(self._child)
            self.kill()
            descent.end({self._token} - {""}, {self._child.pid: self._token})
        except Exception:
            _log.exception("what process %s started may be left", self._child.pid)
        with self._reaping:
            self._child.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._gone.set)


def _until_exit(child: "subprocess.Popen[bytes]") -> None:
    """Return when it has ended, without giving its PID back where the system can do that."""
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    else:  # macOS before Python 3.13
        child.wait()
