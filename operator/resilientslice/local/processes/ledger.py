"""The ledger of started processes, so that a runtime that was killed leaves nothing running.

Each process is entered *before* it starts, under a random token that it carries in its environment, and again with
its PID and birth once it runs. The guard, or the next start, ends exactly those: a PID counts only with its birth;
descendants, and a process started in the instant before the kill, are known by the token.
"""

import contextlib
import secrets
import signal
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import psutil

from resilientslice.local.processes import descent
from resilientslice.local.processes.folder import StateFolder

FILE = "processes.json"
SAME_START_SECONDS = 1.0
"""Where only a creation time is known: it is computed from the boot time, which moves when the clock is set."""
REAP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Entry:
    """`created` in seconds since the epoch, `birth` as in `descent`; all None between the intent and the start."""

    token: str
    command: tuple[str, ...]
    stop_signal: int
    pid: int | None = None
    created: float | None = None
    birth: str | None = None


class Ledger:
    """Kept in memory and written through. A full disk doesn't stop a process: `problem` says so until it is written."""

    def __init__(self, folder: StateFolder) -> None:
        self._folder = folder
        self._entries: dict[str, Entry] = {}
        self.problem = ""

    def intend(self, command: Iterable[str], stop_signal: int = signal.SIGTERM) -> str:
        """Enter a process that is about to start; returns the token for its environment."""
        token = secrets.token_hex(16)
        self._entries[token] = Entry(token, tuple(command), stop_signal)
        self._write()
        return token

    def started(self, token: str, pid: int) -> None:
        with contextlib.suppress(psutil.Error):
            created = psutil.Process(pid).create_time()
            birth = descent.birth(pid)
            self._entries[token] = replace(self._entries[token], pid=pid, created=created, birth=birth)
            self._write()

    def ended(self, token: str) -> None:
        if self._entries.pop(token, None) is not None:
            self._write()

    def pids(self) -> list[int]:
        return [entry.pid for entry in self._entries.values() if entry.pid is not None]

    def retry(self) -> None:
        """Write down what could not be written before."""
        if self.problem:
            self._write()

    def _write(self) -> None:
        try:
            self._folder.write_json(FILE, [asdict(entry) for entry in self._entries.values()])
            self.problem = ""
        except OSError as error:
            self.problem = f"cannot record processes in {self._folder.path / FILE}: {error.strerror}"


def reap(folder: StateFolder) -> list[Entry]:
    """End what an earlier runtime on this folder left running; returns the entries that still ran. Processes get their
    stop signal, then SIGKILL with all that they started. Blocks for at most twice `REAP_SECONDS` and some more.
    """
    entries = folder.read_as(FILE, _entries) or []
    tokens = {entry.token for entry in entries}
    found = descent.descendants(tokens, _sessions(entries))
    for entry in entries:
        descent.send(found.get(entry.token, ()), entry.stop_signal)
    _, alive = psutil.wait_procs([one for each in found.values() for one in each], timeout=REAP_SECONDS)
    if alive:
        forked = descent.descendants(tokens, _sessions(entries))
        descent.send([*alive, *(one for each in forked.values() for one in each)], signal.SIGKILL)
        psutil.wait_procs(alive, timeout=REAP_SECONDS)
    descent.end(tokens, {})
    folder.write_json(FILE, [])
    return [entry for entry in entries if entry.token in found]


def _sessions(entries: Iterable[Entry]) -> dict[int, str]:
    """The sessions whose leader lives, since a number that nobody holds may be another's."""
    return {leader.pid: entry.token for entry in entries if (leader := _leader(entry)) is not None}


def _entries(data: Any) -> list[Entry]:
    return [Entry(**{**one, "command": tuple(one["command"])}) for one in data]


def _leader(entry: Entry) -> psutil.Process | None:
    """The process that was entered, if that PID is still the same process."""
    if entry.pid is None or entry.created is None:
        return None
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(entry.pid)
        if _is_same(entry, process) and descent.is_alive(process):
            return process
    return None


def _is_same(entry: Entry, process: psutil.Process) -> bool:
    birth = descent.birth(process.pid)
    if entry.birth is not None and birth is not None:
        return entry.birth == birth
    return entry.created is not None and abs(process.create_time() - entry.created) <= SAME_START_SECONDS
