"""A Redis that may be stalled and killed, and requests that are charged by a limiter before it."""

import asyncio
import contextlib
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

LIMITS = {
    "default": {"requestsPerSecond": 10, "burst": 20},
    "tenants": [
        {"name": "gold", "requestsPerSecond": 1000, "burst": 500},
    ],
    "replicas": 2,
}

PATIENT = 2.0
"""Seconds. Where Redis is well, a busy machine must not make it look ill."""


class Valkey:
    """A server of one test, which may be stalled and killed."""

    def __init__(self, folder: Path, port: int, binary: Path) -> None:
        self.port, self._folder, self._binary = port, folder, binary
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        command = [self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=self._folder)
        async with asyncio.timeout(90):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)

    def stall(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


async def ask(limiter, tenant="gold"):
    return await limiter.charge({"X-Tenant": tenant})


async def offer(limiter, *, per_second, seconds, tenant="gold", times=None):
    """Decisions, with requests sent evenly however long the answers take; `times` gets (sent, answered, allowed)."""
    loop = asyncio.get_running_loop()
    begun, answers = loop.time(), []
    tasks = set()

    async def one():
        asked = time.monotonic()
        answers.append(answer := await ask(limiter, tenant))
        if times is not None:
            times.append((asked, time.monotonic(), answer.allowed))

    sent = 0
    while (gone := loop.time() - begun) < seconds:
        while sent < gone * per_second:
            sent += 1
            task = loop.create_task(one())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(0.002)
    await asyncio.gather(*tasks)
    return answers


def admitted(answers):
    return sum(answer.allowed for answer in answers)


def modes(answers):
    return Counter(answer.mode.value for answer in answers)


async def exact_again(limiter, eventually):
    async def is_exact():
        return limiter.exact

    await eventually(is_exact)


async def degraded(limiter, eventually):
    """Asks until Redis has been given up."""

    async def is_degraded():
        await ask(limiter)
        return not limiter.exact

    await eventually(is_degraded)
