"""However a runtime ends, everything that it started ends with it, also what ignores every request to."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.local.running import Running, run

from resilientslice.local.processes.folder import StateFolder
from resilientslice.local.runtime import LocalRuntime

Living = Callable[[], list[psutil.Process]]
Until = Callable[[Callable[[], object]], Awaitable[None]]
STUBBORN = Path(__file__).with_name("stubborn.py")
FAMILY = 5
"""Processes of one replica: itself and those it starts."""
FOR_EVER = "1h"


@pytest.fixture
def stubborn(files: Any) -> Callable[[str], None]:
    """`stubborn(grace)`: both replicas of `web` ignore what asks them to end, and have that long to do it."""

    def make(grace: str) -> None:
        files.procfile.write_text(files.procfile.read_text().replace("tiny.py 1\nweb@2", "stubborn.py\nweb@2", 1))
        files.edit("    replicas: 2", f"    replicas: 2\n    terminationGracePeriod: {grace}")

    return make


def replicas(running: Running) -> list[int]:
    return [replica["pid"] for replica in running.status["replicas"] if replica["name"].startswith("tiny-web")]


async def started(running: Running, living: Living) -> None:
    await running.until(lambda: running.is_ready)
    await running.until(lambda: sum("stubborn" in " ".join(p.cmdline()) for p in living()) >= 2 * FAMILY)


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGHUP])
async def test_one_signal_kills_what_ignores_it_after_its_grace(
    files: Any, stubborn: Callable[[str], None], living: Living, asked: int
) -> None:
    stubborn("100ms")
    async with run(files) as running:
        await started(running, living)
        os.kill(replicas(running)[0], signal.SIGSTOP)
        running.process.send_signal(asked)
        output = await running.output()
        assert await running.process.wait() == 0
    assert "Traceback" not in output
    assert living() == []


@pytest.mark.parametrize("again", [signal.SIGINT, signal.SIGTERM])
async def test_a_second_signal_waits_for_no_grace(
    files: Any, stubborn: Callable[[str], None], living: Living, again: int
) -> None:
    stubborn(FOR_EVER)
    async with run(files) as running:
        await started(running, living)
        os.kill(replicas(running)[0], signal.SIGSTOP)
        running.process.send_signal(signal.SIGINT)
        await running.said("stopping: ")
        running.process.send_signal(again)
        output = await running.output()
        assert await running.process.wait() == 0
    assert "Traceback" not in output
    assert living() == []


async def test_a_second_signal_while_it_starts(files: Any, stubborn: Callable[[str], None], living: Living) -> None:
    stubborn(FOR_EVER)
    async with run(files) as running:
        await running.until((running.state / "processes.json").exists)
        for _ in range(3):
            running.process.send_signal(signal.SIGINT)
            running.process.send_signal(signal.SIGTERM)
        output = await running.output()
        assert await running.process.wait() == 0
    assert "Traceback" not in output
    assert living() == []


async def test_a_kill_of_the_runtime_leaves_nothing(
    files: Any, stubborn: Callable[[str], None], living: Living, until: Until
) -> None:
    """Its guard ends what it can't end any more, and the next start continues from there."""
    stubborn(FOR_EVER)
    async with run(files) as running:
        await started(running, living)
        os.kill(replicas(running)[0], signal.SIGSTOP)
        ports = running.ports()
        running.process.kill()
        await running.process.wait()
    async with run(files) as again:  # waits for the guard
        await started(again, living)
        assert len([p for p in living() if "stubborn" in " ".join(p.cmdline())]) == 2 * FAMILY
        assert again.ports()[0] == ports[0]
        again.process.kill()
        await again.process.wait()
    await until(lambda: living() == [])
    assert list((again.state / "run").iterdir()) == []
    assert not (again.state / "volumes" / "secret").exists()


async def test_a_kill_of_runtime_and_guard_is_mended_by_the_next_start(
    files: Any, stubborn: Callable[[str], None], living: Living
) -> None:
    stubborn(FOR_EVER)
    async with run(files) as running:
        await started(running, living)
        before = {process.pid for process in living()}
        guard = next(p for p in living() if "resilientslice.local.guard" in p.cmdline())
        guard.kill()
        running.process.kill()
        await running.process.wait()
    files.procfile.write_text(files.procfile.read_text().replace("stubborn.py", "tiny.py 1"))
    async with run(files) as again:
        await again.said("CleanedUp ended 5 processes that a killed runtime had left")
        await again.until(lambda: again.is_ready)
        assert not before & {process.pid for process in living()}


async def test_an_error_of_the_runtime_itself_ends_everything(
    files: Any, stubborn: Callable[[str], None], living: Living
) -> None:
    stubborn("100ms")

    async def broken() -> None:
        async with LocalRuntime(files.settings) as runtime:
            await runtime.settled(90)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await broken()
    assert living() == []
    log = files.file.parent / ".rslice" / "tiny" / "logs" / "runtime.log"
    assert "ZeroDivisionError" in log.read_text()


async def test_one_that_can_not_be_ended_keeps_no_other_from_it(
    files: Any, living: Living, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    """What even its end fails for is the guard's."""

    async def stop() -> None:
        raise ZeroDivisionError

    async def broken() -> None:
        async with LocalRuntime(files.settings) as runtime:
            await runtime.settled(90)
            monkeypatch.setattr(runtime._parts.engine.fleets["tiny-peer-stable"].replicas[0], "stop", stop)

    with pytest.raises(ZeroDivisionError):
        await broken()
    await until(lambda: living() == [])


async def test_the_guard_leaves_a_folder_that_another_runtime_took(files: Any, living: Living, until: Until) -> None:
    async with LocalRuntime(files.settings) as runtime:
        await runtime.settled(90)
        guard = runtime._parts._guard
        assert guard is not None
        (runtime.state / "lock").write_text("1\n")  # as if the owner were another one by now
        guard._process.stdin.close()  # type: ignore[union-attr]
        await until(lambda: guard._process.poll() is not None)
        assert all(replica.ready for replica in runtime.replicas())
        assert runtime.pids()


async def test_a_folder_is_inherited_once_its_owner_lets_go(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    waiting = asyncio.ensure_future(asyncio.to_thread(StateFolder.inherit, folder.path, os.getpid()))
    assert StateFolder.inherit(folder.path, os.getpid() + 1) is None, "it has another owner"
    assert not waiting.done()
    folder.close()
    inherited = await waiting
    assert inherited is not None
    inherited.close()
