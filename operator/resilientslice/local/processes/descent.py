"""Which processes descend from one that was started here, and their end.

A descendant is known by the token in its environment, or by its session, whose number is that of the process that was
started: neither a fork, nor a new process group, nor the death of its parent takes both away. A name never counts, and
neither does a PID alone: PIDs are used again.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping, Set
from pathlib import Path

import psutil

TOKEN_VARIABLE = "RSLICE_PROCESS_TOKEN"  # noqa: S105 - the name of a variable
PROC = Path("/proc")
BOOT = PROC / "sys/kernel/random/boot_id"
END_SECONDS = 5.0
"""How long SIGKILL is repeated for processes that keep forking."""
POLL_SECONDS = 0.01

_TOKEN = TOKEN_VARIABLE.encode() + b"="


def birth(pid: int) -> str | None:
    """Return what no other process with this PID shares: the boot and the clock tick it was started in. None where the
    machine doesn't say, or for no process."""
    try:
        ticks = (PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[19]
        return f"{BOOT.read_text().strip()} {int(ticks)}"
    except (OSError, IndexError, ValueError):
        return None


def descendants(tokens: Set[str], sessions: Mapping[int, str]) -> dict[str, list[psutil.Process]]:
    """Return the living processes that carry one of `tokens` or belong to one of `sessions` (number → name), by token
    or name. Those of others can't be read, and are not ours."""
    found: dict[str, list[psutil.Process]] = {}
    if not tokens and not sessions:
        return found
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, OSError):
            session = os.getsid(pid)
            owner = sessions[session] if session in sessions else _token(pid)
            if (session in sessions or owner in tokens) and is_alive(process := psutil.Process(pid)):
                found.setdefault(owner or "", []).append(process)
    return found


def is_alive(process: psutil.Process) -> bool:
    """A zombie is dead, and ends with its parent."""
    return bool(process.status() != psutil.STATUS_ZOMBIE)


def is_running(pid: int) -> bool:
    try:
        return is_alive(psutil.Process(pid))
    except psutil.Error:
        return False


def send(processes: Iterable[psutil.Process], number: int) -> None:
    """Signal each, unless its PID belongs to another process now."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(number)


def end(tokens: Set[str], sessions: Mapping[int, str]) -> None:
    """Kill all descendants, also those that are forked meanwhile. Blocks until none is left, at most `END_SECONDS`."""
    deadline = time.monotonic() + END_SECONDS
    while left := descendants(tokens, sessions):
        for processes in left.values():
            send(processes, signal.SIGKILL)
        if time.monotonic() > deadline:
            return
        time.sleep(POLL_SECONDS)


def _token(pid: int) -> str | None:
    if PROC.is_dir():
        for entry in (PROC / str(pid) / "environ").read_bytes().split(b"\0"):
            if entry.startswith(_TOKEN):
                return entry.removeprefix(_TOKEN).decode("ascii", errors="replace")
        return None
    return psutil.Process(pid).environ().get(TOKEN_VARIABLE)
