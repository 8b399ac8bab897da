"""`rslice run` as its user meets it: exit codes, Ctrl-C, a kill that can't be caught, and what is left of each."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from resilientslice.local.ports import is_free

RUN = (str(Path(sys.executable).with_name("rslice")), "run")
WITHIN = 30.0


class Running:
    """A started `rslice run` and what its status file says."""

    def __init__(self, process: asyncio.subprocess.Process, state: Path) -> None:
        self.process = process
        self.state = state

    @property
    def status(self) -> dict[str, Any]:
        try:
            status: dict[str, Any] = json.loads((self.state / "status.json").read_text())
        except FileNotFoundError:
            return {}
        return status if status["pid"] == self.process.pid else {}

    @property
    def is_ready(self) -> bool:
        return bool(self.status) and self.status["status"]["phase"] == "Ready"

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN):
            while not condition():
                assert self.process.returncode is None, await self.output()
                await asyncio.sleep(0.05)

    async def output(self) -> str:
        assert self.process.stdout
        return (await self.process.stdout.read()).decode()

    def pids(self) -> list[int]:
        return [entry["pid"] for entry in json.loads((self.state / "processes.json").read_text())]

    def ports(self) -> list[int]:
        front = int(self.status["frontUrl"].rsplit(":", 1)[1])
        return [front, *(replica["port"] for replica in self.status["replicas"])]


@asynccontextmanager
async def run(files: Any, *arguments: str) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        *RUN,
        *("-f", str(files.file), "--port", "0", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Running(process, files.file.parent / ".rslice" / "tiny")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def nothing_is_left(pids: list[int], ports: list[int], state: Path) -> bool:
    return (
        not any(psutil.pid_exists(pid) for pid in pids)
        and all(is_free(port) for port in ports)
        and list((state / "run").iterdir()) == []
        and not (state / "tmp").exists()
    )


async def test_ctrl_c_ends_everything_in_order(files: Any) -> None:
    async with run(files) as running:
        await running.until(lambda: running.is_ready)
        pids, ports = running.pids(), running.ports()
        assert len(pids) == 5
        running.process.send_signal(signal.SIGINT)
        output = await running.output()
        assert await running.process.wait() == 0
        assert "stopping: services drain, then Envoy, then the stores" in output
        assert "Traceback" not in output
        assert nothing_is_left(pids, ports, running.state)


async def test_ctrl_c_while_starting_and_twice(files: Any) -> None:
    async with run(files) as running:
        await running.until((running.state / "processes.json").exists)
        running.process.send_signal(signal.SIGINT)
        running.process.send_signal(signal.SIGTERM)
        assert "Traceback" not in await running.output()
        assert await running.process.wait() == 0
        assert json.loads((running.state / "processes.json").read_text()) == []


async def test_after_kill_9_the_next_start_cleans_up_and_serves(files: Any) -> None:
    async with run(files) as running:
        await running.until(lambda: running.is_ready)
        pids, ports = running.pids(), running.ports()
        running.process.kill()
        await running.process.wait()
        assert all(psutil.pid_exists(pid) for pid in pids), "they outlive it: nothing but the next start ends them"
    async with run(files) as again:
        await again.until(lambda: again.is_ready)
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert again.ports()[0] == ports[0]
        new = again.pids()
        again.process.send_signal(signal.SIGTERM)
        output = await again.output()
        assert await again.process.wait() == 0
        assert "CleanedUp ended 5 processes that a killed runtime had left" in output
        assert nothing_is_left([*pids, *new], ports, again.state)


async def test_until_ready_is_a_check(files: Any) -> None:
    async with run(files, "--until-ready") as running:
        output = await running.output()
        assert await running.process.wait() == 0
        assert "ready: http://127.0.0.1:" in output
    files.edit("image: example.org/peer:1", "image: example.org/peer:1\n    command: [/no/such/program]")
    files.procfile.write_text("\n".join(files.procfile.read_text().splitlines()[:2]))
    async with run(files, "--until-ready", "--ready-timeout", "2") as running:
        output = await running.output()
        assert await running.process.wait() == 2
        assert "error: not settled within 2 s:" in output
        assert "command not found: /no/such/program" in output


async def test_what_is_wrong_is_said_in_a_line_each_with_exit_code_2(files: Any) -> None:
    async with run(files) as first:
        await first.until(lambda: bool(first.status))
        async with run(files) as second:
            output = await second.output()
            assert await second.process.wait() == 2
            assert f"another runtime uses it (PID {first.process.pid})" in output
            assert "Traceback" not in output
    files.file.write_text("a: &a [x, x]\nb: &b [*a, *a]\n")
    files.procfile.unlink()
    async with run(files) as running:
        output = await running.output()
        assert await running.process.wait() == 2
        assert output.startswith("error: ")
        assert "Traceback" not in output


async def test_a_reader_that_goes_away_stops_it_in_order(files: Any) -> None:
    async with run(files) as running:
        await running.until(lambda: running.is_ready)
        pids, ports = running.pids(), running.ports()
        running.process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        files.file.write_text("wrong")
        assert await running.process.wait() == 0
        assert nothing_is_left(pids, ports, running.state)
