"""Processes are started, watched, restarted and ended; and a killed runtime leaves nothing to the next."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from resilientslice.local.processes import descent, supervisor
from resilientslice.local.processes.descent import TOKEN_VARIABLE
from resilientslice.local.processes.folder import StateFolder
from resilientslice.local.processes.ledger import FILE, Ledger, reap
from resilientslice.local.processes.process import Command, Process
from resilientslice.local.processes.report import Journal, ReplicaState
from resilientslice.local.processes.supervisor import Report, Supervised

Until = Callable[[Callable[[], object]], Awaitable[None]]
SLEEP = "import time; time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
WITH_CHILD = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', '{SLEEP}']); time.sleep(60)"


class Always:
    """Healthy at once; `dies` says that it is not alive when set."""

    def __init__(self) -> None:
        self.dies = asyncio.Event()

    async def watch(self, report: Report) -> str:
        report(True, "")
        await self.dies.wait()
        self.dies.clear()
        return "not alive: test"


def supervised(
    folder: StateFolder, ledger: Ledger, code: str, *, health: Always | None = None, grace: float = 5, argv: str = ""
) -> tuple[Supervised, Journal]:
    journal = Journal()
    command = Command(
        argv=(argv,) if argv else (sys.executable, "-c", code),
        environment={"PATH": os.environ["PATH"]},
        directory=folder.path,
        log=folder.logs / "x.log",
        grace=grace,
    )
    one = Supervised("x", lambda: command, health or Always(), ledger=ledger, journal=journal, changed=lambda: None)
    return one, journal


async def test_restarts_what_dies_with_growing_waits_and_shows_its_last_words(
    folder: StateFolder, ledger: Ledger, until: Until
) -> None:
    one, journal = supervised(folder, ledger, "print('first'); print('no database!'); raise SystemExit(3)")
    one.start()
    await until(lambda: one.crash_loop)
    assert one.state is ReplicaState.BACK_OFF
    assert "exited with code 3" in one.message
    assert "last lines of x.log" in one.message
    assert "no database!" in one.message
    assert [e.reason for e in journal.events] == ["Restarting", "Restarting", "CrashLoopBackOff"]
    assert [e.message.rsplit(";", 1)[1] for e in journal.events] == [
        " next try in 0.25 s",
        " next try in 0.5 s",
        " next try in 1 s",
    ]
    await one.stop()
    assert one.state is ReplicaState.STOPPED
    assert folder.read_json(FILE) == []


async def test_a_signal_and_a_missing_command_are_named(folder: StateFolder, ledger: Ledger, until: Until) -> None:
    one, _ = supervised(folder, ledger, SLEEP)
    one.start()
    await until(lambda: one.ready)
    assert one.pid
    os.kill(one.pid, signal.SIGKILL)
    await until(lambda: one.restarts == 1)
    assert one.message == "ended by SIGKILL"
    await until(lambda: one.ready)
    await one.stop()
    missing, _ = supervised(folder, ledger, "", argv="no-such-program")
    missing.start()
    await until(lambda: missing.restarts)
    assert missing.message == "command not found: no-such-program; check the procfile, or the service's `command`"
    await missing.stop()
    script = folder.path / "script"
    script.write_text("")
    refused, _ = supervised(folder, ledger, "", argv=str(script))
    refused.start()
    await until(lambda: refused.restarts)
    assert refused.message.startswith("not executable: ")
    await refused.stop()


async def test_what_is_not_alive_is_restarted(folder: StateFolder, ledger: Ledger, until: Until) -> None:
    health = Always()
    one, _ = supervised(folder, ledger, SLEEP, health=health)
    one.start()
    await until(lambda: one.ready)
    first = one.pid
    health.dies.set()
    await until(lambda: one.restarts == 1 and one.ready)
    assert one.pid != first
    await one.stop()


async def test_stop_waits_for_its_grace_then_kills_with_all_descendants(
    folder: StateFolder, ledger: Ledger, until: Until
) -> None:
    stubborn, _ = supervised(folder, ledger, STUBBORN, grace=0.2)
    stubborn.start()
    await until(lambda: (folder.logs / "x.log").exists() and "up" in (folder.logs / "x.log").read_text())
    await stubborn.stop()
    assert stubborn.pid is None
    parent, _ = supervised(folder, ledger, WITH_CHILD)
    parent.start()
    await until(lambda: parent.pid and psutil.Process(parent.pid).children())
    assert parent.pid
    child = psutil.Process(parent.pid).children()[0]
    await parent.stop()
    await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


ELSEWHERE = (
    "import os, subprocess, sys, time;"
    f"subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True);"
    f"subprocess.Popen([sys.executable, '-c', {SLEEP!r}], process_group=0, env={{}});"
)


@pytest.mark.parametrize("end", ["raise SystemExit(3)", "os.kill(os.getpid(), 9)"])
async def test_what_it_leaves_in_other_sessions_and_groups_ends_with_it(
    folder: StateFolder, ledger: Ledger, living: Callable[[], list[psutil.Process]], until: Until, end: str
) -> None:
    one, _ = supervised(folder, ledger, ELSEWHERE + end)
    one.start()
    await until(lambda: one.restarts == 1)
    assert living() == []
    await one.stop()


async def test_what_stands_still_is_killed_after_its_grace(folder: StateFolder, ledger: Ledger, until: Until) -> None:
    one, _ = supervised(folder, ledger, SLEEP, grace=0.1)
    one.start()
    await until(lambda: one.ready)
    assert one.pid
    os.kill(one.pid, signal.SIGSTOP)
    await one.stop()
    assert ledger.pids() == []


async def test_a_kill_ends_the_wait_of_a_stop(folder: StateFolder, ledger: Ledger, until: Until) -> None:
    one, _ = supervised(folder, ledger, STUBBORN, grace=3600)
    one.start()
    await until(lambda: (folder.logs / "x.log").exists() and "up" in (folder.logs / "x.log").read_text())
    stopping = asyncio.create_task(one.stop())
    await until(lambda: one.state is ReplicaState.DRAINING)
    one.kill()
    await stopping
    one.kill()
    assert ledger.pids() == []


def test_a_loop_that_ends_early_leaves_nothing(
    folder: StateFolder, ledger: Ledger, living: Callable[[], list[psutil.Process]]
) -> None:
    """As by an error that nobody caught: nobody says stop."""

    async def main() -> None:
        one, _ = supervised(folder, ledger, ELSEWHERE + STUBBORN, grace=3600)
        one.start()
        while not one.ready:
            await asyncio.sleep(0.01)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())
    assert living() == []


async def test_a_number_that_was_given_back_is_signalled_no_more(
    folder: StateFolder, ledger: Ledger, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process.start(supervised(folder, ledger, "pass")[0]._command(), ledger)
    assert await process.wait() == 0
    sent: list[tuple[int, int]] = []
    for name in ("kill", "killpg"):
        monkeypatch.setattr(os, name, lambda *asked: sent.append(asked))
    process.kill()
    await process.stop()
    assert sent == []


async def test_stop_ends_a_wait_however_long(
    folder: StateFolder, ledger: Ledger, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FIRST_SECONDS", "MAX_SECONDS"):
        monkeypatch.setattr(supervisor, name, 3600.0)
    one, _ = supervised(folder, ledger, "raise SystemExit(1)")
    one.start()
    await until(lambda: one.state is ReplicaState.BACK_OFF)
    await one.stop()
    assert one.restarts == 1


def start(code: str, token: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, TOKEN_VARIABLE: token}, start_new_session=True
    )


@pytest.fixture
def stranger() -> object:
    with subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True) as process:
        yield process
        process.kill()


def test_the_next_start_ends_exactly_what_was_left(
    folder: StateFolder, tmp_path: Path, stranger: "subprocess.Popen[bytes]"
) -> None:
    """Known by PID and creation time, or by token where the kill came before the PID was written."""
    ledger = Ledger(folder)
    known, early = ledger.intend([sys.executable]), ledger.intend([sys.executable])
    with start(WITH_CHILD, known) as first, start(STUBBORN, early) as second:
        ledger.started(known, first.pid)
        left = {entry.token for entry in reap(folder)}
        assert left == {known, early}
        assert not psutil.pid_exists(first.pid)
        assert not psutil.pid_exists(second.pid)
    assert stranger.poll() is None
    assert folder.read_json(FILE) == []
    assert reap(folder) == []


def test_a_pid_that_belongs_to_another_process_now_is_left_alone(
    folder: StateFolder, stranger: "subprocess.Popen[bytes]"
) -> None:
    created = psutil.Process(stranger.pid).create_time()
    entry = {"token": "t", "command": ["x"], "stop_signal": 15, "pid": stranger.pid, "created": created - 100}
    sooner = entry | {"created": created - 0.01, "birth": f"{descent.birth(stranger.pid)}1"}
    for known in (entry, sooner):
        folder.write_json(FILE, [known])
        assert reap(folder) == []
        assert stranger.poll() is None


def test_a_ledger_without_births_is_read_too(folder: StateFolder) -> None:
    """As an earlier version wrote it."""
    with start(STUBBORN, "not the token") as process:
        created = psutil.Process(process.pid).create_time()
        entry = {"token": "t", "command": ["x"], "stop_signal": 9, "pid": process.pid, "created": created}
        folder.write_json(FILE, [entry])
        assert [one.token for one in reap(folder)] == ["t"]
        assert not psutil.pid_exists(process.pid)


async def test_a_full_disk_does_not_stop_a_start_but_is_said(
    folder: StateFolder, ledger: Ledger, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "write_json", full)
    one, _ = supervised(folder, ledger, SLEEP)
    one.start()
    await until(lambda: one.ready)
    assert "No space left on device" in ledger.problem
    monkeypatch.undo()
    await one.stop()
    assert ledger.problem == ""
