"""The ledger of started processes, so that a runtime that was killed leaves nothing to the next one.

Each process is entered *before* it starts, under a random token that it carries in its environment, and again with
its PID and creation time once it runs. The next start ends exactly those: a PID counts only with its creation time,
because PIDs are used again; descendants, and a process started in the instant before the kill, are known by the token.
A name never counts.
"""

import contextlib
import secrets
import signal
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import psutil

from resilientslice.local.folder import StateFolder

TOKEN_VARIABLE = "RSLICE_PROCESS_TOKEN"  # noqa: S105 - the name of a variable
FILE = "processes.json"
SAME_START_SECONDS = 1.0
"""Creation times are computed from the boot time, which moves when the clock is set."""
REAP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Entry:
    """`created` in seconds since the epoch; `pid` None between the intent and the start."""

    token: str
    command: tuple[str, ...]
    stop_signal: int
    pid: int | None = None
    created: float | None = None


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
        with contextlib.suppress(psutil.NoSuchProcess):
            created = psutil.Process(pid).create_time()
            self._entries[token] = replace(self._entries[token], pid=pid, created=created)
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
    """End what an earlier runtime on this folder left running; returns the entries that still ran. Blocks for at most
    `REAP_SECONDS` and a moment: processes get their stop signal, then SIGKILL."""
    entries = [_entry(data) for data in folder.read_json(FILE) or []]
    by_token = _processes_by_token({entry.token for entry in entries})
    left: list[Entry] = []
    processes: list[psutil.Process] = []
    for entry in entries:
        found = by_token.get(entry.token, [])
        leader = _leader(entry)
        if leader is not None and leader not in found:
            found = [leader, *found]
        if found:
            left.append(entry)
            processes += found
            _signal(found, entry.stop_signal)
    _, alive = psutil.wait_procs(processes, timeout=REAP_SECONDS)
    _signal(alive, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=REAP_SECONDS)
    folder.write_json(FILE, [])
    return left


def _entry(data: dict[str, Any]) -> Entry:
    return Entry(**{**data, "command": tuple(data["command"])})


def _leader(entry: Entry) -> psutil.Process | None:
    """The process that was entered, if that PID is still the same process."""
    if entry.pid is None or entry.created is None:
        return None
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process = psutil.Process(entry.pid)
        if abs(process.create_time() - entry.created) <= SAME_START_SECONDS and not _is_dead(process):
            return process
    return None


def _processes_by_token(tokens: set[str]) -> dict[str, list[psutil.Process]]:
    """Processes that carry one of the tokens. Others' processes can't be read, and are not ours."""
    found: dict[str, list[psutil.Process]] = {}
    if not tokens:
        return found
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            token = process.environ().get(TOKEN_VARIABLE)
            if token in tokens and not _is_dead(process):
                found.setdefault(token, []).append(process)
    return found


def _is_dead(process: psutil.Process) -> bool:
    return bool(process.status() == psutil.STATUS_ZOMBIE)


def _signal(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
