"""What is wrong with one replica, store or file is said, and ends neither the others nor the watch over itself."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.local.running import run

from resilientslice.local.errors import LocalError
from resilientslice.local.processes.folder import StateFolder
from resilientslice.local.processes.ledger import Ledger
from resilientslice.local.processes.process import Command
from resilientslice.local.processes.report import Journal, ReplicaState
from resilientslice.local.processes.supervisor import Report, Supervised
from resilientslice.local.runtime import LocalRuntime

Fetch = Callable[..., Awaitable[tuple[int, dict[str, str]]]]
Until = Callable[[Callable[[], object]], Awaitable[None]]
AWFUL = """\
import os, socketserver
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(4096)
        self.request.sendall(b"HTTP/1.1 503 No\\r\\nContent-Length: 5\\r\\n\\r\\n\\xff\\x1b[2J")
os.write(1, b"\\xff" * 99999)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
Server((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"""
"""Neither its readiness nor its log is text, and its log has no line."""


async def test_an_answer_that_is_no_text_keeps_a_replica_unready_and_watched(files: Any) -> None:
    files.edit("\n  canary:", "\n  - {name: awful, image: 'a:1', port: 8080, replicas: 1}\n  canary:")
    script = files.file.with_name("awful.py")
    script.write_text(AWFUL)
    files.procfile.write_text(files.procfile.read_text() + f"awful: python {script}\n")
    async with run(files) as running:

        def replica(name: str) -> dict[str, Any]:
            found: dict[str, Any] = next((r for r in running.status.get("replicas", ()) if r["name"] == name), {})
            return found

        await running.until(lambda: replica("tiny-web-stable-0").get("state") == "ready")
        await running.until(lambda: "503" in str(replica("tiny-awful-stable-0").get("message", "")))
        first = replica("tiny-awful-stable-0")["pid"]
        os.kill(first, 9)
        await running.until(lambda: replica("tiny-awful-stable-0").get("pid") not in (None, first))
        running.process.terminate()
        output = await running.output()
        assert await running.process.wait() == 0
    assert "Restarting tiny-awful-stable-0: ended by SIGKILL" in output
    assert "Traceback" not in output
    assert "\x1b" not in output


class Broken:
    """A health that fails until it is mended."""

    def __init__(self) -> None:
        self.asked = 0
        self.mended = False

    async def watch(self, report: Report) -> str:
        self.asked += 1
        if not self.mended:
            report(True, "")
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text")
        report(True, "")
        return await Quiet().watch(report)


class Quiet:
    async def watch(self, report: Report) -> str:
        report(True, "")
        await asyncio.Event().wait()
        return ""


def command(folder: StateFolder) -> Command:
    return Command(("sleep", "300"), {"PATH": os.environ["PATH"]}, folder.path, folder.logs / "x.log", grace=5)


async def test_a_health_that_fails_is_asked_again_and_ends_no_process(
    folder: StateFolder, ledger: Ledger, until: Until
) -> None:
    health = Broken()
    one = Supervised("x", lambda: command(folder), health, ledger=ledger, journal=Journal(), changed=lambda: None)
    one.start()
    await until(lambda: one.state is ReplicaState.NOT_READY)
    pid = one.pid
    assert "UnicodeDecodeError" in one.message
    health.mended = True
    await until(lambda: one.ready)
    assert (one.pid, one.restarts) == (pid, 0)
    await one.stop()


async def test_what_fails_to_start_or_to_be_told_is_tried_again(
    folder: StateFolder, ledger: Ledger, until: Until
) -> None:
    journal, failures = Journal(), [KeyError("no such thing"), ValueError("half of it"), LocalError("not installed")]

    def listener(_: object) -> None:
        raise UnicodeEncodeError("ascii", "…", 0, 1, "a terminal that knows no …")

    journal.listeners.append(listener)

    def made() -> Command:
        if failures:
            raise failures.pop()
        return command(folder)

    one = Supervised("x", made, Quiet(), ledger=ledger, journal=journal, changed=lambda: None)
    one.start()
    await until(lambda: one.ready)
    assert one.restarts == 3
    said = [event.message for event in journal.events]
    assert [words in text for words, text in zip(("not installed", "half of it", "no such thing"), said, strict=True)]
    await one.stop()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("a\0b", "can't start"),
        ("\udcff\ud800", "can't start"),
        ("x" * 300_000, "can't start"),
        ("script", "neither a program of this machine nor a script"),
        (".", "not executable"),
    ],
)
async def test_what_can_not_be_run_is_named(
    folder: StateFolder, ledger: Ledger, until: Until, word: str, said: str
) -> None:
    script = folder.path / "script"
    script.write_bytes(b"\xff\xfe")
    script.chmod(0o755)
    argv = (str(script),) if word == "script" else (word, word)
    wrong = Command(argv, {"PATH": os.environ["PATH"]}, folder.path, folder.logs / "x.log")
    one = Supervised("x", lambda: wrong, Quiet(), ledger=ledger, journal=Journal(), changed=lambda: None)
    one.start()
    await until(lambda: one.restarts)
    assert said in one.message
    assert len(one.message) < 500
    await one.stop()
    assert ledger.pids() == []


STATE_FILES = ("processes.json", "ports.json", "term.json", "memory.json", "slice.json")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b"[1]", b'"x"', b'{"a": {}}'])
async def test_a_state_file_that_is_damaged_is_named(files: Any, content: bytes) -> None:
    async with LocalRuntime(files.settings) as runtime:
        await runtime.settled(90)
        state = runtime.state
    for name in STATE_FILES:
        good = (state / name).read_bytes()
        (state / name).write_bytes(content)
        with pytest.raises(LocalError, match=f"{name}: "):
            async with LocalRuntime(files.settings):
                pass
        (state / name).write_bytes(good)
    (state / "temporaries").write_bytes(b"\xff\0rslice-x\n")
    (state / "lock").write_bytes(b"\xff\xfe")
    async with LocalRuntime(files.settings) as runtime:
        await runtime.settled(90)
    assert json.loads((state / "processes.json").read_text()) == []


@pytest.mark.parametrize("suffix", [".yaml", ".procfile", ".env"])
async def test_a_file_that_is_no_text_is_refused_and_what_runs_goes_on(files: Any, fetch: Fetch, suffix: str) -> None:
    async with LocalRuntime(files.settings) as runtime:
        await runtime.settled(90)
        pids = runtime.pids()
        path: Path = files.file.with_suffix(suffix)
        path.write_bytes(path.read_bytes() + b"\n# \xff\n")
        assert "not UTF-8" in await runtime.reload()
        assert runtime.pids() == pids
        assert (await fetch(runtime.front_url))[0] == 200
