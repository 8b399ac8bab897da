"""Carries out what `ads_state` decides: messages to streams, timers, verdicts to waiting callers, the copy on disk."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from resilientslice.agent.ads_channel import Request
from resilientslice.agent.ads_state import (
    Accepted,
    Event,
    GiveUp,
    Output,
    Push,
    Rejected,
    Settled,
    Stale,
    State,
    Superseded,
    Tick,
    Verdict,
    admit,
    step,
    waiting_for,
)
from resilientslice.agent.ads_stream import Send, WakeAt
from resilientslice.agent.metrics import AgentMetrics
from resilientslice.agent.resources import Config
from resilientslice.agent.store import Stored, save

_log = structlog.get_logger("resilientslice.agent")


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No verdict in time; the configuration is kept, and given to Envoy when it asks. `waiting` says for what."""

    waiting: str


@dataclass(frozen=True, slots=True)
class Durability:
    """Whether the accepted configuration is on disk; if not, why."""

    durable: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a push. `durability` counts for an accepted one only."""

    outcome: Verdict | Stale | Unanswered
    durability: Durability = Durability()


class Installer:
    """The one owner of the state. Everything happens on one event loop, an event at a time."""

    def __init__(self, state: State, state_dir: Path, metrics: AgentMetrics) -> None:
        self.state = state
        self.metrics = metrics
        self.durability = Durability()
        self._state_dir = state_dir
        self._waiters: dict[str, set[asyncio.Future[Verdict]]] = {}
        self._queues: dict[int, asyncio.Queue[Send]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._saving = asyncio.Lock()
        self._saved: Stored | None = None
        self.draining = False
        self.on_ready: Callable[[bool], None] = _ignore
        self._told = False

    def remember(self, stored: Stored) -> None:
        """What was found in the state folder at the start: it need not be saved."""
        self._saved = stored

    def queue(self, stream: int) -> asyncio.Queue[Send]:
        """The messages to write on a stream."""
        return self._queues.setdefault(stream, asyncio.Queue())

    def forget(self, stream: int) -> None:
        self._queues.pop(stream, None)

    def dispatch(self, event: Event) -> None:
        """Take an event and carry out what follows from it."""
        before = self.state.rejected
        self.state, outputs = step(self.state, event, asyncio.get_running_loop().time())
        self._count(event)
        for output in outputs:
            self._carry_out(output)
        self._tell()
        if self.state.rejected.keys() - before.keys():
            self._spawn(self._persist_quietly())

    async def push(self, config: Config, *, seconds: float, retry: bool) -> Result:
        """Install a configuration and wait up to `seconds` for Envoy's verdict."""
        loop = asyncio.get_running_loop()
        begun = time.perf_counter()
        outcome = admit(self.state, config, retry=retry)
        if outcome is not None:
            return Result(outcome)
        waiter: asyncio.Future[Verdict] = loop.create_future()
        self._waiters.setdefault(config.digest, set()).add(waiter)
        known = self.state.good is not None and self.state.good.digest == config.digest
        self.dispatch(Push(config))
        try:
            async with asyncio.timeout(seconds):
                verdict = await waiter
        except TimeoutError:
            waiting = waiting_for(self.state)
            self._stop_waiting(config.digest, waiter)
            if config.digest not in self._waiters:
                self.dispatch(GiveUp(config.digest))
            return Result(Unanswered(waiting))
        if isinstance(verdict, Accepted):
            if not known:
                self.metrics.installs.observe(time.perf_counter() - begun)
            return Result(verdict, await self._persist())
        return Result(verdict)

    def offer(self, config: Config) -> Stale | Verdict | None:
        """Install a configuration without waiting; a push need not wait for it. Not None: why it was not taken."""
        outcome = admit(self.state, config)
        if outcome is None:
            self.dispatch(Push(config))
            if config.digest not in self._waiters:
                self.dispatch(GiveUp(config.digest))
        return outcome

    def begin_draining(self) -> None:
        """From now on the agent is not ready, whatever Envoy runs."""
        self.draining = True
        self._tell()

    @property
    def ready(self) -> bool:
        return self.state.ready and not self.draining

    def _tell(self) -> None:
        if self.ready != self._told:
            self._told = self.ready
            self.on_ready(self.ready)

    async def close(self) -> None:
        """End what waits, without a verdict."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _carry_out(self, output: Output) -> None:
        match output:
            case Send():
                self.queue(output.stream).put_nowait(output)
            case WakeAt(time):
                asyncio.get_running_loop().call_at(time, self._tick)
            case Settled():
                self._settled(output)

    def _stop_waiting(self, digest: str, waiter: asyncio.Future[Verdict]) -> None:
        others = self._waiters.pop(digest, set()) - {waiter}
        if others:
            self._waiters[digest] = others

    def _tick(self) -> None:
        self.dispatch(Tick())

    def _settled(self, settled: Settled) -> None:
        match settled.verdict:
            case Accepted():
                _log.info("configuration accepted", digest=settled.digest)
                if settled.digest not in self._waiters:  # else each of them persists, and says how it went
                    self._spawn(self._persist_quietly())
            case Rejected(kind, message):
                _log.warning("configuration rejected", digest=settled.digest, type=kind.value, envoy=message)
            case Superseded(by):
                _log.info("configuration superseded", digest=settled.digest, by=by)
        for waiter in self._waiters.pop(settled.digest, set()):
            if not waiter.done():
                waiter.set_result(settled.verdict)

    def _count(self, event: Event) -> None:
        self.metrics.connected.set(len(self.state.active))
        if isinstance(event, Request) and event.error is not None:
            _log.warning("Envoy refused a response", type=event.kind.value, envoy=event.error, stream=event.stream)
            self.metrics.nacks.labels(event.kind.value).inc()
        elif isinstance(event, Request) and event.nonce:
            self.metrics.acks.labels(event.kind.value).inc()

    async def _persist_quietly(self) -> None:
        await self._persist()

    async def _persist(self) -> Durability:
        """Bring the disk to what is good now. Concurrent calls write once."""
        async with self._saving:
            good, state = self.state.good, self.state
            if good is None:
                return self.durability
            stored = Stored(good.epoch, state.floor, state.floor_digest, good.text)
            if stored != self._saved or not self.durability.durable:
                self.durability = await self._write(stored)
            return self.durability

    async def _write(self, stored: Stored) -> Durability:
        try:
            await asyncio.to_thread(save, self._state_dir, stored)
        except OSError as error:
            reason = f"{self._state_dir}: {error.strerror or error}"
            _log.error("the accepted configuration is not on disk", reason=reason)
            self.metrics.durable.set(0)
            return replace(self.durability, durable=False, reason=reason)
        self._saved = stored
        self.metrics.durable.set(1)
        return Durability()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _ignore(_: bool) -> None:
    """Nobody asked to be told."""
