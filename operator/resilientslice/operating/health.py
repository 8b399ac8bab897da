"""What the operator says of its own health, and why: only what restarting it would mend makes it unhealthy.

An API server that doesn't answer is no reason: a new process would not be answered either, and would know less. Nor is
an event loop that was blocked: one that *is* blocked answers no probe, and what is past was survived.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field

from aiohttp import web

STUCK_SECONDS = 300.0
"""A pass, or a key that waits for one, takes so long; every request has a time-out far below that."""
WATCH_SECONDS = 150.0
"""A watch that neither hears anything nor tries to: its task hangs. Silence itself ends a watch long before."""
TICK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class WatchState:
    """`age`: seconds since the watch heard anything or last tried to. `failure`: why it doesn't follow now."""

    name: str
    age: float
    failure: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """The operator as it is now. `unsynced`: what was not listed yet. Times in seconds."""

    role: str
    term: int
    holder: str
    lag: float
    queue_depth: int
    queue_oldest: float
    pass_longest: float
    watches: Sequence[WatchState] = field(default=())
    unsynced: Sequence[str] = field(default=())


def problems(state: State) -> list[str]:
    """Why the process should be replaced; empty if it is alive."""
    found = [
        f"watch of {watch.name} hangs for {watch.age:.0f} s" for watch in state.watches if watch.age > WATCH_SECONDS
    ]
    if state.pass_longest > STUCK_SECONDS:
        found.append(f"a pass has been under way for {state.pass_longest:.0f} s")
    if state.role == "leader" and state.queue_oldest > STUCK_SECONDS:
        found.append(f"a slice has waited for a pass for {state.queue_oldest:.0f} s")
    return found


class LoopLag:
    """How late the event loop runs: the worst of the last minute, and of what is going on now."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._expected = monotonic() + TICK_SECONDS
        self._worst: list[tuple[float, float]] = []

    async def run(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.tick()

    def tick(self) -> None:
        now = self._monotonic()
        late = max(now - self._expected, 0.0)
        self._worst = [(at, lag) for at, lag in self._worst if now - at < 60.0 and lag > late] + [(now, late)]
        self._expected = now + TICK_SECONDS

    def seconds(self) -> float:
        recent = max((lag for at, lag in self._worst if self._monotonic() - at < 60.0), default=0.0)
        return max(recent, self._monotonic() - self._expected, 0.0)


class HealthServer:
    """`/healthz`, `/readyz` and `/metrics`. Both probes say as JSON what they found, also when all is well."""

    def __init__(self, state: Callable[[], State], metrics: Callable[[], bytes]) -> None:
        self._state = state
        self._metrics = metrics

    @asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[int]:
        """Serves inside the block; gives the port. Raises OSError when the address is taken."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics_text)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            await site.start()
            yield int(runner.addresses[0][1])
        finally:
            await runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        state = self._state()
        found = problems(state)
        return _answer(state, 503 if found else 200, found)

    async def _readyz(self, _: web.Request) -> web.Response:
        """A standby that knows the world is ready too: it can take over at once."""
        state = self._state()
        found = [f"not listed yet: {name}" for name in state.unsynced]
        return _answer(state, 503 if found else 200, found)

    async def _metrics_text(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


def _answer(state: State, status: int, found: Sequence[str]) -> web.Response:
    body = {"ok": status == 200, "problems": list(found), **asdict(state)}
    return web.Response(text=json.dumps(body) + "\n", status=status, content_type="application/json")
