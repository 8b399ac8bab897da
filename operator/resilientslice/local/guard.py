"""The guard of a runtime: a process that ends what the runtime leaves when it is killed and can't do it itself.

Runs as `python -m resilientslice.local.guard STATE_FOLDER OWNER`. Its standard input is a pipe from the runtime: a byte
dismisses it, an end without one says that the runtime is gone. Then it ends what the ledger knows, unless the next
runtime has the folder by then and does the same.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from resilientslice.local.processes.folder import StateFolder
from resilientslice.local.processes.ledger import reap

DISMISSED = b"."
END_SECONDS = 10.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Guard:
    """A started guard. `close` gives it the rest to do: nothing, after `dismiss`."""

    def __init__(self, folder: StateFolder, environment: Mapping[str, str]) -> None:
        """Raises OSError when it can't be started."""
        with (folder.logs / "guard.log").open("ab") as log:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "resilientslice.local.guard", str(folder.path), str(os.getpid())),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=folder.path,
                env=environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def dismiss(self) -> None:
        """Nothing is left for it to do."""
        if self._process.stdin:
            with contextlib.suppress(OSError, ValueError):  # it was killed, or the pipe is closed
                self._process.stdin.write(DISMISSED)
                self._process.stdin.flush()

    async def close(self) -> None:
        """Return when the guard has done what is left to it and is gone, or after `END_SECONDS`."""
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, END_SECONDS)


def main(path: Path, owner: int) -> int:
    for number in _SIGNALS:  # what ends the runtime in order ends this one too, but by the pipe
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read(1) == DISMISSED:
        return 0
    folder = StateFolder.inherit(path, owner)
    if folder is None:  # the next runtime was quicker, and does what is to be done
        return 0
    from resilientslice.local.workloads.volumes import remove_contents  # noqa: PLC0415 - most guards never need what it loads

    try:
        reap(folder)
        folder.remove_temporaries()
        remove_contents(folder.volumes)
    finally:
        folder.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
