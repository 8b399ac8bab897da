"""Keeps one command running: starts it, follows its health, restarts it with back-off, stops it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from resilientslice.local.errors import LocalError
from resilientslice.local.processes.ledger import Ledger
from resilientslice.local.processes.logs import tail
from resilientslice.local.processes.process import Command, CommandError, Process, exit_reason
from resilientslice.local.processes.report import Journal, ReplicaState
from resilientslice.text import visible

HEALTH_RETRY_SECONDS = 1.0
LAST_LINES = 3
LINE_CHARACTERS = 200
FIRST_SECONDS = 0.25
MAX_SECONDS = 30.0
STABLE_SECONDS = 20.0
"""A process that ran this long starts over with the shortest wait."""
CRASH_LOOP = 3
"""This many ends in a row, none after a stable run, are called a crash loop."""
_log = logging.getLogger(__name__)

Report = Callable[[bool, str], None]


class Health(Protocol):
    async def watch(self, report: Report) -> str:
        """Calls `report(ready, why not)` on each change. Returns, if ever, why the process must be restarted."""
        ...


@dataclass(frozen=True, slots=True)
class BackOff:
    """`failures` in a row."""

    failures: int = 0

    def after_run(self, seconds: float) -> "BackOff":
        return BackOff(1) if seconds >= STABLE_SECONDS else replace(self, failures=self.failures + 1)

    @property
    def delay(self) -> float:
        """Seconds to wait now."""
        return min(MAX_SECONDS, FIRST_SECONDS * 2 ** min(self.failures - 1, 16)) if self.failures else 0.0

    @property
    def crash_loop(self) -> bool:
        return self.failures >= CRASH_LOOP


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

    @property
    def token(self) -> str:
        """What descends from the process that runs carries this token; empty between two tries."""
        return self._process.token if self._process else ""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self.name)

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

    async def _run(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            why = await self._try_once()
            if self._stopping.is_set():
                return
            self.restarts += 1
            self._back_off = self._back_off.after_run(time.monotonic() - began)
            self._set(ReplicaState.BACK_OFF, why)
            reason = "CrashLoopBackOff" if self._back_off.crash_loop else "Restarting"
            self._journal.warning(reason, f"{self.name}: {why}; next try in {self._back_off.delay:g} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._back_off.delay):
                    await self._stopping.wait()

    async def _try_once(self) -> str:
        """Why it is no longer running. Whatever fails ends this try alone, and with it the process."""
        try:
            process = Process.start(command := self._command(), self._ledger)
        except (CommandError, LocalError, OSError) as error:
            return str(error)
        except Exception as error:
            _log.exception("%s can't be started", self.name)
            return f"can't be started, an internal error: {error!r}"
        self._process = process
        try:
            return await self._follow(process, command)
        except Exception as error:
            _log.exception("%s can't be followed", self.name)
            return f"restarted, for an internal error: {error!r}"
        finally:
            process.kill()
            await process.wait()
            self._process = None

    async def _follow(self, process: Process, command: Command) -> str:
        """Why it ended, or was ended because it was not alive."""
        self._set(ReplicaState.STARTING, "starting")
        health = asyncio.create_task(self._watch_health())
        ended = asyncio.create_task(process.wait())
        try:
            await asyncio.wait((health, ended), return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return "; ".join([exit_reason(ended.result()), *_last_words(command)])
            why = f"restarted: {health.result()}"
            self._set(ReplicaState.NOT_READY, why)
            await process.stop()
            return why
        finally:
            for task in (health, ended):
                task.cancel()
            await asyncio.wait((health, ended))

    async def _watch_health(self) -> str:
        """Why it must be restarted. An error of the health check itself is none of the process: it is asked again."""
        while True:
            try:
                return await self._health.watch(self._report)
            except Exception as error:
                _log.exception("the health of %s can't be told", self.name)
                self._report(False, f"its health can't be told, an internal error: {error!r}")
            await asyncio.sleep(HEALTH_RETRY_SECONDS)

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
    try:
        lines = tail(command.log, LAST_LINES)
    except OSError as error:
        return [f"{command.log.name} can't be read: {error.strerror}"]
    shown = [visible(line, LINE_CHARACTERS) for line in lines]
    return [f"last lines of {command.log.name}: " + " | ".join(shown)] if shown else []
