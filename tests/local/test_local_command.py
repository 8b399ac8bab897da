"""`rslice run` as its user meets it: exit codes, Ctrl-C, a kill that can't be caught, and what is left of each."""

import json
import signal
from pathlib import Path
from typing import Any

import psutil
from tests.local.running import run

from resilientslice.local.processes.ports import is_free


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


async def test_until_ready_is_a_check(files: Any) -> None:
    async with run(files, "--until-ready") as running:
        output = await running.output()
        assert await running.process.wait() == 0
        assert "ready: http://127.0.0.1:" in output
    files.edit("image: example.org/peer:1", "image: example.org/peer:1\n    command: [/no/such/program]")
    files.procfile.write_text("\n".join(files.procfile.read_text().splitlines()[:2]))
    async with run(files, "--until-ready", "--ready-timeout", "15") as running:
        output = await running.output()
        assert await running.process.wait() == 2
        assert "error: not settled within 15 s:" in output
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
