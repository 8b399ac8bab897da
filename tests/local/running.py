"""`rslice run` as a process, and what its files say."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

RUN = (str(Path(sys.executable).with_name("rslice")), "run")
WITHIN = 90.0
"""Seconds; guards against hanging alone."""


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

    async def said(self, words: str) -> None:
        """Wait until it has printed them."""
        assert self.process.stdout
        async with asyncio.timeout(WITHIN):
            await self.process.stdout.readuntil(words.encode())

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
