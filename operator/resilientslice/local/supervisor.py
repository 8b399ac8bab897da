"""Keeps one command running: starts it, follows its health, restarts it with back-off, stops it."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Protocol

from resilientslice.local.backoff import BackOff
from resilientslice.local.ledger import Ledger
from resilientslice.local.logs import tail
from resilientslice.local.process import Command, CommandError, Process, exit_reason
from resilientslice.local.report import Journal, ReplicaState

Report = Callable[[bool, str], None]


class Health(Protocol):
    async def watch(self, report: Report) -> str:
        """Calls `report(ready, why not)` on each change. Returns, if ever, why the process must be restarted."""
        ...


class Supervised:
    """One process that should run. `run()` is its life; `stop()` ends it. State is read by others at any time."""

    def __init__(
        self,
        name: str,
        command: Callable[[], Command],
        health: Health,
        *,
        ledger: Ledger,
        journal: Journal,
        changed: Callable[[], None],
    ) -> None:
        self.name = name
        self.state = ReplicaState.STARTING
        self.message = "starting"
        self.restarts = 0
        self.readied = asyncio.Event()
        """Set once it was ready for the first time."""
        self._command = command
        self._health = health
        self._ledger = ledger
        self._journal = journal
        self._changed = changed
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self._back_off = BackOff()
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def ready(self) -> bool:
        return self.state is ReplicaState.READY

    @property
    def crash_loop(self) -> bool:
        return self._back_off.crash_loop

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self.name)
        self._task.add_done_callback(self._failed)

    async def stop(self) -> None:
        """Ask the process to end, kill it after its grace, and return when it is gone."""
        self._stopping.set()
        self._set(ReplicaState.DRAINING, "stopping")
        if self._process:
            await self._process.stop()
        if self._task:
            await self._task
        self._set(ReplicaState.STOPPED, "")

    def drain(self) -> None:
        """No longer ready, but running: its requests are still being answered."""
        self._set(ReplicaState.DRAINING, "draining")

    def kill(self) -> None:
        """End it now; `stop()` returns soon after."""
        self._stopping.set()
        if self._process:
            self._process.kill()

    def _failed(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._journal.warning("InternalError", f"{self.name} is no longer looked after: {error!r}")

    async def _run(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            why = await self._run_once()
            if self._stopping.is_set():
                return
            self.restarts += 1
            self._back_off = self._back_off.after_run(time.monotonic() - began)
            self._set(ReplicaState.BACK_OFF, why)
            reason = "CrashLoop" if self._back_off.crash_loop else "Restarting"
            self._journal.warning(reason, f"{self.name}: {why}; next try in {self._back_off.delay:g} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._back_off.delay):
                    await self._stopping.wait()

    async def _run_once(self) -> str:
        """Why it is no longer running."""
        try:
            command = self._command()
            process = await Process.start(command, self._ledger)
        except (CommandError, OSError) as error:
            return str(error)
        self._process = process
        self._set(ReplicaState.STARTING, "starting")
        if self._stopping.is_set():  # asked to stop while it was being started
            await process.stop()
        health = asyncio.create_task(self._health.watch(self._report))
        ended = asyncio.create_task(process.wait())
        await asyncio.wait((health, ended), return_when=asyncio.FIRST_COMPLETED)
        why = ""
        if not ended.done():
            why = f"restarted: {health.result()}"
            self._set(ReplicaState.NOT_READY, why)
            await process.stop()
        health.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await health
        code = await ended
        self._process = None
        return why or "; ".join([exit_reason(code), *_last_words(command)])

    def _report(self, ready: bool, why: str) -> None:
        if self.state in (ReplicaState.DRAINING, ReplicaState.STOPPED):
            return
        if ready:
            self.readied.set()
            self._set(ReplicaState.READY, "")
        else:
            self._set(ReplicaState.NOT_READY if self.state is ReplicaState.READY else self.state, why)

    def _set(self, state: ReplicaState, message: str) -> None:
        if (state, message) != (self.state, self.message):
            changed = state is not self.state
            self.state, self.message = state, message
            if changed:
                self._changed()


def _last_words(command: Command) -> list[str]:
    lines = tail(command.log, 3)
    return [f"last lines of {command.log.name}: " + " | ".join(line[:200] for line in lines)] if lines else []
